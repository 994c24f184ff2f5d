"""Last writer wins: of two versions of a key the one with the later timestamp stays, and the other is lost without a
word.

Thomas, "A majority consensus approach to concurrency control", TODS 1979 (the Thomas write rule).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from kvsim.core.axes import Conflict
from kvsim.core.design import Design
from kvsim.core.guarantee import Promise
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

    @classmethod
    def promises(cls, settings: LastWriterWinsSettings, design: Design) -> Iterable[Promise]:
        if design.uses("consistency", "linearizable"):
            return  # each write learns the latest version before it gets its own
        behind = {
            "hybrid": "a coordinator whose calendar is behind loses its writes until it hears of later ones",
            "lamport": "a coordinator that has heard of fewer writes than others loses its own until it catches up",
            "wall": "a coordinator whose calendar is behind loses its writes for as long as it is",
        }
        yield Promise("conflicts", f"of two writes the one with the later timestamp stays; {behind[settings.clock]}")

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
