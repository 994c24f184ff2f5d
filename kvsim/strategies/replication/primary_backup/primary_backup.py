"""Primary-backup: one node decides the order of all writes and sends them to its backups.

Alsberg and Day, "A principle for resilient sharing of distributed resources", ICSE 1976; Budhiraja, Marzullo, Schneider
and Toueg, "The primary-backup approach", in Mullender (ed.), Distributed Systems, 1993. A view service says who is
primary, as in the laboratory notes of MIT's course 6.824. Left out: sending a joining node only what it lacks, and a
view service that is itself replicated.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvsim.core.axes import Site
from kvsim.core.design import Cluster, Design
from kvsim.core.guarantee import Level, Promise
from kvsim.core.message import NodeId
from kvsim.core.node import Component
from kvsim.core.operation import (
    Absent,
    Found,
    OperationError,
    Page,
    Read,
    Scan,
    Unavailable,
    Write,
    Written,
)
from kvsim.core.replica import Record
from kvsim.strategies.replication.primary_backup.invariants import PrimaryBackupInvariants
from kvsim.strategies.replication.primary_backup.primary import Primary, not_stored_by_all
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings, contradictions, promised
from kvsim.strategies.replication.primary_backup.view_service import ViewService
from kvsim.strategies.replication.scanning import ScanPart, merged, rows_of

VIEW_SERVICE = "view-1"


class PrimaryBackup(Primary):
    """One primary for all keys; its backups hold the same, and one of them takes its place when it dies."""

    Settings = PrimaryBackupSettings
    moot = ("partitioning", "conflict")

    @classmethod
    def copies(cls, settings: PrimaryBackupSettings, nodes: int) -> int:
        return nodes  # a spare may be primary in a later view, so each node must be looked for

    @classmethod
    def usual_consistency(cls, settings: PrimaryBackupSettings) -> str:
        return "linearizable" if settings.mode == "sync" else "eventual"

    @classmethod
    def services(cls, settings: PrimaryBackupSettings) -> tuple[NodeId, ...]:
        return (VIEW_SERVICE,)

    @classmethod
    def service(cls, site: Site, settings: PrimaryBackupSettings) -> Component:
        return ViewService(site, settings)

    @classmethod
    def invariants(cls, settings: PrimaryBackupSettings, design: Design, cluster: Cluster) -> PrimaryBackupInvariants:
        return PrimaryBackupInvariants(keeps_all=settings.mode == "sync" and design.durability == "disk")

    @classmethod
    def refusals(cls, settings: PrimaryBackupSettings, design: Design) -> Iterable[str]:
        return contradictions(settings, design)

    @classmethod
    def promises(cls, settings: PrimaryBackupSettings, design: Design) -> Iterable[Promise]:
        return promised(settings, design)

    async def write(self, op: Write) -> Written:
        view = self.must_lead()
        done = self.replica.known(op.request)
        if done is None:
            try:
                existed = self.replica.judge(op)
            except OperationError:
                # Judged on all changes so far, those on their way included. A refusal shows what the key holds, so it
                # waits for the same as a read.
                await self._vouch_for(self.replica.get(op.key))
                raise
            done = self.order(op, existed, view)
        # The answer vouches for the change: all who may be promoted must have it where no crash takes it, or the next
        # primary would not know of it. Answering at the primary's own disk is what mode = "async" does, and loses.
        if not await self.committed(done.version.counter):
            raise not_stored_by_all(view)
        return done

    async def read_latest(self, op: Read) -> Found | Absent:
        self.must_lead()
        record = self.replica.get(op.key)
        await self._vouch_for(record)
        return _shown(record)

    async def read_any(self, op: Read) -> Found | Absent:
        self._must_hold_data()
        record, unsynced = self.replica.get(op.key), self.replica.settled(op.key)
        if unsynced is not None:
            await unsynced  # what is shown outlives a crash of this node, if not a promotion
        return _shown(record)

    async def scan(self, op: Scan) -> Page:
        if self.site.level == Level.EVENTUAL:
            self._must_hold_data()
            return merged(op, [rows_of(self.replica, ScanPart(op.start, op.end, op.limit))])
        self.must_lead()
        part = rows_of(self.replica, ScanPart(op.start, op.end, op.limit))
        await self._vouch_for(max((row.record for row in part.rows), key=_number, default=None))
        return merged(op, [part])

    async def _vouch_for(self, record: Record | None) -> None:
        """Wait until the record may be shown: no crash takes it, and nobody newer serves. Else raise `Unavailable`."""
        if record is not None and not await self.committed(record.version.counter):
            raise Unavailable("what the key holds is not yet stored by all members of the view")
        view = self.must_lead()
        if self.settings.reads == "round":
            if not await self.confirm_by_round():
                raise Unavailable(f"not all backups of view {view.number} answered; there may be a newer primary")
        elif self.host.now() >= self.state.lease_until_ns:
            raise Unavailable(
                f"the lease of {self.host.id} in view {view.number} has run out; there may be a newer primary"
            )

    def _must_hold_data(self) -> None:
        """Raise unless this node is a member with data of its own; a spare's data are none or old."""
        if self.role_name == "spare":
            self.must_lead()


def _number(record: Record) -> int:
    return record.version.counter


def _shown(record: Record | None) -> Found | Absent:
    return Absent() if record is None or record.value is None else Found(record.value, record.version)
