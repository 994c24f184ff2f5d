"""Versions: how a store tells which of two values is newer, and the clocks that stamp them.

Lamport, "Time, clocks, and the ordering of events", CACM 1978; Kulkarni et al., "Logical physical clocks", OPODIS 2014.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kvsim.core.message import Nanoseconds, NodeId

LOGICAL_BITS = 16
"""Bits of a hybrid timestamp that count events within one tick of the calendar; 2^16 ns, 65.5 µs, is a tick."""


class Version(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """A totally ordered version: a counter, ties broken by the node that gave it."""

    counter: int
    node: NodeId = ""

    def __str__(self) -> str:
        return f"{self.counter}.{self.node}" if self.node else str(self.counter)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read what `str` wrote. Raises ValueError for anything else."""
        counter, _, node = text.partition(".")
        if not (counter.isascii() and counter.isdigit() and len(counter) < 20 and int(counter) < 2**63):
            raise ValueError(f"{text!r} is not a version; one looks like 12.data-1")
        return cls(int(counter), node)


NEVER = Version(0)
"""Older than every version of a value."""


class LamportClock:
    """Counts; a node that hears of a later count continues from there."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.counter = 0

    def next(self) -> Version:
        """A version later than all that this clock gave or saw."""
        self.counter += 1
        return Version(self.counter, self.node)

    def saw(self, version: Version) -> None:
        """A version has come by."""
        if version.counter > self.counter:
            self.counter = version.counter


class HybridClock(LamportClock):
    """A Lamport clock that keeps close to the calendar, so that versions of different keys compare with real time."""

    def __init__(self, node: NodeId, wall: Callable[[], Nanoseconds]) -> None:
        super().__init__(node)
        self._wall = wall

    def next(self) -> Version:
        """Later than all given or seen, and no earlier than the calendar."""
        ticks = self._wall() >> LOGICAL_BITS << LOGICAL_BITS
        self.counter = max(self.counter + 1, ticks)
        return Version(self.counter, self.node)


class WallClock(LamportClock):
    """The calendar alone, as systems do that trust their clocks: a node that is slow loses its writes to others'."""

    def __init__(self, node: NodeId, wall: Callable[[], Nanoseconds]) -> None:
        super().__init__(node)
        self._wall = wall

    def next(self) -> Version:
        """The calendar's time, but never this node's own last time again."""
        self.counter = max(self.counter + 1, self._wall())
        return Version(self.counter, self.node)

    def saw(self, version: Version) -> None:
        """Others' times are not believed."""
