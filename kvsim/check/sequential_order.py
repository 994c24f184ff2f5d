"""What must come before what while a search goes on: each choice adds to the forced order, and contradictions show.

The same two rules as in `forced_order`, applied to one choice at a time, and taken back with it.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from kvsim.check.order import Contradiction, Order, WritesByKey
from kvsim.check.reads_from import Act


class DrawnOrder:
    """The order, and for the acts on clear keys who reads what. Raises Contradiction where there is no order."""

    def __init__(self, order: Order, clear: Sequence[Act]) -> None:
        self.order = order
        self.writes = WritesByKey(clear)
        self._clear = {act.number for act in clear}
        self._readers: dict[int, dict[int, Act]] = {}  # of each write, the last reader in each session
        for act in clear:
            if act.source is not None:
                self._readers.setdefault(act.source.number, {})[act.session] = act

    def _close(self, acts: Iterable[Act]) -> None:
        due = deque(acts)
        waiting = {act.number for act in due}
        while due:
            act = due.popleft()
            waiting.discard(act.number)
            for other in self._follow(act):
                if other.number in self._clear and other.number not in waiting:
                    waiting.add(other.number)
                    due.append(other)

    def _follow(self, act: Act) -> list[Act]:
        """Apply both rules to one act; returns what has more before it now."""
        touched: list[Act] = []
        for earlier in list(self.writes.latest(act.key, self.order.past(act), act)):
            if act.source is not None and earlier is not act.source:
                touched += self.order.put(earlier, act.source, act)
            if act.is_write:
                for read in self._readers.get(earlier.number, {}).values():
                    if read is not act:
                        touched += self.order.put(read, act, read)
        return touched

    # ---- for the search

    def ready(self, session: int, place: int, done: Sequence[int]) -> bool:
        """Whether all that must come before an act is done."""
        past = self.order.past(self.order.sessions[session][place])
        return all(n <= done[s] or s == session for s, n in enumerate(past))

    def choose(self, session: int, place: int, done: Sequence[int]) -> bool:
        """Put a write before all others of its key that are left; whether that contradicts nothing."""
        act = self.order.sessions[session][place]
        if not act.is_write or act.number not in self._clear:
            return True
        touched: list[Act] = []
        try:
            for other in self.writes.first_left(act.key, done):
                if other is act:
                    continue
                touched += self.order.put(act, other, act)
                for read in self._readers.get(act.number, {}).values():
                    if read is not other:
                        touched += self.order.put(read, other, read)
            self._close([a for a in touched if a.number in self._clear])
        except Contradiction:
            return False
        return True

    def mark(self) -> int:
        """A state to come back to."""
        return len(self.order.trail)

    def undo(self, mark: int) -> None:
        """Come back to a state."""
        self.order.undo(mark)
