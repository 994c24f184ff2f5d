"""What a strategy of each axis must offer, so that the catalogue can put any of them together.

A strategy sees its node through `Site`: the host, the design, who is in the cluster, where keys lie and the replica.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from weakref import WeakValueDictionary

import msgspec

from kvsim.core.design import Cluster, Design, Strategy
from kvsim.core.guarantee import Level
from kvsim.core.host import Host, Recovered
from kvsim.core.invariant import Invariants
from kvsim.core.message import NodeId
from kvsim.core.node import Component, View
from kvsim.core.operation import (
    Absent,
    AnyOperation,
    AnyResult,
    Found,
    Key,
    NotServed,
    Page,
    Read,
    Scan,
    Write,
    Written,
)
from kvsim.core.replica import Record, Replica
from kvsim.core.version import LamportClock

Role = Literal["frontend", "data", "service"]
PLACES_KEPT = 65_536


class Partitioning(Strategy):
    """Which nodes hold a key. Pure: a function of the members, and made anew only when they change."""

    axis = "partitioning"
    monotone: ClassVar[bool] = False
    """Whether a node that joins takes keys over and no other key changes its owner (Karger et al. 1997); what claims it
    is held to it by `kvsim.testing.check_partitioning`."""

    def __init__(self, settings: Any, members: tuple[NodeId, ...]) -> None:
        self.settings, self.members = settings, members

    def preference_list(self, key: Key, n: int) -> tuple[NodeId, ...]:
        """The first `n` different nodes for this key, in order (fewer when there are not so many); the first is its
        owner."""
        raise NotImplementedError


class OneGroup(Partitioning):
    """Every node holds every key: what partitioning is where the replication strategy makes it moot."""

    def preference_list(self, key: Key, n: int) -> tuple[NodeId, ...]:
        """All, or the first n."""
        return self.members[:n]


class Spread:
    """A partitioning of some members, `n` copies a key, with what it said of keys asked before.

    Immutable but for this memory, so that all nodes of a process that think the same share one (`Spread.of`): a ring
    of 10,000 nodes takes some 60 MB.
    """

    _shared: ClassVar[WeakValueDictionary[Any, Spread]] = WeakValueDictionary()

    def __init__(self, partitioning: Partitioning, n: int) -> None:
        self.partitioning, self.n = partitioning, n
        self.places: dict[Key, tuple[NodeId, ...]] = {}

    @classmethod
    def of(cls, strategy: type[Partitioning], settings: msgspec.Struct, members: tuple[NodeId, ...], n: int) -> Spread:
        """The one of these settings and members, which is kept while any node uses it."""
        key = strategy, msgspec.msgpack.encode(settings), members, n
        spread = cls._shared.get(key)
        if spread is None:
            spread = cls._shared[key] = Spread(strategy(settings, members), n)
        return spread

    def find(self, key: Key) -> tuple[NodeId, ...]:
        """The preference list of a key that was not asked before."""
        if len(self.places) >= PLACES_KEPT:
            self.places.clear()
        place = self.places[key] = self.partitioning.preference_list(key, self.n)
        return place


class Placement:
    """Where keys lie now, as one node thinks: the partitioning of today's members, `n` copies a key."""

    def __init__(
        self, strategy: type[Partitioning], settings: msgspec.Struct, members: tuple[NodeId, ...], n: int
    ) -> None:
        self.strategy, self.settings, self.n = strategy, settings, n
        self.change(members)

    def change(self, members: tuple[NodeId, ...]) -> None:
        """Membership has changed."""
        self.members = members
        self.spread = Spread.of(self.strategy, self.settings, members, self.n)
        self._places = self.spread.places

    def replicas(self, key: Key) -> tuple[NodeId, ...]:
        """The key's preference list: ordered, so that messages and traces are."""
        return self._places.get(key) or self.spread.find(key)


@dataclass(frozen=True, slots=True)
class Site:
    """One node's surroundings, as its strategies see them."""

    host: Host
    role: Role
    design: Design
    cluster: Cluster
    placement: Placement
    clock: LamportClock
    """Stamps versions where the conflict rule needs them."""
    replica: Replica | None
    """This node's data; None where it stores nothing (a frontend, a service)."""

    level: Level
    """The consistency level that the design claims."""
    any_replica: bool
    """Whether a read may go to any replica, in turn."""


class Membership(Component, Strategy):
    """Who is there. Calls `node.change_view` when that changes."""

    axis = "membership"
    notices_crashes: ClassVar[bool] = True
    """Whether a node that crashed comes to be suspected; `kvsim.testing.check_membership` holds it to that."""

    def __init__(self, site: Site, settings: Any) -> None:
        self.site, self.settings = site, settings


