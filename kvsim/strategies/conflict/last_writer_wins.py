"""Last writer wins: of two versions of a key the one with the later timestamp stays, and the other is lost without a
word.

Thomas, "A majority consensus approach to concurrency control", TODS 1979 (the Thomas write rule).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from kvsim.core.axes import Conflict
from kvsim.core.host import Host
from kvsim.core.replica import Record
from kvsim.core.version import HybridClock, LamportClock, WallClock


class LastWriterWinsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of last writer wins."""

    clock: Literal["hybrid", "lamport", "wall"] = "hybrid"
    """What stamps the versions: a hybrid logical clock, a counter, or the node's calendar alone (loses writes when
    it is off)."""


class LastWriterWins(Conflict):
    """The later timestamp stays; of two concurrent writes one is silently lost."""

    Settings = LastWriterWinsSettings

    def clock(self, host: Host) -> LamportClock:
        match self.settings.clock:
            case "wall":
                return WallClock(host.id, host.wall)
            case "hybrid":
                return HybridClock(host.id, host.wall)
            case _:
                return LamportClock(host.id)

    def newer(self, mine: Record, theirs: Record) -> bool:
        return theirs.version > mine.version
