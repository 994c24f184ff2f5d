"""Quorum replication: a write waits for W of N replicas, a read for R of them; where R + W > N they meet.

DeCandia et al., "Dynamo", SOSP 2007, 4.4 and 4.5; for `linearizable`, Attiya, Bar-Noy and Dolev, JACM 1995, and Lynch
and Shvartsman, FTCS 1997: a write asks R replicas for the version first, a read writes back what a later read
could miss.
Left out: hinted handoff (4.6), Merkle trees (4.7).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from kvsim.core.axes import Replication, Site
from kvsim.core.design import Cluster, Design
from kvsim.core.guarantee import Level, Promise, durability
from kvsim.core.host import Recovered
from kvsim.core.message import Message, Nanoseconds, NodeId
from kvsim.core.node import answers
from kvsim.core.operation import (
    CONDITIONAL,
    Absent,
    Found,
    Key,
    NotServed,
    OutcomeUnknown,
    Page,
    Read,
    RequestId,
    Scan,
    Unavailable,
    Value,
    Write,
    Written,
)
from kvsim.core.recent import forget_oldest
from kvsim.core.replica import NO_REQUEST, Change, Record, change_for, judge
from kvsim.core.trace import Event
from kvsim.core.version import NEVER, Version
from kvsim.core.waiting import Acks
from kvsim.strategies.replication.quorum_invariants import QuorumInvariants
from kvsim.strategies.replication.scanning import Rows, ScanPart, merged, vouched_rows

RETRIES_KEPT = 65_536


class Store(Message, tag="quorum.store"):
    """Coordinator to replica: keep this version. Request number 0 in a repair, which no client asked for."""

    request: RequestId
    key: Key
    value: Value | None
    version: Version


class Stored(Message, tag="quorum.stored"):
    """Replica to coordinator: this version, or the newer one named here, will outlive my crash."""

    version: Version


class Fetch(Message, tag="quorum.fetch"):
    """Coordinator to replica: what do you hold? Before a linearizable write only the version is wanted."""

    key: Key
    value_wanted: bool = True


class Held(Message, tag="quorum.held"):
    """Replica to coordinator: this, durably. No value: deleted, or (version 0) never written."""

    value: Value | None
    version: Version


class QuorumMet(Event, tag="quorum.met"):
    """From here on the coordinator may answer the client."""

    request: RequestId
    version: Version
    by: tuple[NodeId, ...]


class QuorumSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of quorum replication."""

    n: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Replicas of each key."""
    r: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Replicas that a read waits for."""
    w: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Replicas that a write waits for."""
    read_repair: bool = True
    """Whether a read sends the newest version to those replicas that answered with an older one."""


class Quorum(Replication):
    """N replicas without a leader: any node coordinates, and W and R say how many must answer."""

    Settings = QuorumSettings
    from_anywhere = True

    def __init__(self, site: Site, settings: QuorumSettings) -> None:
        super().__init__(site, settings)
        self.n, self.r, self.w = settings.n, settings.r, settings.w
        self.begun: dict[RequestId, Written] = {}
        """Writes that have a version: a retry goes on with it, so that it is applied once."""
        self.linearizable = site.level >= Level.LINEARIZABLE

    @classmethod
    def copies(cls, settings: QuorumSettings, nodes: int) -> int:
        return settings.n

    @classmethod
    def usual_consistency(cls, settings: QuorumSettings) -> str:
        return "eventual"

    @classmethod
    def invariants(cls, settings: QuorumSettings, design: Design, cluster: Cluster) -> QuorumInvariants:
        return QuorumInvariants(settings.w if design.durability == "disk" else 0)

    @classmethod
    def refusals(cls, settings: QuorumSettings, design: Design) -> Iterable[str]:
        n, r, w = settings.n, settings.r, settings.w
        if max(r, w) > n:
            yield f"R={r} and W={w} cannot exceed N={n}, the number of replicas; lower them or raise n"
        if design.setting("storage", "written") == "once":
            yield (
                'storage.written = "once" needs an atomic create, and two coordinators can both find a key absent; '
                'use "raft", "primary_backup" or "single_copy"'
            )
        if design.uses("consistency", "linearizable"):
            if r + w <= n:
                yield (
                    f"linearizable needs R+W > N, so that each read meets each write, but R={r}, W={w}, N={n}; "
                    'raise r or w, or claim "eventual"'
                )
            if design.setting("conflict", "clock") == "wall":
                yield 'linearizable needs versions later than those read; use conflict.clock = "hybrid" or "lamport"'

    @classmethod
    def promises(cls, settings: QuorumSettings, design: Design) -> Iterable[Promise]:
        n, r, w = settings.n, settings.r, settings.w
        yield Promise("faults", f"of a key's {n} replicas, reads bear {n - r} down and writes {n - w}")
        if design.durability == "disk":
            until = "" if design.uses("consistency", "linearizable") else ", until a later timestamp replaces it"
            # Coordinators that have not heard of each other may give the earlier of two writes the later Lamport time.
            is_timely = not until or design.setting("conflict", "clock") != "lamport"
            disks = "1 disk" if w == 1 else f"{w} disks"
            claim = f"an acknowledged write is on {disks} and survives every crash{until}"
            yield durability(
                claim if is_timely else f"{claim}, which may be an earlier write's", r + w > n and is_timely
            )
        else:
            memories = "1 memory" if w == 1 else f"{w} memories"
            yield durability(f"an acknowledged write is in {memories}; a replica that crashes forgets its copy", False)
        if design.uses("consistency", "linearizable"):
            yield Promise(
                "conditional operations",
                "not served, as two coordinators can find the same condition true; use put, remove",
            )
        else:
            answers = "1 answer" if r == 1 else f"{r} answers"
            yield Promise("conditional operations", f"not atomic: judged on {answers}, before the write")
        yield Promise("retries", "a retried operation is applied once while retries stick to one coordinator")
        yield Promise("scans", "no snapshot: each node's part is read at its own moment")

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        clock = self.site.clock
        if recovered.incarnation > 1:
            # A version that this node gave before its crash may lie on one replica, unseen by every quorum that it asks
            # now; under the same name a second value could get the same version.
            clock.node = f"{self.host.id}+{recovered.incarnation}"
        if self.site.replica is not None:
            for record in self.replica.records.values():
                clock.saw(record.version)

    async def write(self, op: Write) -> Written:
        """The coordinator's put(), section 4.5; for `linearizable` a round for the version comes before."""
        deadline_ns = self._deadline_ns()
        result = self.begun.get(op.request) or await self._begin(op, deadline_ns)
        value = change_for(op, result.version, result.existed).value
        replicas = self.site.placement.replicas(op.key)
        acks = await self._ask_all(replicas, Store(op.request, op.key, value, result.version), self.w, deadline_ns)
        stored = acks.answers
        if len(stored) < self.w:
            # A replica may keep the version, and repair may spread it later: not a failure but an unknown.
            # Calling it "fail" would let the judge blame a correct run.
            raise OutcomeUnknown(f"{len(stored)} of W={self.w} answers in time{_refusals(acks)}")
        for answer in stored.values():
            if isinstance(answer, Stored):
                self.site.clock.saw(answer.version)  # a later one is there: this node's next write must not lose to it
        if self.host.wants(QuorumMet):
            self.host.record(QuorumMet(op.request, result.version, tuple(stored)))
        return result

    async def _begin(self, op: Write, deadline_ns: Nanoseconds) -> Written:
        """Give the write its version. Nothing has been stored before that, so an error is a certain failure."""
        self._enough_alive(op.key, self.w, "W")
        existed = None
        if isinstance(op, CONDITIONAL):
            existed = await self._judged(op, deadline_ns)
        elif self.linearizable:
            await self._newest(op.key, deadline_ns, value_wanted=False)
        begun = self.begun.get(op.request)
        if begun is None:  # else a retry has come through while this waited
            begun = self.begun[op.request] = Written(self.site.clock.next(), existed)
            if len(self.begun) > RETRIES_KEPT:
                forget_oldest(self.begun)
        return begun

    async def read_latest(self, op: Read) -> Found | Absent:
        """Read, and write back: whoever reads later must not see an older version, though its write may be half
        done."""
        deadline_ns = self._deadline_ns()
        newest, acks = await self._newest(op.key, deadline_ns)
        holders = sum(held.version == newest.version for held in _held(acks).values())
        # R + holders > N: each later read meets one of them. That R of R agree is not enough where R is small.
        if newest.version != NEVER and self.r + holders <= self.n:
            replicas = self.site.placement.replicas(op.key)
            back = Store(NO_REQUEST, op.key, newest.value, newest.version)
            stored = await self._ask_all(replicas, back, self.w, deadline_ns)
            if len(stored.answers) < self.w:
                raise Unavailable(
                    f"wrote back to {len(stored.answers)} of W={self.w} replicas; the value read may not stay"
                )
        return _shown(newest)

    async def read_any(self, op: Read) -> Found | Absent:
        """The newest of R answers; replicas that hold an older version are sent it, and nobody waits for that."""
        newest, acks = await self._newest(op.key, self._deadline_ns())
        if self.settings.read_repair:
            repair = ReadRepair(self, op.key, newest)
            for replica, held in _held(acks).items():
                repair.heard(replica, held)
            acks.late = repair.heard
        return _shown(newest)

    async def scan(self, op: Scan) -> Page:
        members = self.site.placement.members
        need = max(1, len(members) - (min(self.n, len(members)) - self.r))  # so R replicas of every key are among them
        alive = sum(map(self.view.is_alive, members))
        if alive < need:
            raise Unavailable(f"{alive} of {len(members)} nodes are alive; R={self.r} replicas of each key take {need}")
        part = ScanPart(op.start, op.end, op.limit)
        got = (await self._ask_all(members, part, need, self._deadline_ns())).answers
        if len(got) < need:
            raise Unavailable(
                f"{len(got)} of {len(members)} nodes answered; R={self.r} replicas of each key take {need}"
            )
        return merged(op, [rows for rows in got.values() if isinstance(rows, Rows)])

    @answers(Store)
    async def store(self, sender: NodeId, m: Store) -> Stored:
        self.site.clock.saw(m.version)
        await self.replica.apply(Change(m.request, m.key, m.value, m.version))  # the conflict rule, then the disk
        # Answer only now. W counts promises that outlive a crash: an earlier answer would let
        # an acknowledged write vanish with a power cut.
        record = self.replica.get(m.key)
        return Stored(record.version if record else m.version)

    @answers(Fetch)
    async def fetch(self, sender: NodeId, m: Fetch) -> Held:
        record = self.replica.get(m.key)
        # What is shown is vouched for: a version that a crash could still take must not be seen. One wait is enough:
        # it covers this record, and a key that is written all the time must not hold its readers up for ever.
        if (unsynced := self.replica.settled(m.key)) is not None:
            await unsynced
        if record is None:
            return Held(None, NEVER)
        return Held(record.value if m.value_wanted else None, record.version)

    @answers(ScanPart)
    async def scan_part(self, sender: NodeId, m: ScanPart) -> Rows:
        return await vouched_rows(self.replica, m)

    async def _judged(self, op: Write, deadline_ns: Nanoseconds) -> bool:
        """Whether the key holds a value, as R replicas say; between this and the write, others may write too."""
        if self.linearizable:
            raise NotServed(
                f"{type(op).__name__} is conditional, which a linearizable quorum cannot decide; use put, or remove"
            )
        newest, _ = await self._newest(op.key, deadline_ns)
        return judge(op, None if newest.version == NEVER else Record(newest.value, newest.version), "many")

    async def _newest(self, key: Key, deadline_ns: Nanoseconds, *, value_wanted: bool = True) -> tuple[Held, Acks]:
        """The newest of R answers, and all that came."""
        replicas = self._enough_alive(key, self.r, "R")
        acks = await self._ask_all(replicas, Fetch(key, value_wanted), self.r, deadline_ns)
        held = _held(acks)
        if len(held) < self.r:
            raise Unavailable(f"{len(held)} of R={self.r} answers in time{_refusals(acks)}")
        newest = max(held.values(), key=_version_of)
        self.site.clock.saw(newest.version)
        return newest, acks

    def _deadline_ns(self) -> Nanoseconds:
        """Until when an operation that begins now may take, all its rounds together."""
        return self.host.now() + self.site.design.timeout_ns

    async def _ask_all(self, nodes: tuple[NodeId, ...], message: Message, need: int, deadline_ns: Nanoseconds) -> Acks:
        """Ask all, itself included, by the same path; done at `need` answers or at the deadline."""
        acks, ask = Acks(need, len(nodes)), self.ask
        for node in nodes:
            ask(node, message, acks.add)
        deadline = self.host.after(max(0, deadline_ns - self.host.now()), acks.close)
        await acks
        deadline.cancel()
        return acks

    def _enough_alive(self, key: Key, need: int, name: str) -> tuple[NodeId, ...]:
        replicas = self.site.placement.replicas(key)
        if self.view.down:
            alive = sum(map(self.view.is_alive, replicas))
            if alive < need:  # nothing was sent: a certain failure
                raise Unavailable(f"{name}={need}, but only {alive} of {len(replicas)} replicas are alive")
        return replicas