class Replication(Component, Strategy):
    """Makes the replicas of a key agree. Its methods run at the coordinator: the node that an operation was sent to.

    Each raises `Elsewhere` (with a hint, where known) when this node must not coordinate it, `Unavailable` when it
    certainly did nothing, `OutcomeUnknown` when nobody knows.
    """

    axis = "replication"
    from_anywhere: ClassVar[bool] = False
    """Whether a node that holds no replica can coordinate (a frontend, with `coordinator = "frontend"`)."""
    journalled: ClassVar[bool] = True
    """Whether the replica keeps a journal of its own; False where the protocol's log is enough to rebuild it."""
    replica: Replica
    """This node's data; only ServerData nodes have any."""

    def __init__(self, site: Site, settings: Any) -> None:
        self.site, self.settings = site, settings
        if site.replica is not None:
            self.replica = site.replica

    def held_bytes(self) -> int:
        """Of its replica. A protocol with a log adds that."""
        return 0 if self.site.replica is None else self.site.replica.held_bytes()

    @classmethod
    def copies(cls, settings: Any, nodes: int) -> int:
        """How many replicas a key has in a cluster of so many ServerData nodes."""
        raise NotImplementedError

    @classmethod
    def usual_consistency(cls, settings: Any) -> str:
        """The consistency strategy of a design that names none."""
        return "linearizable"

    @classmethod
    def services(cls, settings: Any) -> tuple[NodeId, ...]:
        """Nodes of a role of their own that the protocol needs."""
        return ()

    @classmethod
    def service(cls, site: Site, settings: Any) -> Component:
        """The component of such a node."""
        raise NotImplementedError

    @classmethod
    def invariants(cls, settings: Any, design: Design, cluster: Cluster) -> Invariants | None:
        """What must hold of all its nodes at every moment; None where nothing is stated."""
        return None

    def start(self, recovered: Recovered) -> None:
        """Take over what the disk kept."""
        if self.site.replica is not None:
            self.site.replica.start(recovered)

    async def write(self, op: Write) -> Written:
        """Make a write happen, as durable as the design states."""
        raise NotImplementedError

    async def read_latest(self, op: Read) -> Found | Absent:
        """Read so that no completed write is missed, as far as the protocol can."""
        raise NotImplementedError

    async def read_any(self, op: Read) -> Found | Absent:
        """Read what is cheapest to read. A protocol with one read path need not say it twice."""
        return await self.read_latest(op)

    async def scan(self, op: Scan) -> Page:
        """Read a range: ask every partition, and merge. A protocol may do without: then scans are not served."""
        raise NotServed(f"{type(self).__name__} has no scans; ask key by key")


class Consistency(Strategy):
    """What a read may return. Takes an operation at the coordinator, and chooses the read path below."""

    axis = "consistency"
    level: ClassVar[Level]
    any_replica: ClassVar[bool] = False
    """Whether reads may go to any replica, in turn, or to the one that coordinates writes."""

    def __init__(self, site: Site, settings: Any, replication: Replication) -> None:
        self.site, self.settings, self.replication = site, settings, replication

    async def read(self, op: Read) -> Found | Absent:
        """Read one key."""
        raise NotImplementedError

    async def perform(self, op: AnyOperation) -> AnyResult:
        """Do one operation. Raises an `OperationError`."""
        if isinstance(op, Read):
            return await self.read(op)
        if isinstance(op, Scan):
            return await self.replication.scan(op)
        return await self.replication.write(op)


class Routing(Strategy):
    """How a node finds who holds a key."""

    axis = "routing"

    def __init__(self, site: Site, settings: Any) -> None:
        self.site, self.settings = site, settings

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        """The nodes that may coordinate the operation, best first."""
        raise NotImplementedError


class Topology(Strategy):
    """Who takes a client's request, and who coordinates it."""

    axis = "topology"

    @classmethod
    def frontends(cls, asked: int) -> int:
        """How many ServerFrontends there are, when the experiment asks for so many."""
        return asked

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        """The component of this node that takes `Perform`; `consistency` is None where the node cannot coordinate."""
        raise NotImplementedError


class Conflict(Strategy):
    """Which of two records of a key stays, and the clock whose versions it compares."""

    axis = "conflict"

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def clock(self, host: Host) -> LamportClock:
        """The clock that stamps versions."""
        raise NotImplementedError

    def newer(self, mine: Record, theirs: Record) -> bool:
        """Whether theirs replaces mine."""
        raise NotImplementedError


class Storage(Strategy):
    """What a value is, and how often a key may be written."""

    axis = "storage"


def alive_first(nodes: tuple[NodeId, ...], view: View) -> tuple[NodeId, ...]:
    """The same nodes, those that seem dead last."""
    if not view.down:
        return nodes
    return (*(n for n in nodes if view.is_alive(n)), *(n for n in nodes if not view.is_alive(n)))
