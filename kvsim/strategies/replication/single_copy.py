"""Single copy: each key lies on one node, its owner; nothing has to agree, and what the owner's crash takes is gone
with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvsim.core.axes import Replication
from kvsim.core.design import Design
from kvsim.core.guarantee import Promise, durability
from kvsim.core.message import NodeId
from kvsim.core.node import answers
from kvsim.core.operation import (
    Absent,
    Elsewhere,
    Found,
    Key,
    OperationError,
    Page,
    Read,
    Scan,
    Unavailable,
    Write,
    Written,
)
from kvsim.core.replica import change_for
from kvsim.core.version import Version
from kvsim.core.waiting import Acks
from kvsim.strategies.replication.scanning import Rows, ScanPart, merged, vouched_rows


class SingleCopy(Replication):
    """One copy of each key: the least work an operation can be, and no fault tolerated."""

    moot = ("conflict",)

    @classmethod
    def copies(cls, settings: Any, nodes: int) -> int:
        return 1

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        yield Promise("faults", "tolerates none: while a node is down its keys are unavailable")
        if design.durability == "disk":
            yield durability(
                "an acknowledged write is on its owner's disk and survives crashes, not the loss of the disk", True
            )
        else:
            yield durability("an acknowledged write is in its owner's memory and is lost when the owner crashes", False)
        yield Promise("conditional operations", "atomic: the owner decides alone")
        yield Promise("retries", "a retried operation is applied once", "exactly-once")

    async def write(self, op: Write) -> Written:
        self._must_own(op.key)
        done = self.replica.known(op.request)
        if done is None:
            existed = await self._judged(op)
            record = self.replica.get(op.key)
            done = Written(Version(record.version.counter + 1 if record else 1), existed)
            await self.replica.apply(change_for(op, done.version, existed))
        elif (unsynced := self.replica.settled(op.key)) is not None:
            await unsynced  # the first answer's promise is still to be kept
        return done

    async def _judged(self, op: Write) -> bool:
        try:
            return self.replica.judge(op)
        except OperationError:
            # A refusal too shows what the key holds, and a crash must not take what was shown.
            if (unsynced := self.replica.settled(op.key)) is not None:
                await unsynced
            raise

    async def read_latest(self, op: Read) -> Found | Absent:
        self._must_own(op.key)
        record = self.replica.get(op.key)
        # An answer vouches for what it shows: a value that a crash could still take must not be seen. One wait is
        # enough: it covers this record, and a key that is written all the time must not hold its readers up for ever.
        if (unsynced := self.replica.settled(op.key)) is not None:
            await unsynced
        if record is None or record.value is None:
            return Absent()
        return Found(record.value, record.version)

    read_any = read_latest

    async def scan(self, op: Scan) -> Page:
        members = self.site.placement.members
        pages = Acks(len(members), len(members))
        for member in members:
            self.ask(member, ScanPart(op.start, op.end, op.limit), pages.add)
        deadline = self.host.after(self.site.design.timeout_ns, pages.close)
        got = await pages
        deadline.cancel()
        if len(got) < len(members):
            raise Unavailable(f"{len(got)} of {len(members)} nodes answered, and each holds keys that no other has")
        return merged(op, [rows for rows in got.values() if isinstance(rows, Rows)])

    @answers(ScanPart)
    async def scan_part(self, sender: NodeId, m: ScanPart) -> Rows:
        return await vouched_rows(self.replica, m)

    def _must_own(self, key: Key) -> None:
        owner = self.site.placement.replicas(key)[0]
        if owner != self.host.id:
            raise Elsewhere(f"{self.host.id} does not own the key", owner)
