"""The network: all links between nodes and clients, and the faults that lie on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod

from kvsim.core.chance import Chance
from kvsim.core.message import Codec, Nanoseconds, NodeId
from kvsim.sim.engine import Engine
from kvsim.sim.events import Observer
from kvsim.sim.link import Endpoint, Link, Nuisance, Pipe, Way
from kvsim.sim.packet import Rule
from kvsim.sim.places import Hop, Place, Places
from kvsim.sim.settings import NetworkSettings
from kvsim.sim.special_links import KindLink, Loopback, RoutedLink


class Network:
    """Every two endpoints that have talked have a link in each direction, with draws of its own."""

    def __init__(
        self,
        engine: Engine,
        observer: Observer,
        settings: NetworkSettings,
        codec: Codec,
        nodes: Sequence[NodeId],
        chance: Chance,
        wire: bool,
    ) -> None:
        self.engine, self.observer, self.settings, self.codec, self.wire = engine, observer, settings, codec, wire
        self.places = Places(settings, nodes)
        self.at_sending: list[Rule] = []
        """Faults that judge a packet when it is sent; the first answer wins."""
        self.at_arrival: list[Rule] = []
        """Faults that judge a packet when it would arrive: what would arrive during a cut is dropped."""
        self.overflows = 0
        self.links: dict[NodeId, dict[NodeId, Link]] = {}
        """By source and target."""
        self._endpoints: dict[NodeId, Endpoint] = {}
        self._pipes: dict[tuple[Place, Place] | NodeId, Pipe] = {}
        self._chance = chance

    def join(self, endpoint: Endpoint) -> dict[NodeId, Link]:
        """A node or client is here. Gives its links, which grow as it sends to others."""
        self._endpoints[endpoint.id] = endpoint
        return self.links.setdefault(endpoint.id, {})

    def connect(self, source: NodeId, target: NodeId) -> Link:
        """The link between two endpoints. Raises LookupError for an address that nobody has."""
        links = self.links[source]
        if target in links:
            return links[target]
        if target not in self._endpoints:
            raise LookupError(f"{source} sends to {target}, but there is no such node or client")
        one, other = self._endpoints[source], self._endpoints[target]
        if source == target:
            links[target] = Loopback(self, one, self._chance)
        else:
            there = self._kind_of(source, target)(self, one, other, self._chance.stream(f"{source}>{target}"))
            here = self._kind_of(target, source)(self, other, one, self._chance.stream(f"{target}>{source}"))
            there.back, here.back = here, there
            self.links[source][target], self.links[target][source] = there, here
            here.refresh()
        links[target].refresh()
        return links[target]

    def _kind_of(self, source: NodeId, target: NodeId) -> type[Link]:
        if self.settings.kinds:
            return KindLink
        queues_again = any(hop.bandwidth_bytes_per_s is not None for hop in self.places.route(source, target)[1:])
        return RoutedLink if queues_again else Link

    def all_links(self) -> Iterator[Link]:
        """Every link, but not those from a node to itself."""
        return (link for links in self.links.values() for link in links.values() if link.source is not link.target)

    def way(self, source: NodeId, target: NodeId, chance: Chance) -> tuple[Way, Nuisance, Nanoseconds]:
        """The pipes and latencies between two endpoints, what messages may meet there, and the mean time."""
        if source == target:
            return ((None, lambda: 0),), Nuisance(), 0
        hops = self.places.route(source, target)
        way = tuple((self._pipe(source, hop), hop.latency.draws(chance).__next__) for hop in hops)
        return way, *_met_on(hops)

    def draw_latency(self, source: NodeId, target: NodeId, chance: Chance) -> Nanoseconds:
        """How long one message travels, drawn from this stream."""
        return sum(next(hop.latency.draws(chance)) for hop in self.places.route(source, target))

    def _pipe(self, source: NodeId, hop: Hop) -> Pipe | None:
        """A link between places is shared by all who use it; inside a place each endpoint sends on one of its own."""
        if hop.bandwidth_bytes_per_s is None:
            return None
        return self._pipes.setdefault(hop.edge or source, Pipe(hop.bandwidth_bytes_per_s))

    # Faults -----------------------------------------------------------------------------------------------------------

    def install(self, rule: Rule, rules: list[Rule]) -> None:
        """Put a fault on the network: on `at_sending` or `at_arrival`."""
        rules.append(rule)
        self.refresh()

    def remove(self, rule: Rule, rules: list[Rule]) -> None:
        """Heal it."""
        rules.remove(rule)
        self.refresh()

    def refresh(self) -> None:
        """Something changed that all links must know."""
        for links in self.links.values():
            for link in links.values():
                link.refresh()

    def crashed(self, node: NodeId, *, killed: bool = False) -> None:
        """All streams of this node are gone; its peers do not know yet. Where the process alone was `killed`, its
        machine closes them, of which peers hear unless a cut is in the way."""
        closes = killed and not self.at_arrival
        for link in self._streams_of(node):
            back = link.back
            used = link.sent + back.sent > 0
            link.reset("its stream broke")
            back.reset("its stream broke")
            if used and back.source.up:
                back.outlive(link.typical_ns if closes else self.settings.keepalive_ns)

    def restarted(self, node: NodeId) -> None:
        """The node takes messages again."""
        for link in self._streams_of(node):
            link.back.refresh()

    def _streams_of(self, node: NodeId) -> list[Link]:
        return [link for link in self.links[node].values() if link.target.id != node]


@lru_cache(maxsize=4_096)
def _met_on(hops: tuple[Hop, ...]) -> tuple[Nuisance, Nanoseconds]:
    """What messages may meet on all these links, and the mean time; worked out once, as many endpoints share places."""
    shares = (1 - prod(1 - getattr(hop, name) for hop in hops) for name in Nuisance._fields)
    return Nuisance(*shares), round(sum(hop.latency.average_ns() for hop in hops))
