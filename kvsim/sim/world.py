"""The simulated world: nodes on machines, a network between them, clients' ports, and one clock for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster, Design
from kvsim.core.message import Codec, Envelope, Message, Nanoseconds, NodeId
from kvsim.core.node import Node
from kvsim.core.trace import Entry, Event, Sink, Sinks
from kvsim.sim.engine import Engine
from kvsim.sim.events import Observer
from kvsim.sim.host import Build, SimHost
from kvsim.sim.network import Network
from kvsim.sim.port import Port
from kvsim.sim.settings import WorldSettings


class Counts(msgspec.Struct):
    """What a run has cost so far. Messages of a node to itself stay inside it and are not counted as messages."""

    messages_sent: int
    messages_delivered: int
    messages_dropped: int
    messages_to_self: int
    bytes_sent: int
    """Encoded messages with their frames' headers; without the headers of TCP and IP."""
    overflows: int
    """Messages that met a full queue."""
    syncs: int
    disk_bytes: int
    by_node: dict[NodeId, int]
    """Messages that each node handled, its own to itself included."""
    busy_ns: dict[NodeId, Nanoseconds]
    """How long each node's CPU worked."""


class Simulation:
    """A simulated world for any programs; `build(host, scope)` makes a node's program at each start."""

    def __init__(
        self,
        nodes: Sequence[NodeId],
        build: Build,
        kinds: Iterable[type[Message]],
        settings: WorldSettings,
        seed: int,
        *,
        wire: bool = False,
    ) -> None:
        self.settings = settings
        self.storing = tuple(nodes)
        """The nodes that hold data, among which faults look for followers."""
        self.doors = tuple(nodes)
        """The nodes that take clients' requests."""
        self.chance = Chance(seed, "world")
        self.engine = Engine()
        self.observer = Observer(self.now)
        self.sinks: Sinks = self.observer.sinks
        codec = Codec(kinds)
        network_chance = self.chance.stream("network")
        self.network = Network(self.engine, self.observer, settings.network, codec, nodes, network_chance, wire)
        self.hosts: dict[NodeId, SimHost] = {
            node: SimHost(node, self.engine, self.network, settings.machines, self.chance.stream(f"node/{node}"), build)
            for node in nodes
        }

    def now(self) -> Nanoseconds:
        """The true time, which no node knows."""
        return self.engine.time_ns

    def client(
        self,
        name: NodeId,
        deliver: Callable[[NodeId, Envelope[Any]], None],
        peer_lost: Callable[[NodeId], None] = lambda peer: None,
    ) -> Port:
        """A port for a client of this name; answers come to `deliver`, never inside a `send`."""
        assert name not in self.network.links, f"there is a {name} already"
        self.network.places.settle(name, "client")
        return Port(name, self.engine, self.network, deliver, peer_lost)

    def trace_to(self, write: Callable[[Entry], Any]) -> None:
        """Write everything that happens, as numbered entries with causes."""
        self.observer.trace_to(write)

    def listen(self, sink: Sink, *kinds: type[Event]) -> None:
        """Send these kinds of events to the sink from now on, also in the middle of a run."""
        self.sinks.listen(sink, *kinds)
        self._look_who_listens()

    def start(self, down: Sequence[NodeId] = ()) -> None:
        """Start all nodes, but those that begin down."""
        self._look_who_listens()
        for host in self.hosts.values():
            if host.id not in down:
                host.restart()

    def run(self, until_ns: Nanoseconds) -> None:
        """Let everything happen up to this time, this time included."""
        self._look_who_listens()
        try:
            self.engine.advance(until_ns)
        finally:
            self.observer.flush()
        self.observer.follow(0)

    def run_until(self, predicate: Callable[[], bool], limit_ns: Nanoseconds) -> bool:
        """Let things happen until the predicate holds, for at most so long; whether it does."""
        self._look_who_listens()
        try:
            return self.engine.advance_while(lambda: not predicate(), self.now() + limit_ns)
        finally:
            self.observer.flush()

    def at(self, time_ns: Nanoseconds, call: Callable[[], None]) -> None:
        """Call at this true time, after what was issued for it before."""
        assert time_ns >= self.now(), f"{time_ns} ns has been"
        self.engine.call_at(time_ns, self._call, call)

    def _call(self, call: Callable[[], None]) -> None:
        self.observer.follow(0)
        call()

    def _look_who_listens(self) -> None:
        if self.observer.refresh():
            self.network.refresh()

    @property
    def failures(self) -> list[tuple[NodeId, Exception]]:
        """Nodes that stopped by their own defect, and why."""
        return [(host.id, error) for host in self.hosts.values() for error in host.failures]

    @property
    def counts(self) -> Counts:
        """What the run has cost up to now."""
        links = list(self.network.all_links())
        hosts = self.hosts.values()
        return Counts(
            messages_sent=sum(link.sent + link.datagrams_sent for link in links),
            messages_delivered=sum(link.settled + link.datagrams_settled - link.dropped for link in links),
            messages_dropped=sum(link.dropped for link in links),
            messages_to_self=sum(host.links[host.id].sent for host in hosts if host.id in host.links),
            bytes_sent=sum(link.bytes_sent for link in links),
            overflows=self.network.overflows,
            syncs=sum(host.storage.syncs for host in hosts),
            disk_bytes=sum(host.storage.bytes_written for host in hosts),
            by_node={host.id: host.handled for host in hosts},
            busy_ns={host.id: host.busy_ns for host in hosts},
        )

    def role(self, name: str) -> NodeId | None:
        """The live node one of whose components states this role (`leader`, `primary`); None if there is none now.

        Of several, such as a leader that has not heard of its successor, the one of the latest term.
        """
        claims = [(_term(host, name), host.id) for host in self.hosts.values() if name in _roles(host)]
        return max(claims, key=lambda claim: claim[0])[1] if claims else None


class World(Simulation):
    """The simulated world of a design."""

    def __init__(
        self, design: Design, cluster: Cluster, settings: WorldSettings, seed: int, *, wire: bool = False
    ) -> None:
        from kvsim.strategies.catalogue import assemble, message_kinds

        self.design, self.cluster = design, cluster
        super().__init__(
            cluster.everyone(),
            lambda life, scope: assemble(design, cluster, life, scope),
            message_kinds(design),
            settings,
            seed,
            wire=wire,
        )
        self.storing, self.doors = cluster.data, cluster.doors()


def _roles(host: SimHost) -> list[str]:
    node = host.node
    if not isinstance(node, Node):
        return []
    return [role for component in node.components if (role := getattr(component, "role_name", None))]


def _term(host: SimHost, role: str) -> int:
    """The latest term or view in which a component of this node has the role."""
    node = host.node
    assert isinstance(node, Node), "it has a role"
    facts = [c.status() for c in node.components if getattr(c, "role_name", None) == role]
    terms = [said.get("term") or said.get("view") or "" for said in facts]
    return max((int(term) for term in terms if term.isdecimal()), default=0)
