"""Messages take the time that the network says, in order, and streams behave like TCP's when it loses or cuts."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.chance import Chance
from kvsim.core.message import Channel, Codec, Envelope
from kvsim.core.settings import SettingsError
from kvsim.sim.distributions import Constant, Exponential, Uniform
from kvsim.sim.faults import Fault, Flaky, SlowLink, install
from kvsim.sim.places import Places
from kvsim.sim.settings import LinkSettings, MachineSettings, NetworkSettings
from kvsim.transport.frames import HEADER_BYTES
from tests.sim.probes import MS, US, Note, Probes, S, still


def arrival_ns(world: Probes, source: str, target: str) -> int:
    """How long a message takes between two nodes of a still world."""
    begun = world.now()
    world[source].say(target, 1)
    world.run(begun + 10 * S)
    return world[target].times[-1] - begun


# Places ---------------------------------------------------------------------------------------------------------------


def test_a_matrix_gives_half_its_round_trip_one_way_and_routes_nothing() -> None:
    nodes = ["us-east-1", "us-west-1", "ap-southeast-1"]
    world = Probes(nodes, still(graph="aws-2017-rtt-ms"))
    assert arrival_ns(world, "us-east-1", "us-west-1") == round(72.74 * MS / 2)
    assert arrival_ns(world, "us-west-1", "us-east-1") == round(71.63 * MS / 2)
    assert arrival_ns(world, "us-east-1", "ap-southeast-1") == round(216.7 * MS / 2)


def test_in_three_zones_links_between_zones_differ_from_those_inside() -> None:
    world = Probes(["a", "b", "c", "d"], still(graph="three_zones", inside=Constant(100 * US)))
    assert [world.network.places.of(node) for node in "abcd"] == ["zone-1", "zone-2", "zone-3", "zone-1"]
    assert arrival_ns(world, "a", "d") == 100 * US
    assert arrival_ns(world, "a", "c") == MS


def test_in_a_star_all_pass_the_hub_and_in_a_ring_all_between() -> None:
    star = Probes(["a", "b", "c"], still(graph="star"))
    assert arrival_ns(star, "a", "c") == 2 * MS
    ring = Probes(list("abcdef"), still(graph="ring"))
    assert [arrival_ns(ring, "a", node) // MS for node in "bcdef"] == [1, 2, 3, 2, 1]


def test_settings_place_nodes_and_clients() -> None:
    settings = still(graph="three_zones", place={"a": "zone-3", "client": "zone-3"}, inside=Constant(US))
    world, answered = Probes(["a", "b"], settings), []
    port = world.client("client", lambda sender, envelope: answered.append(world.now()))
    world["a"].on_note = lambda sender, number: world["a"].say(sender, number)
    port.send("a", Envelope(Note(1)))
    world.run(S)
    assert answered == [2 * US]


def test_graphml_is_routed_by_the_least_latency(tmp_path: Path) -> None:
    file = tmp_path / "net.graphml"
    file.write_text(GRAPHML)
    world = Probes(["a", "b"], still(graph=str(file)))
    assert arrival_ns(world, "a", "b") == 5 * MS  # by the switch, not by the direct link of 20 ms


GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="l" for="edge" attr.name="latency" attr.type="string"/>
  <key id="s" for="node" attr.name="switch" attr.type="boolean"/>
  <graph edgedefault="undirected">
    <node id="a"/><node id="b"/><node id="x"><data key="s">true</data></node>
    <edge source="a" target="b"><data key="l">20ms</data></edge>
    <edge source="a" target="x"><data key="l">2ms</data></edge>
    <edge source="x" target="b"><data key="l">3ms</data></edge>
  </graph>
</graphml>"""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("torn.graphml", "<graphml", "is not GraphML"),
        ("apart.graphml", GRAPHML.replace('"x" t', '"a" t').replace('target="x"', 'target="b"'), "not connected"),
        ("odd.graphml", GRAPHML.replace("20ms", "20"), "expected a quantity like '50ms'"),
        ("missing.graphml", None, "cannot read"),
        ("missing.csv", None, "cannot read"),
        ("short.csv", "region,x,y\nx,0,1\n", "is no matrix"),
        ("ragged.csv", "region,x,y\nx,0,1\ny,1\n", "is no matrix"),
        ("words.csv", "region,x,y\nx,0,far\ny,1,0\n", "from x to y: expected a round-trip time"),
        ("negative.csv", "region,x,y\nx,0,-1\ny,1,0\n", "from x to y: expected a round-trip time"),
        ("empty.csv", "", "is no matrix"),
    ],
)  # fmt: skip
def test_a_bad_graph_is_refused_with_file_and_reason(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=said) as refused:
        Places(still(graph=str(tmp_path / name)), ["a", "b"])
    assert name in str(refused.value)


