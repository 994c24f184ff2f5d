"""Read one, write all: a write waits for every replica of its key, so a read need ask only one.

Bernstein and Goodman, "An algorithm for concurrency control and recovery in replicated distributed databases", TODS
1984, where it is the plainest of the methods. Left out: bringing a replica up to date that was down.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from kvsim.core.axes import Replication
from kvsim.core.design import Design
from kvsim.core.guarantee import Promise
from kvsim.core.message import Message, NodeId
from kvsim.core.node import answers
from kvsim.core.operation import Absent, Elsewhere, Found, OutcomeUnknown, Read, Unavailable, Write, Written
from kvsim.core.replica import Change, change_for
from kvsim.core.version import Version
from kvsim.core.waiting import Acks


class Keep(Message, tag="read_one_write_all.keep"):
    """Owner to the other replicas: this key has changed."""

    change: Change


class Kept(Message, tag="read_one_write_all.kept"):
    """Replica to owner: the change will outlive my crash."""


class ReadOneWriteAllSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of read one, write all."""

    n: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Replicas of each key."""


class ReadOneWriteAll(Replication):
    """The first replica of a key, its owner, orders its writes and waits for all the others."""

    Settings = ReadOneWriteAllSettings

    @classmethod
    def copies(cls, settings: ReadOneWriteAllSettings, nodes: int) -> int:
        return settings.n

    @classmethod
    def usual_consistency(cls, settings: ReadOneWriteAllSettings) -> str:
        return "eventual"

    @classmethod
    def refusals(cls, settings: ReadOneWriteAllSettings, design: Design) -> Iterable[str]:
        if design.uses("consistency", "linearizable"):
            yield (
                "a write reaches its replicas one after the other, so a read of one may see it and a later read of "
                'another may not; claim "eventual", or use "quorum"'
            )

    @classmethod
    def promises(cls, settings: ReadOneWriteAllSettings, design: Design) -> Iterable[Promise]:
        yield Promise("faults", f"of a key's {settings.n} replicas, reads bear {settings.n - 1} down and writes none")

    async def write(self, op: Write) -> Written:
        owner, *others = self.site.placement.replicas(op.key)
        if self.host.id != owner:
            raise Elsewhere(f"{self.host.id} does not own the key", owner)
        down = [node for node in others if not self.view.is_alive(node)]
        if down:  # nothing has been done: the write certainly did not happen
            raise Unavailable(f"{', '.join(down)} is down, and a write needs every replica")

        existed = self.replica.judge(op)
        record = self.replica.get(op.key)
        change = change_for(op, Version(record.version.counter + 1 if record else 1), existed)
        await self.replica.apply(change)  # the own disk first: a crash must not give this version to a second value

        kept = Acks(len(others), len(others))
        for node in others:
            self.ask(node, Keep(change), kept.add)
        deadline = self.host.after(self.site.design.timeout_ns, kept.close)
        got = await kept
        deadline.cancel()
        if len(got) < len(others):  # some hold it, some do not: who can say whether it happened?
            raise OutcomeUnknown(f"{len(got)} of {len(others)} other replicas answered in time")
        return Written(change.version, existed)

    @answers(Keep)
    async def keep(self, sender: NodeId, m: Keep) -> Kept:
        await self.replica.apply(m.change)
        return Kept()

    async def read_any(self, op: Read) -> Found | Absent:
        replicas = self.site.placement.replicas(op.key)
        if self.host.id not in replicas:
            raise Elsewhere(f"{self.host.id} holds no copy of the key", replicas[0])
        record = self.replica.get(op.key)
        if (unsynced := self.replica.settled(op.key)) is not None:
            await unsynced  # show nothing that a crash could still take
        return Absent() if record is None or record.value is None else Found(record.value, record.version)
