"""What holds in quorum replication: a version names one value, and W disks hold what is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from kvsim.core.invariant import Breach, Claim, Invariants, Moment
from kvsim.core.journal import records_of
from kvsim.core.message import NodeId
from kvsim.core.replica import JOURNAL_FILE, Change, Known
from kvsim.core.version import NEVER, Version

QUORUM_MET = "quorum.met"
"""The event that says which write was acknowledged; by its tag, since the protocol imports this module."""


class QuorumInvariants(Invariants):
    """`on_disks`: an acknowledged write must have reached so many disks; 0 where memory is enough."""

    def __init__(self, on_disks: int) -> None:
        self.on_disks = on_disks

    def claims(self, node: NodeId, state: Any, disk: Mapping[str, bytes]) -> Iterator[Claim]:
        for change in _changes(disk.get(JOURNAL_FILE, b"")):
            words = (
                f"{node} holds {change.value!r} for {change.key.decode(errors='replace')} at version {change.version}"
            )
            yield Claim("one value a version", (change.key, change.version), change.value, words)

    def check(self, moment: Moment) -> None:
        for event in moment.events:
            if event.__struct_config__.tag == QUORUM_MET and self.on_disks:
                self._met(moment, event)

    def _met(self, moment: Moment, event: Any) -> None:
        journals = [_changes(disk.get(JOURNAL_FILE, b"")) for disk in moment.disks.values()]
        key = next((c.key for journal in journals for c in journal if c.version == event.version), None)
        # On no disk: newer ones came first everywhere, and a replica that holds a newer one has kept its word.
        holders = sum(_newest(journal, key) >= event.version for journal in journals)
        if holders < self.on_disks:
            raise Breach(
                f"W promises outlive a crash: {moment.node} acknowledges {event.request} with version {event.version}, "
                f"which {holders} of W={self.on_disks} disks hold"
            )


def _newest(journal: tuple[Change, ...], key: bytes | None) -> Version:
    return max((change.version for change in journal if key in (None, change.key)), default=NEVER)


@lru_cache(maxsize=4_096)
def _changes(data: bytes) -> tuple[Change, ...]:
    decode = msgspec.msgpack.Decoder(Change | Known).decode
    return tuple(part for part in map(decode, records_of(JOURNAL_FILE, data)[0]) if isinstance(part, Change))