def test_an_unknown_shape_or_place_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'three_zones'"):
        Places(still(graph="tree_zones"), ["a"])
    with pytest.raises(SettingsError, match="did you mean 'zone-1'"):
        Places(still(graph="three_zones", place={"a": "zone1"}), ["a"])


# Size and bandwidth ---------------------------------------------------------------------------------------------------


def test_bytes_are_counted_as_encoded_with_the_frame() -> None:
    world = Probes()
    envelope = Envelope(Note(7, b"x" * 300))
    world["a"].host.send("b", envelope)
    world.run(S)
    assert world.counts.bytes_sent == len(Codec([Note]).encode(envelope)) + HEADER_BYTES
    assert (world.counts.messages_sent, world.counts.messages_delivered) == (1, 1)


def test_messages_queue_for_the_bandwidth() -> None:
    world = Probes(network=still(bandwidth_bytes_per_s=1_000_000))
    for number in range(3):
        world["a"].say("b", number, padding=bytes(1_000))
    world.run(S)
    size = world.counts.bytes_sent // 3
    assert world["b"].times == [MS + n * size * US for n in (1, 2, 3)]


def test_a_link_between_places_is_shared_and_a_rack_link_is_the_senders_own() -> None:
    def arrivals(graph: str) -> list[int]:
        world = Probes(["a", "b", "c"], still(graph=graph, place=PLACES[graph], bandwidth_bytes_per_s=1_000_000))
        for sender in "ab":
            world[sender].say("c", 1, padding=bytes(1_000))
        world.run(S)
        return world["c"].times

    together, apart = arrivals("single_rack"), arrivals("three_zones")
    assert together[0] == together[1]
    assert apart[1] - apart[0] == apart[0] - MS


PLACES = {"single_rack": {}, "three_zones": {"a": "zone-1", "b": "zone-1", "c": "zone-2"}}


# Streams --------------------------------------------------------------------------------------------------------------

JITTER = Exponential(mean_ns=5 * MS)


def test_fifo_keeps_order_and_none_does_not() -> None:
    got = {}
    for order in ("fifo", "none"):
        world = Probes(network=NetworkSettings(latency=JITTER, order=order), seed=3)  # type: ignore[arg-type]
        for number in range(50):
            world["a"].say("b", number)
        world.run(10 * S)
        got[order] = world["b"].numbers("a")
    assert got["fifo"] == list(range(50))
    assert got["none"] != list(range(50))
    assert sorted(got["none"]) == list(range(50))


def test_datagrams_overtake_each_other_and_are_lost() -> None:
    world = Probes(network=NetworkSettings(latency=JITTER, loss=0.2), seed=3)
    for number in range(200):
        world["a"].say("b", number, Channel.DATAGRAM)
    world.run(10 * S)
    got = world["b"].numbers("a")
    assert got != sorted(got)
    assert 130 < len(got) < 190
    assert world.counts.messages_dropped == 200 - len(got)


def test_a_lost_message_costs_a_retransmission_timeout_and_what_follows_waits_for_it() -> None:
    world = Probes(network=still(loss=0.3), seed=1)
    for number in range(20):
        world["a"].say("b", number)
    world.run(60 * S)
    b = world["b"]
    assert b.numbers("a") == list(range(20))
    assert not b.lost
    late = [time for time in b.times if time > MS]
    assert late, "this seed loses something"
    assert min(late) >= 200 * MS
    assert b.times == sorted(b.times)


