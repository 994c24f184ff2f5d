"""Linearizable reads without a write to the log: the leader asks a majority whether it still leads (thesis 6.4).

A read joins a round that begins after it. While one round is on its way, all reads that come share the next.
"""

from __future__ import annotations

from kvsim.core.message import Nanoseconds
from kvsim.core.operation import OperationError, Unavailable
from kvsim.core.waiting import Future


class Confirmation(Future[None]):
    """A read that waits for the leader to know that it led when the read came."""

    __slots__ = ("deadline_ns",)

    def __init__(self, deadline_ns: Nanoseconds) -> None:
        super().__init__()
        self.deadline_ns = deadline_ns


class ReadRounds:
    """The reads that wait, and the number of the latest round."""

    def __init__(self) -> None:
        self.round = 0
        self.asking: list[Confirmation] = []
        self.next: list[Confirmation] = []

    def join(self, deadline_ns: Nanoseconds) -> Confirmation:
        """Wait for a round that has not begun."""
        confirmation = Confirmation(deadline_ns)
        self.next.append(confirmation)
        return confirmation

    @property
    def may_begin(self) -> bool:
        """Whether reads wait and no round is on its way."""
        return bool(self.next) and not self.asking

    def begin(self) -> int:
        """A new round, for all who wait; gives its number."""
        self.round += 1
        self.asking, self.next = self.next, []
        return self.round

    def confirm(self) -> None:
        """A majority has answered in this round: whoever waits for it may read."""
        asking, self.asking = self.asking, []
        for confirmation in asking:
            confirmation.complete(None)

    def expire(self, now_ns: Nanoseconds) -> None:
        """Give up the reads whose deadline has passed."""
        late = Unavailable("the leader could not learn in time from a majority whether it still leads")
        for confirmation in (*self.asking, *self.next):
            if confirmation.deadline_ns <= now_ns:
                confirmation.fail(late)
        self.asking = [confirmation for confirmation in self.asking if not confirmation.done]
        self.next = [confirmation for confirmation in self.next if not confirmation.done]

    def fail(self, error: OperationError) -> None:
        """Give up all reads."""
        waiting, self.asking, self.next = (*self.asking, *self.next), [], []
        for confirmation in waiting:
            confirmation.fail(error)
