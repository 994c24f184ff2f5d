"""Links differ by direction, by place and by kind of message, and trouble what they carry; shapes are what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from kvsim.core.message import Channel, Envelope
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import read_setup
from kvsim.sim.distributions import Constant
from kvsim.sim.places import SHAPES, Places
from kvsim.sim.settings import LinkSettings
from tests.sim.probes import MS, Note, Probes, S, Work, still

NODES = [f"n{number}" for number in range(1, 13)]


def links(*tables: LinkSettings, **network: Any) -> Any:
    return still(graph="three_zones", links=tables, inside=Constant(MS), **network)


def took_ns(world: Probes, one: str, other: str) -> int:
    """How long a datagram travels."""
    began = world.now()
    world[one].say(other, 7, Channel.DATAGRAM)
    world.run(began + S)
    return world[other].times[-1] - began


def test_a_link_may_differ_in_one_direction() -> None:
    slow = LinkSettings("zone-1", "zone-2", both_ways=False, latency=Constant(20 * MS))
    world = Probes(["a", "b", "c"], links(slow, latency=Constant(30 * MS)))
    assert [took_ns(world, *pair) for pair in ("ab", "ba", "ac")] == [20 * MS, 30 * MS, 30 * MS]


def test_a_slow_link_is_gone_round() -> None:
    slow = LinkSettings("zone-1", "zone-2", latency=Constant(20 * MS))
    world = Probes(["a", "b", "c"], links(slow))
    assert took_ns(world, "a", "b") == took_ns(world, "b", "a") == 2 * MS


def test_a_link_inside_a_place_may_differ_too() -> None:
    world = Probes(["a", "b", "c", "d"], links(LinkSettings("zone-1", "zone-1", latency=Constant(5 * MS))))
    assert took_ns(world, "a", "d") == 5 * MS


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (LinkSettings("zone-1", "zone-4"), "network.links[0].target: the graph has no place 'zone-4'; did you mean"),
        (LinkSettings("n1", "n3"), "network.links[0]: the graph has no link from n1 to n3"),
    ],
)
def test_a_link_that_is_not_there_is_refused(link: LinkSettings, said: str) -> None:
    graph = "ring" if link.source == "n1" else "three_zones"
    with pytest.raises(SettingsError) as refused:
        Places(still(graph=graph, links=(link,)), NODES[:5])
    assert said in str(refused.value)


def test_kinds_of_messages_have_times_of_their_own() -> None:
    world = Probes(["a", "b"], still(kinds={"probe.work": Constant(9 * MS)}, order="none"))
    world["a"].host.send("b", Envelope(Work(1)))
    world["a"].host.send("b", Envelope(Note(2)))
    world["a"].host.send("b", Envelope(Work(3)), Channel.DATAGRAM)
    world.run(S)
    assert list(zip(world["b"].times, world["b"].numbers("a"), strict=True)) == [(MS, 2), (9 * MS, 1), (9 * MS, 3)]


def sent(channel: Channel, **network: Any) -> list[int]:
    """The numbers that arrive of a thousand, one a millisecond."""
    world = Probes(["a", "b"], still(**network))
    for number in range(1_000):
        world.at(number * MS, lambda number=number: world["a"].say("b", number, channel))  # type: ignore[misc]
    world.run(100 * S)
    return world["b"].numbers("a")


def test_links_repeat_datagrams_and_never_what_is_on_a_stream() -> None:
    assert len(sent(Channel.DATAGRAM, duplicate=0.2)) == pytest.approx(1_200, abs=50)
    assert sent(Channel.STREAM, duplicate=0.2) == list(range(1_000))


def test_links_reorder_datagrams_and_never_what_is_on_a_stream() -> None:
    latency = {"latency": Constant(3 * MS), "inside": Constant(3 * MS)}
    assert sent(Channel.DATAGRAM, reorder=0.2, **latency) != list(range(1_000))
    assert sent(Channel.STREAM, reorder=0.2, **latency) == list(range(1_000))
    assert sent(Channel.STREAM, reorder=0.2, order="none", **latency) != list(range(1_000))


def test_what_is_hurt_on_the_way_does_not_arrive_but_a_stream_sends_it_again() -> None:
    assert len(sent(Channel.DATAGRAM, corrupt=0.2)) == pytest.approx(800, abs=50)
    assert sent(Channel.STREAM, corrupt=0.05) == list(range(1_000))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 12])
def test_every_shape_is_connected_for_any_number_of_nodes(shape: str, count: int) -> None:
    places = Places(still(graph=shape), NODES[:count])
    assert nx.is_connected(places.graph)
    for one in NODES[:count]:
        for other in NODES[:count]:
            assert places.route(one, other)


def test_shapes_are_what_they_are_called() -> None:
    def graph(shape: str) -> Any:
        return Places(still(graph=shape), NODES).graph

    assert nx.is_tree(graph("tree"))
    assert {degree for _, degree in graph("random_regular").degree()} == {3}
    assert nx.average_shortest_path_length(graph("small_world")) < nx.average_shortest_path_length(graph("ring"))
    hops = Places(still(graph="fat_tree"), NODES)
    assert [len(hops.route("n1", other)) for other in ("n2", "n5", "n9")] == [2, 4, 6]


GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="l" for="edge" attr.name="latency" attr.type="string"/>
  <key id="d" for="edge" attr.name="duplicate" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="a"/><node id="b"/>
    <edge source="a" target="b"><data key="l">{latency}</data><data key="d">0.25</data></edge>
  </graph>
</graphml>"""