def test_a_cut_drops_what_would_arrive_and_the_stream_sends_it_again_after_the_heal() -> None:
    world = Probes()
    world["a"].say("b", 0)  # would arrive during the cut, though it was sent before
    heal = world.cut(["a"], ["b"])
    world.run(S)
    assert world["b"].got == []
    heal()
    world["a"].say("b", 1)
    world.run(5 * S)
    assert world["b"].numbers("a") == [0, 1]
    # Sent again 202, 404 + 202 … ms after: the third try, 1,414 ms after the first, is the first after the heal.
    assert world["b"].times == [7 * 202 * MS + MS] * 2


def test_a_datagram_into_a_cut_is_gone() -> None:
    world = Probes()
    heal = world.cut(["a"], ["b"])
    world["a"].say("b", 0, Channel.DATAGRAM)
    world.run(S)
    heal()
    world.run(20 * S)
    assert world["b"].got == []
    assert world.counts.messages_dropped == 1


def test_after_too_many_tries_the_stream_breaks_at_both_ends_and_a_new_one_works() -> None:
    world = Probes()
    heal = world.cut(["a"], ["b"])
    world["a"].say("b", 0)
    world.run(20 * S)
    limit = 202 * MS * (2**5 - 1)  # five timeouts, each twice the one before
    assert world["a"].lost == [("b", limit)]
    assert world["b"].lost == [("a", limit)]
    heal()
    world["a"].say("b", 1)
    world.run(21 * S)
    assert world["b"].numbers("a") == [1]
    assert world.counts.messages_dropped == 1


def test_peers_learn_of_a_crash_by_the_keepalive() -> None:
    world = Probes(("a", "b", "c"))
    world["a"].say("b", 0)
    world.run(S)
    world.hosts["b"].crash()
    world.run(3 * S)
    assert world["a"].lost == [("b", S + 500 * MS)]
    assert world["c"].lost == [], "c never talked with b"


def test_peers_learn_sooner_when_they_send_to_the_restarted_node() -> None:
    world = Probes()
    world["a"].say("b", 0)
    world.run(S)
    world.hosts["b"].crash()
    world.hosts["b"].restart()
    world["a"].say("b", 1)
    world.run(3 * S)
    assert world["b"].got == [], "the message went into the old stream"
    assert world["a"].lost == [("b", S + 2 * MS)], "a reset, one round trip later"
    world["a"].say("b", 2)
    world.run(4 * S)
    assert world["b"].numbers("a") == [2]


def test_peers_learn_before_the_first_message_of_a_restarted_node() -> None:
    world = Probes()
    log: list[str] = []
    world["a"].say("b", 0)
    world.run(S)
    world["a"].on_note = lambda sender, number: log.append(f"heard {number} after {len(world['a'].lost)} losses")
    world.hosts["b"].crash()
    world.hosts["b"].restart()
    world["b"].say("a", 5)
    world.run(2 * S)
    assert log == ["heard 5 after 1 losses"]


