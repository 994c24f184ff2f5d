"""Where nodes and clients are, and how their places are linked: a networkx graph, by shape, GraphML file or matrix.

A vertex is a place: a rack, a zone, a region, a site. An edge is a link with a latency, a bandwidth and a loss.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvsim.core.chance import Chance
from kvsim.core.message import NodeId
from kvsim.core.settings import SettingsError, duration_ns, nearest, read_settings
from kvsim.sim.distributions import Constant, Distribution
from kvsim.sim.settings import LinkSettings, NetworkSettings

if TYPE_CHECKING:
    import networkx as nx

Place = str


class Hop(NamedTuple):
    """One link on a message's way."""

    edge: tuple[Place, Place] | None
    """From where to where; None inside a place."""
    latency: Distribution
    bandwidth_bytes_per_s: int | None
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0


class Places:
    """The graph, and who is where."""

    def __init__(self, settings: NetworkSettings, nodes: Sequence[NodeId]) -> None:
        self.settings = settings
        self.routed = True
        """Whether messages travel over several links; else every two places have a link of their own."""
        self.inside = settings.inside
        self.graph = self._graph(nodes)
        self._check_links()
        self._where: dict[NodeId, Place] = {}
        self._turns = {"node": 0, "client": 0}
        self._routes: dict[tuple[Place, Place], tuple[Hop, ...]] = {}
        self._open = [place for place, data in self.graph.nodes(data=True) if not data.get("switch")]
        for node in nodes:
            self.settle(node, "node")

    def settle(self, endpoint: NodeId, kind: str) -> Place:
        """Give an endpoint its place: the one that settings name, the vertex of its own name, or the next in turn."""
        place = self.settings.place.get(endpoint, endpoint if endpoint in self._open else None)
        if place is None:
            place = self._open[self._turns[kind] % len(self._open)]
            self._turns[kind] += 1
        if place not in self.graph:
            known = nearest(place, self._open)
            raise SettingsError([f"network.place.{endpoint}: the graph has no place {place!r}{known}"])
        self._where[endpoint] = place
        return place

    def of(self, endpoint: NodeId) -> Place:
        """Where a node or client is."""
        return self._where[endpoint]

    def zones(self) -> tuple[Place, ...]:
        """The places where nodes are, but those that are one node's own, as in a ring."""
        return tuple(sorted({place for endpoint, place in self._where.items() if place != endpoint}))

    def route(self, start: NodeId, end: NodeId) -> tuple[Hop, ...]:
        """The links from one endpoint to another: the way of the least mean latency."""
        pair = self._where[start], self._where[end]
        route = self._routes.get(pair)
        if route is None:
            route = self._routes[pair] = self._find(*pair)
        return route

    def _find(self, start: Place, end: Place) -> tuple[Hop, ...]:
        if start == end:
            return (self._special(start, end, self._usual(self.inside)),)
        if not self.routed:
            return (self._special(start, end, self.graph.edges[start, end]["hop"]),)
        import networkx as nx

        path = nx.shortest_path(self.graph, start, end, weight=self._weight)
        return tuple(self._hop_between(one, other) for one, other in nx.utils.pairwise(path))

    def _hop_between(self, start: Place, end: Place) -> Hop:
        return self._special(start, end, self.graph.edges[start, end]["hop"]._replace(edge=(start, end)))

    def _weight(self, start: Place, end: Place, _: dict[str, Any]) -> float:
        return self._hop_between(start, end).latency.average_ns()

    def _usual(self, latency: Distribution) -> Hop:
        """A link as `[network]` says."""
        said = self.settings
        return Hop(
            None, latency, said.bandwidth_bytes_per_s, said.loss, said.duplicate, said.reorder, said.corrupt
        )  # fmt: skip

    def _special(self, start: Place, end: Place, hop: Hop) -> Hop:
        """The link with what `[[network.links]]` says of this direction of it."""
        for link in self.settings.links:
            if (link.source, link.target) == (start, end) or (
                link.both_ways and (link.target, link.source) == (start, end)
            ):
                said = {name: getattr(link, name) for name in Hop._fields[1:] if getattr(link, name) is not None}
                hop = hop._replace(**said)
        return hop

    def _check_links(self) -> None:
        problems = []
        for number, link in enumerate(self.settings.links):
            for key, place in (("source", link.source), ("target", link.target)):
                if place not in self.graph:
                    where = f"network.links[{number}].{key}"
                    problems.append(f"{where}: the graph has no place {place!r}{nearest(place, self.graph)}")
            if not problems and link.source != link.target and not self.graph.has_edge(link.source, link.target):
                problems.append(f"network.links[{number}]: the graph has no link from {link.source} to {link.target}")
        if problems:
            raise SettingsError(problems)

    def _graph(self, nodes: Sequence[NodeId]) -> nx.Graph[Place]:
        name = self.settings.graph
        if name in SHAPES:
            graph = SHAPES[name](nodes)
            if name == "single_rack":
                self.inside = self.settings.latency
        elif name.endswith(".graphml"):
            graph = _graphml(name)
        elif name.endswith(".csv") or name in bundled_matrices():
            self.routed = False
            return _matrix(name, self.settings)
        else:
            there = nearest(name, [*SHAPES, *bundled_matrices()])
            raise SettingsError([f"network.graph: unknown graph {name!r}{there}; or name a .graphml or .csv file"])
        for start, end, data in graph.edges(data=True):
            data["hop"] = self._hop(f"{name}: link {start}–{end}", data)
        return graph

    def _hop(self, where: str, data: dict[str, Any]) -> Hop:
        """The link of an edge. Its attributes are those of `[[network.links]]`; `latency` is a time, or a distribution
        as TOML writes it: `{ distribution = "exponential", mean = "5ms" }`."""
        usual = self._usual(self.settings.latency)
        table = {name: data[name] for name in ("latency", "bandwidth", *Hop._fields[3:]) if name in data}
        try:
            latency = table.get("latency")
            if isinstance(latency, str):
                table["latency"] = _latency(latency)
                if table["latency"].get("distribution") == "empirical":
                    raise ValueError("measured times cannot be named in GraphML; give them in [[network.links]]")
            read = read_settings(LinkSettings, {"source": "", "target": "", **table}, where)
        except (TypeError, ValueError) as error:
            raise SettingsError([f"{where}: {error}"]) from None
        return usual._replace(**{name: value for name in Hop._fields[1:] if (value := getattr(read, name)) is not None})


