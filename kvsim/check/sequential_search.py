"""The search for one order of all operations that keeps each process's own: one step of some process after the other.

A read takes its place as soon as it can, which is never wrong. Where a key's values are unique, a value that must still
be read is not replaced. Of the rest the step that began first is tried first, and configurations are remembered.
"""

from typing import Any, NamedTuple

from kvsim.check.search import Limits
from kvsim.check.sequential_order import DrawnOrder
from kvsim.core.history import Operation

_CLOCK_EVERY = 256


class Step(NamedTuple):
    """One operation of a process."""

    operation: Operation
    certain: bool
    """Else it may be left out, and ends its process."""
    clear: bool
    """The values of its key are unique and never erased."""


class Found(NamedTuple):
    """Whether there is an order; where a limit came first, the reason."""

    order: bool
    reason: str
    configurations: int


def find_order(sessions: list[list[Step]], limits: Limits, drawn: DrawnOrder | None = None) -> Found:
    """Look for an order until a limit; with what is known of all orders, if that was drawn out."""
    return _Search(sessions, drawn).run(limits)


class _Search:
    def __init__(self, sessions: list[list[Step]], drawn: DrawnOrder | None) -> None:
        self.sessions, self.drawn = sessions, drawn
        keys = sorted({str(step.operation.key) for own in sessions for step in own})
        self.at = {key: i for i, key in enumerate(keys)}
        self.held: list[Any] = [None] * len(keys)
        self.done = [0] * len(sessions)
        self.left = sum(step.certain for own in sessions for step in own)
        self.asked: dict[tuple[int, Any], int] = {}
        """By key and value, how many must still find it."""
        for own in sessions:
            for step in own:
                if step.certain and step.clear and (asks := _asks(step.operation)):
                    place = self._key(step), asks[0]
                    self.asked[place] = self.asked.get(place, 0) + 1
        self.log: list[tuple[int, int, Any]] = []

    def _key(self, step: Step) -> int:
        return self.at[str(step.operation.key)]

    def run(self, limits: Limits) -> Found:
        seen: set[tuple[tuple[int, ...], tuple[Any, ...]]] = set()
        first = self._choices()
        stack: list[tuple[int, int, list[int]]] = [(len(self.log), self._mark(), first)]
        rounds = 0
        most = limits.configurations * 256 // (256 + 8 * (len(self.done) + len(self.held)))
        while stack:
            if not self.left:
                return Found(True, "", len(seen))
            mark, drawn_mark, choices = stack[-1]
            self._back_to(mark, drawn_mark)
            if not choices:
                stack.pop()
                continue
            rounds += 1
            if rounds % _CLOCK_EVERY == 0 and limits.over():
                return Found(False, self._gave_up("time", len(seen)), len(seen))
            if len(seen) > most:
                return Found(False, self._gave_up("memory", len(seen)), len(seen))
            session = choices.pop()
            if self.drawn is not None and not self.drawn.choose(session, self.done[session], self.done):
                continue
            self._take(session)
            further = self._choices()
            if self.left and len(further) > 1:
                here = tuple(self.done), tuple(self.held)
                if here in seen:
                    continue
                seen.add(here)
            stack.append((len(self.log), self._mark(), further))
        return Found(False, "", len(seen))

    def _gave_up(self, limit: str, size: int) -> str:
        return f"{limit} limit, after {size:,} configurations of {len(self.sessions)} sessions"

    def _mark(self) -> int:
        return self.drawn.mark() if self.drawn is not None else 0

    def _choices(self) -> list[int]:
        """Take all reads that can be taken; then the sessions that may go on, the most promising last."""
        again = True
        while again:
            again = False
            for session in range(len(self.sessions)):
                while (step := self._next(session)) and step.operation.op == "read" and self._may(session, step):
                    self._take(session)
                    again = True
        able = [s for s in range(len(self.sessions)) if (step := self._next(s)) and self._may(s, step)]
        able.sort(key=lambda s: -self.sessions[s][self.done[s]].operation.invoked)
        return able

    def _next(self, session: int) -> Step | None:
        own, done = self.sessions[session], self.done[session]
        return own[done] if done < len(own) else None

    def _may(self, session: int, step: Step) -> bool:
        o, key = step.operation, self._key(step)
        held = self.held[key]
        if not _legal(o, held):
            return False
        if self.drawn is not None and not self.drawn.ready(session, self.done[session], self.done):
            return False
        if o.op == "read" or not step.clear:
            return True
        own = 1 if step.certain and (asks := _asks(o)) and asks[0] == held else 0
        return self.asked.get((key, held), 0) <= own

    def _take(self, session: int) -> None:
        step = self.sessions[session][self.done[session]]
        o, key = step.operation, self._key(step)
        self.log.append((session, key, self.held[key]))
        self._count(step, key, -1)
        self.done[session] += 1
        if o.op != "read":
            self.held[key] = None if o.op in ("delete", "remove") else o.value

    def _count(self, step: Step, key: int, by: int) -> None:
        if step.certain:
            self.left += by
            if step.clear and (asks := _asks(step.operation)):
                self.asked[key, asks[0]] += by

    def _back_to(self, mark: int, drawn_mark: int) -> None:
        if self.drawn is not None:
            self.drawn.undo(drawn_mark)
        while len(self.log) > mark:
            session, key, held = self.log.pop()
            self.done[session] -= 1
            self.held[key] = held
            self._count(self.sessions[session][self.done[session]], key, 1)


def _asks(o: Operation) -> tuple[Any] | None:
    """What the operation must find, if that is one value (or absence)."""
    if o.op == "read":
        return (o.answer,)
    if o.op == "cas":
        return (o.expected,)
    return (None,) if o.op == "create" else None


def _legal(o: Operation, held: Any) -> bool:
    if o.op in ("update", "delete"):
        return held is not None
    return o.op in ("put", "remove") or (_asks(o) or (held,))[0] == held