def test_what_was_on_its_way_from_or_to_a_crashed_node_is_dropped() -> None:
    world = Probes()
    world["a"].say("b", 0)
    world["b"].say("a", 0)
    world.run(MS // 2)
    world.hosts["b"].crash()
    world.hosts["b"].restart()
    world.run(S)
    assert world["a"].got == []
    assert world["b"].got == []
    assert world.counts.messages_dropped == 2


def test_a_broken_stream_loses_what_was_on_its_way_in_both_directions() -> None:
    world = Probes(network=still(outbox=5))
    world["b"].say("a", 1)
    for number in range(6):
        world["a"].say("b", number)
    world.run(S)
    assert world["a"].got == []
    assert world["b"].got == []
    assert [peer for peer, _ in world["a"].lost] == ["b"]
    assert [peer for peer, _ in world["b"].lost] == ["a"]
    assert world.counts.messages_dropped == 7


def sent_at_once(count: int, **network: Any) -> Probes:
    """A world in which a has sent so many messages of some 1,000 bytes to b, on a stream."""
    world = Probes(network=still(**network))
    for number in range(count):
        world["a"].say("b", number, padding=b"x" * 1_000)
    world.run(S)
    return world


@pytest.mark.parametrize("order", ["fifo", "none"])
def test_a_stream_breaks_when_too_many_bytes_are_under_way(order: str) -> None:
    assert sent_at_once(150, buffer_bytes=160_000, order=order)["b"].lost == []
    assert len(sent_at_once(175, buffer_bytes=160_000, order=order)["b"].lost) == 1
    assert len(sent_at_once(7, outbox=6)["b"].lost) == 1
    assert sent_at_once(6, outbox=6)["b"].lost == []


def test_bytes_that_have_arrived_and_datagrams_are_not_under_way() -> None:
    world = Probes(network=still(buffer_bytes=15_000))
    for number in range(200):
        world["a"].say("b", number, padding=b"x" * 1_000)
        world["a"].say("b", number, Channel.DATAGRAM, padding=b"x" * 1_000)
        if number % 10 == 9:
            world.run(world.now() + 2 * MS)
    assert world["a"].lost == []
    assert sorted(world["b"].numbers("a")) == sorted([*range(200), *range(200)])


def test_a_message_queues_for_each_link_on_its_way_when_it_comes_to_it() -> None:
    far = LinkSettings("a", "hub", latency=Constant(100 * MS), bandwidth_bytes_per_s=10**12)
    into_c = LinkSettings("hub", "c", both_ways=False, bandwidth_bytes_per_s=1_000_000)
    network = still(graph="star", links=(far, into_c), bandwidth_bytes_per_s=10**12)
    world = Probes(("a", "b", "c"), network)
    world["a"].say("c", 1, padding=b"x" * 500_000)  # at the hub after 100 ms, and then half a second on the last link
    world.at(10 * MS, lambda: world["b"].say("c", 2, padding=b"x" * 1_000))
    world.at(150 * MS, lambda: world["b"].say("c", 3))
    world.run(2 * S)
    assert [number for _, number in world["c"].got] == [2, 1, 3]
    assert [time // MS for time in world["c"].times] == [13, 601, 601], "the second finds the last link free"


@pytest.mark.parametrize("channel", [Channel.STREAM, Channel.DATAGRAM])
def test_over_several_links_without_a_queue_a_message_takes_the_sum_of_their_times(channel: Channel) -> None:
    for bandwidth in (None, 10**12):
        world = Probes(("a", "b"), still(graph="star", bandwidth_bytes_per_s=bandwidth))
        world["a"].say("b", 1, channel)
        world.run(S)
        assert world["b"].times == [2 * MS]


def test_a_stream_over_several_links_breaks_when_its_peer_restarts_and_begins_anew() -> None:
    world = Probes(("a", "b"), still(graph="star", bandwidth_bytes_per_s=100_000, keepalive_ns=50 * MS))
    for number in range(20):
        world["a"].say("b", number, padding=b"x" * 1_000)
    world.run(100 * MS)
    world.hosts["b"].crash()
    world.hosts["b"].restart()
    world.run(S)
    assert [peer for peer, _ in world["a"].lost] == ["b"]
    world["a"].say("b", 99)
    world.run(2 * S)
    assert world["b"].numbers("a") == [99]
    counts = world.counts
    assert counts.messages_sent == counts.messages_delivered + counts.messages_dropped == 21


def test_a_message_to_nobody_is_a_defect_of_the_node() -> None:
    world = Probes()
    world.at(0, lambda: world.hosts["a"].life.after(0, lambda: world["a"].say("nobody", 1)))  # type: ignore[union-attr]
    world.run(S)
    [(node, error)] = world.failures
    assert node == "a"
    assert "no such node" in str(error)


def test_the_inbox_is_bounded() -> None:
    world = Probes(machines=MachineSettings(cpu={"default": "1ms"}, inbox=10))
    for number in range(100):
        world["a"].say("b", number)
    world.run(S)
    assert world.network.overflows > 0
    assert world["a"].lost
    assert world["b"].lost


# Properties -----------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(["ab", "ba"]), st.integers(1, 5)),
        st.tuples(st.just("cut"), st.just(""), st.just(0)),
        st.tuples(st.just("heal"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 3_000)),
    ),
    max_size=40,
)


