"""What holds in primary-backup at every moment: one primary a view, one order of changes, and nothing vouched for that
a promotion could lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec

from kvsim.core.invariant import Breach, Claim, Invariants, Moment
from kvsim.core.journal import records_of
from kvsim.core.message import NodeId
from kvsim.core.replica import JOURNAL_FILE, Change, Known
from kvsim.strategies.replication.primary_backup.member import MemberState
from kvsim.strategies.replication.primary_backup.view_service import VIEWS_FILE
from kvsim.strategies.replication.primary_backup.views import GroupView, ServiceState


class PrimaryBackupInvariants(Invariants):
    """`keeps_all`: what is vouched for is on the disks of all who may be promoted (synchronous, on disks)."""

    def __init__(self, *, keeps_all: bool) -> None:
        self.keeps_all = keeps_all

    def claims(
        self, node: NodeId, state: MemberState | ServiceState | None, disk: Mapping[str, bytes]
    ) -> Iterator[Claim]:
        view = None if state is None else state.view
        if view is not None and view.number:
            says = (view.primary, view.incarnation)
            words = (
                f"{node} holds {view.primary}, in its life {view.incarnation}, for the primary of view {view.number}"
            )
            yield Claim("one primary a view", view.number, says, words)
        for change in _changes(disk.get(JOURNAL_FILE, b"")):
            words = (
                f"{node} holds {change.value!r} for {change.key.decode(errors='replace')} as change {change.version}"
            )
            yield Claim("one order", change.version, (change.key, change.value), words)

    def check(self, moment: Moment) -> None:
        if not self.keeps_all:
            return
        granted = _granted(moment)
        for node, state in moment.states.items():
            if granted is None or not isinstance(state, MemberState) or not _leads(node, state, granted):
                continue
            for member in (granted.primary, *granted.backups):
                self._has_all(moment, node, state.committed, member, granted.number)

    def _has_all(self, moment: Moment, node: NodeId, committed: int, member: NodeId, view: int) -> None:
        theirs = _newest(moment.disks[member].get(JOURNAL_FILE, b""))
        last = max(theirs.values(), default=0)
        if last < committed:
            raise Breach(
                f"nothing vouched for is lost: {node} vouches for {committed} changes, and {member}, which view {view} "
                f"may promote, has {last} of them on its disk"
            )
        for key, number in _newest(moment.disks[node].get(JOURNAL_FILE, b"")).items():
            if theirs.get(key, 0) < number <= committed:
                raise Breach(
                    f"nothing vouched for is lost: {node} vouches for change {number}, which {member} lacks, and view "
                    f"{view} may promote that"
                )


def _leads(node: NodeId, state: MemberState, granted: GroupView) -> bool:
    view = state.view
    return view is not None and view.primary == node and view.number <= granted.number and state.committed > 0


def _granted(moment: Moment) -> GroupView | None:
    """The newest view that the view service has on its disk."""
    for disk in moment.disks.values():
        found = _last_view(disk.get(VIEWS_FILE, b""))
        if found is not None:
            return found
    return None


@lru_cache(maxsize=4_096)
def _last_view(data: bytes) -> GroupView | None:
    records, _ = records_of(VIEWS_FILE, data)
    return msgspec.msgpack.decode(records[-1], type=ServiceState).view if records else None


@lru_cache(maxsize=4_096)
def _changes(data: bytes) -> tuple[Change, ...]:
    decode = msgspec.msgpack.Decoder(Change | Known).decode
    return tuple(part for part in map(decode, records_of(JOURNAL_FILE, data)[0]) if isinstance(part, Change))


@lru_cache(maxsize=4_096)
def _newest(data: bytes) -> dict[bytes, int]:
    """The number of the last change of each key."""
    return {change.key: change.version.counter for change in _changes(data)}