class ReadRepair:
    """Brings the replicas that answered one read up to the newest version among their answers, late ones included."""

    def __init__(self, quorum: Quorum, key: Key, newest: Held) -> None:
        self.quorum, self.key, self.newest = quorum, key, newest
        self.level: list[NodeId] = []
        """The replicas that hold the newest version, or have been sent it."""

    def heard(self, replica: NodeId, answer: Message) -> None:
        """A replica has answered the read."""
        if not isinstance(answer, Held):
            return
        behind: Iterable[NodeId] = ()
        if answer.version != self.newest.version:
            if answer.version > self.newest.version:
                self.newest, behind = answer, tuple(self.level)
            else:
                behind = (replica,)
        self.level.append(replica)
        for node in behind:
            self.quorum.tell(node, Store(NO_REQUEST, self.key, self.newest.value, self.newest.version))


def _held(acks: Acks) -> dict[NodeId, Held]:
    return {sender: answer for sender, answer in acks.answers.items() if isinstance(answer, Held)}


def _refusals(acks: Acks) -> str:
    """Why others refused, for people."""
    return "".join(f"; {node}: {failure.detail}" for node, failure in acks.refused.items())


def _version_of(held: Held) -> Version:
    return held.version


def _shown(newest: Held) -> Found | Absent:
    return Absent() if newest.value is None else Found(newest.value, newest.version)