def test_a_link_in_graphml_may_have_a_distribution(tmp_path: Path) -> None:
    file = tmp_path / "net.graphml"
    file.write_text(GRAPHML.format(latency='{ distribution = "uniform", low = "2ms", high = "4ms" }'))
    [hop] = Places(still(graph=str(file)), ["a", "b"]).route("a", "b")
    assert (hop.latency.average_ns(), hop.duplicate) == (3 * MS, 0.25)


@pytest.mark.parametrize(
    ("latency", "said"),
    [
        ('{ distribution = "uniform", low = "5ms", high = "4ms" }', "link a–b"),
        ("{ distribution = ", "link a–b"),
        ('{ distribution = "unifrm", low = "1ms" }', "did you mean 'uniform'"),
    ],
)
def test_an_impossible_link_in_graphml_is_refused(latency: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "net.graphml"
    file.write_text(GRAPHML.format(latency=latency))
    with pytest.raises(SettingsError) as refused:
        Places(still(graph=str(file)), ["a", "b"])
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"network": {"graph": "tree_zones"}}, "x.toml: network.graph: unknown graph 'tree_zones'"),
        (
            {"network": {"kinds": {"quorum.stor": {"distribution": "constant", "value": "1ms"}}}},
            "did you mean 'quorum.store'",
        ),
        (
            {"machines": {"cpu": {"quorum.stor": "1ms"}}},
            "x.toml: machines.cpu: the design has no message 'quorum.stor'",
        ),
        ({"machines": {"slower": {"data-7": 2.0}}}, "x.toml: machines.slower.data-7: there is no node 'data-7'"),
        ({"machines": {"clocks": [{"node": "data-7"}]}}, "x.toml: machines.clocks[0].node: there is no node 'data-7'"),
        ({"faults": [{"kind": "zone_outage", "zone": "z", "at": "1s", "lasts": "1s"}]}, "the network has no place 'z'"),
    ],
)
def test_an_experiment_that_names_what_is_not_there_is_refused_on_reading(table: Any, said: str) -> None:
    design = {"topology": "client_server", "replication": "quorum"}
    with pytest.raises(SettingsError) as refused:
        read_setup((), {"design": design, **table}, Path("x.toml"))
    assert said in str(refused.value)
