"""Where nodes and clients are, and how their places are linked: a networkx graph, by shape, GraphML file or matrix.

A vertex is a place: a rack, a zone, a region, a site. An edge is a link with a latency, a bandwidth and a loss.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvsim.core.message import NodeId
from kvsim.core.settings import SettingsError, duration_ns, nearest, rate_bytes_per_s
from kvsim.sim.distributions import Constant, Distribution
from kvsim.sim.settings import NetworkSettings

if TYPE_CHECKING:
    import networkx as nx

Place = str


class Hop(NamedTuple):
    """One link on a message's way."""

    edge: tuple[Place, Place] | None
    """From where to where; None inside a place."""
    latency: Distribution
    bandwidth_bytes_per_s: int | None
    loss: float


class Places:
    """The graph, and who is where."""

    def __init__(self, settings: NetworkSettings, nodes: Sequence[NodeId]) -> None:
        self.settings = settings
        self.routed = True
        """Whether messages travel over several links; else every two places have a link of their own."""
        self.inside = settings.inside
        self.graph = self._graph(nodes)
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

    def route(self, start: NodeId, end: NodeId) -> tuple[Hop, ...]:
        """The links from one endpoint to another: the way of the least mean latency."""
        pair = self._where[start], self._where[end]
        route = self._routes.get(pair)
        if route is None:
            route = self._routes[pair] = self._find(*pair)
        return route

    def _find(self, start: Place, end: Place) -> tuple[Hop, ...]:
        if start == end:
            return (Hop(None, self.inside, self.settings.bandwidth_bytes_per_s, self.settings.loss),)
        if not self.routed:
            return (self.graph.edges[start, end]["hop"],)
        import networkx as nx

        path = nx.shortest_path(self.graph, start, end, weight=_weight)
        hops = (self.graph.edges[edge]["hop"] for edge in nx.utils.pairwise(path))
        return tuple(hop._replace(edge=edge) for hop, edge in zip(hops, nx.utils.pairwise(path), strict=True))

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
        """The link of an edge with the attributes `latency` (a duration), `bandwidth` (a rate) and `loss` (a share)."""
        settings = self.settings
        try:
            latency: Distribution = Constant(duration_ns(data["latency"])) if "latency" in data else settings.latency
            rate = rate_bytes_per_s(data["bandwidth"]) if "bandwidth" in data else settings.bandwidth_bytes_per_s
            loss = float(data.get("loss", settings.loss))
        except (TypeError, ValueError) as error:
            raise SettingsError([f"{where}: {error}"]) from None
        if not 0 <= loss <= 1 or rate == 0:
            raise SettingsError(
                [f"{where}: loss is a share from 0 to 1 and bandwidth above 0, got {loss:g} and {rate}"]
            )
        return Hop(None, latency, rate, loss)


def _weight(_: Place, __: Place, data: dict[str, Any]) -> float:
    return data["hop"].latency.average_ns()  # type: ignore[no-any-return]


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
        raise SettingsError([f"network.graph: cannot read {name}: {error}"]) from None
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
            graph.add_edge(start, end, hop=Hop((start, end), one_way, settings.bandwidth_bytes_per_s, settings.loss))
    return graph


def _half_ns(where: str, cell: str) -> int:
    try:
        milliseconds = float(cell)
    except ValueError:
        milliseconds = -1.0
    if not 0 <= milliseconds < 1e9:
        raise SettingsError([f"{where}: expected a round-trip time in milliseconds, got {cell!r}"])
    return round(milliseconds * 1e6 / 2)
