"""Conflict rules without a winner, clocks that repeat, levels that nobody can refute, a storage without a word."""

from collections.abc import Iterable
from typing import Any

import msgspec

from kvsim.core.axes import Storage
from kvsim.core.design import Design
from kvsim.core.guarantee import Promise
from kvsim.core.host import Host
from kvsim.core.operation import Absent, Found, Read
from kvsim.core.replica import Record
from kvsim.core.version import LamportClock, Version
from kvsim.strategies.conflict.last_writer_wins import LastWriterWins
from kvsim.strategies.consistency.eventual import Eventual
from kvsim.strategies.consistency.linearizable import Linearizable


class LastToComeStays(LastWriterWins):
    """What comes last stays, wherever it comes from."""

    def newer(self, mine: Record, theirs: Record) -> bool:
        return mine != theirs


class GoesRound(LastWriterWins):
    """As rock, paper, scissors."""

    def newer(self, mine: Record, theirs: Record) -> bool:
        if (mine.version, theirs.version) == (Version(3, "data-3"), Version(1, "data-1")):
            return True
        if (theirs.version, mine.version) == (Version(3, "data-3"), Version(1, "data-1")):
            return False
        return theirs.version > mine.version


class Nameless(LamportClock):
    """Gives the same versions on every node."""

    def next(self) -> Version:
        return Version(super().next().counter)


class RepeatsVersions(LastWriterWins):
    """Stamps without the node's name."""

    def clock(self, host: Host) -> LamportClock:
        return Nameless(host.id)


class PromisesNothing(Linearizable):
    """Claims a level, and promises nothing."""

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        return ()


class ReadsNothing(Eventual):
    """Never finds anything."""

    async def read(self, op: Read) -> Found | Absent:
        return Absent()


class ReadsAny(Linearizable):
    """Claims to be linearizable, and reads what is cheapest."""

    any_replica = True

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_any(op)


class CutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a key may be written."""

    written: str = "twice"
    """As often as nobody can tell."""


class WrittenTwice(Storage):
    """Does not say how often a key may be written in words that replicas know."""

    Settings = CutSettings