TROUBLES: list[dict[str, Any]] = [
    {},
    {"loss": 0.1},
    {"loss": 0.5},
    {"duplicate": 0.3, "reorder": 0.3, "corrupt": 0.1},
    {"kinds": {"probe.note": Uniform(0, 50 * MS)}, "loss": 0.1},
    {"graph": "star", "reorder": 0.3, "bandwidth_bytes_per_s": 100_000},
]
SPOILERS: list[list[Fault]] = [
    [],
    [Flaky(loss=0.3, delay_ns=5 * MS, duplicate=0.3, reorder=0.3, corrupt=0.1, at_ns=0, lasts_ns=5 * S)],
    [SlowLink(bandwidth_bytes_per_s=2_000, at_ns=0, lasts_ns=2 * S)],
]


@given(STEPS, st.sampled_from(TROUBLES), st.sampled_from(SPOILERS), st.integers(0, 5))
def test_no_stream_message_is_reordered_lost_without_a_break_or_delivered_across_a_cut(
    steps: list[tuple[str, str, int]], troubles: dict[str, Any], spoilers: list[Fault], seed: int
) -> None:
    world = Probes(network=NetworkSettings(**{"latency": Uniform(MS, 30 * MS), **troubles}), seed=seed)
    install(world, spoilers)
    sent = {"ab": 0, "ba": 0}
    heal, cuts = None, list[tuple[int, int]]()
    for step, pair, number in steps:
        if step == "send":
            for _ in range(number):
                world[pair[0]].say(pair[1], sent[pair])
                sent[pair] += 1
        elif step == "cut" and heal is None:
            heal = world.cut(["a"], ["b"])
            cuts.append((world.now(), 0))
        elif step == "heal" and heal is not None:
            heal = heal()
            cuts[-1] = (cuts[-1][0], world.now())
        else:
            world.run(world.now() + number * MS)
    if heal is not None:
        heal()
        cuts[-1] = (cuts[-1][0], world.now())
    world.run(world.now() + 60 * S)
    for pair in sent:
        receiver = world[pair[1]]
        got = receiver.numbers(pair[0])
        assert got == sorted(set(got)), "reordered or repeated"
        if len(got) < sent[pair]:
            assert receiver.lost, "lost, and the receiver was not told"
            assert world[pair[0]].lost, "lost, and the sender was not told"
        assert not [t for t in receiver.times for begun, ended in cuts if begun < t < ended], "delivered across a cut"


@given(st.integers(0, 3), st.sampled_from([0.0, 0.3]), st.sampled_from(["single_rack", "star"]))
def test_counts_add_up(seed: int, loss: float, graph: str) -> None:
    world = Probes(network=NetworkSettings(loss=loss, graph=graph), seed=seed)
    for number in range(30):
        world["a"].say("b", number)
        world["b"].say("a", number, Channel.DATAGRAM)
    world.run(MS)
    world.hosts["b"].crash()
    world.run(100 * S)
    counts = world.counts
    assert counts.messages_sent == counts.messages_delivered + counts.messages_dropped


def test_links_draw_from_streams_of_their_own() -> None:
    latency = Exponential(mean_ns=MS)
    world = Probes(("a", "b", "c"), still(latency=latency))
    world["a"].say("c", 0)
    world["a"].say("b", 1)
    world.run(S)
    expected = next(islice(latency.draws(Chance(0, "world").stream("network").stream("a>b")), 1))
    assert world["b"].times == [expected]