def _latency(text: str) -> Mapping[str, Any]:
    """A link's latency as GraphML has it: text."""
    if not text.lstrip().startswith("{"):
        return {"distribution": "constant", "value_ns": duration_ns(text)}
    table: Mapping[str, Any] = tomllib.loads(f"latency = {text}")["latency"]
    return table


def _single_rack(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    import networkx as nx

    rack: nx.Graph[Place] = nx.Graph()
    rack.add_node("rack")
    return rack


def _three_zones(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    import networkx as nx

    zones: nx.Graph[Place] = nx.Graph()
    zones.add_edges_from([("zone-1", "zone-2"), ("zone-1", "zone-3"), ("zone-2", "zone-3")])
    return zones


def _tree(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """A binary tree of the nodes in their order: each but the first is linked with its parent."""
    import networkx as nx

    tree: nx.Graph[Place] = nx.Graph()
    tree.add_nodes_from(nodes)
    tree.add_edges_from((nodes[(at - 1) // 2], nodes[at]) for at in range(1, len(nodes)))
    return tree


def _random_regular(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """Every node linked with three others, or as many as there are: a ring, and a random matching across it."""
    degree = min(3, len(nodes) - 1)
    graph = _ring(nodes)
    if degree < 3 or len(nodes) < 5:
        graph.add_edges_from(combinations(nodes, 2))
        return graph
    chance = Chance(len(nodes), "places/random_regular")
    while True:
        left = list(nodes)
        chance.shuffle(left)
        across = list(zip(left[::2], left[1::2], strict=False))  # an odd one out keeps two links
        if not any(graph.has_edge(*edge) for edge in across):
            graph.add_edges_from(across)
            return graph


def _small_world(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """A ring with links to the next two on each side, of which a tenth lead elsewhere (Watts and Strogatz 1998)."""
    graph = _ring(nodes)
    chance, count = Chance(len(nodes), "places/small_world"), len(nodes)
    for at, node in enumerate(nodes):
        end = nodes[(at + 2) % count]
        if chance.happens(0.1):
            end = chance.pick(nodes)
        if end != node:
            graph.add_edge(node, end)
    return graph


def _fat_tree(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """Racks of four nodes, each on two switches of its pod, and four core switches above (Al-Fares et al. 2008)."""
    import networkx as nx

    graph: nx.Graph[Place] = nx.Graph()
    cores = [f"core-{number}" for number in range(1, 5)]
    racks = [nodes[at : at + 4] for at in range(0, len(nodes), 4)]
    for number, rack in enumerate(racks):
        edge, pod = f"edge-{number + 1}", number // 2 + 1
        above = [f"aggregation-{pod}-{half}" for half in (1, 2)]
        for switch in (edge, *above, *cores):
            graph.add_node(switch, switch=True)
        graph.add_edges_from((node, edge) for node in rack)
        graph.add_edges_from((edge, switch) for switch in above)
        graph.add_edges_from(
            (switch, core) for half, switch in enumerate(above) for core in cores[2 * half : 2 * half + 2]
        )
    return graph


def _star(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """Every node on a link of its own to the hub, where nobody is."""
    import networkx as nx

    star: nx.Graph[Place] = nx.Graph()
    star.add_node("hub", switch=True)
    star.add_edges_from(("hub", node) for node in nodes)
    return star


def _ring(nodes: Sequence[NodeId]) -> nx.Graph[Place]:
    """Every node linked with the one before and the one after it."""
    import networkx as nx

    ring: nx.Graph[Place] = nx.Graph()
    ring.add_nodes_from(nodes)
    if len(nodes) > 1:
        ring.add_edges_from(nx.utils.pairwise(nodes, cyclic=len(nodes) > 2))
    return ring


SHAPES: dict[str, Callable[[Sequence[NodeId]], nx.Graph[Place]]] = {
    "single_rack": _single_rack,
    "three_zones": _three_zones,
    "star": _star,
    "ring": _ring,
    "tree": _tree,
    "random_regular": _random_regular,
    "small_world": _small_world,
    "fat_tree": _fat_tree,
}


def bundled_matrices() -> list[str]:
    """The names of the matrices that come with kvsim."""
    names = (entry.name for entry in (resources.files("kvsim.sim") / "matrices").iterdir())
    return sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv"))


def _graphml(file: str) -> nx.Graph[Place]:
    import networkx as nx

    try:
        read = nx.read_graphml(file)
    except OSError as error:
        raise SettingsError([f"network.graph: cannot read {file}: {error.strerror or error}"]) from None
    except Exception as error:  # noqa: BLE001 - the parser raises whatever the file provokes
        raise SettingsError([f"network.graph: {file} is not GraphML: {error}"]) from None
    graph: nx.Graph[Place] = nx.Graph(read)
    if not any(not data.get("switch") for _, data in graph.nodes(data=True)):
        raise SettingsError([f"network.graph: {file} has no vertex where a node could be"])
    if not nx.is_connected(graph):
        parts = [min(part) for part in nx.connected_components(graph)]
        raise SettingsError(
            [f"network.graph: {file} is not connected: there is no way between {' and '.join(sorted(parts))}"]
        )
    return graph


def _matrix(name: str, settings: NetworkSettings) -> nx.Graph[Place]:
    """Round-trip times in milliseconds, row to column; half of it one way. Direct times, so nothing is routed."""
    import networkx as nx

    try:
        bundled = resources.files("kvsim.sim") / "matrices" / f"{name}.csv"
        text = bundled.read_text("utf-8") if name in bundled_matrices() else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError([f"network.graph: cannot read {name}: {said}"]) from None
    rows = [row for row in csv.reader(text.splitlines()) if row]
    regions = [cell.strip() for cell in rows[0][1:]] if rows else []
    named = [row[0].strip() for row in rows[1:]]
    if not regions or named != regions or any(len(row) != len(rows[0]) for row in rows):
        raise SettingsError(
            [f"network.graph: {name} is no matrix: its rows must name the same regions, in the same order, as its head"]
        )
    graph: nx.Graph[Place] = nx.DiGraph()
    for start, row in zip(regions, rows[1:], strict=True):
        for end, cell in zip(regions, row[1:], strict=True):
            one_way = Constant(_half_ns(f"network.graph: {name}: from {start} to {end}", cell))
            hop = Hop(
                (start, end), one_way, settings.bandwidth_bytes_per_s,
                settings.loss, settings.duplicate, settings.reorder, settings.corrupt,
            )  # fmt: skip
            graph.add_edge(start, end, hop=hop)
    return graph


def _half_ns(where: str, cell: str) -> int:
    try:
        milliseconds = float(cell)
    except ValueError:
        milliseconds = -1.0
    if not 0 <= milliseconds < 1e9:
        raise SettingsError([f"{where}: expected a round-trip time in milliseconds, got {cell!r}"])
    return round(milliseconds * 1e6 / 2)
