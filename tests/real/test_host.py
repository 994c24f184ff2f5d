"""What the real host adds to the promises of all: a failed node is inert at once, links have faults, nodes report."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from kvsim.core.chance import Chance
from kvsim.core.host import Timer
from kvsim.core.message import MILLISECOND, Channel, Nanoseconds, NodeId
from kvsim.core.waiting import Future
from kvsim.real.filter import RETRANSMISSION_NS, RETRANSMISSIONS, LinkFault, LinkFilter
from kvsim.testing.host_suite import Cluster
from kvsim.testing.real_harness import RealHarness
from tests.real.conftest import QUORUM, Session, Start, talk


def test_a_node_that_fails_is_inert_before_its_coroutines_end() -> None:
    with Cluster(RealHarness, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]
        cluster.act("a", lambda: a.say("b", 1))
        cluster.until(lambda: bool(b.got), "the stream did not open")

        async def haunt() -> None:
            try:
                await Future[None]()
            finally:
                a.say("b", 666)
                a.host.disk.append("file", b"ghost")

        def fail() -> None:
            a.host.spawn(haunt())
            a.host.fail(ValueError("a defect"))

        cluster.harness.act("a", fail)
        cluster.until(lambda: bool(cluster.harness.failures()), "the failure was not reported")
        cluster.until(lambda: "a" in b.lost, "the peer was not told")
        assert b.numbers("a") == [1]
        assert "file" not in cluster.restart("a").recovered.files


class Line:
    """A path for the filter, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.sent: list[tuple[Nanoseconds, bytes, Channel]] = []
        self.broken: list[NodeId] = []
        self.timers: list[tuple[Nanoseconds, int, Call]] = []
        self.filter = LinkFilter(self, Chance(1, "test"), lambda: self.now_ns, self.after)

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        self.sent.append((self.now_ns // MILLISECOND, payload, channel))

    def break_streams(self, peer: NodeId) -> None:
        self.broken.append(peer)

    def after(self, delay_ns: Nanoseconds, call: object) -> Timer:
        timer = Call(call)
        self.timers.append((self.now_ns + delay_ns, len(self.timers), timer))
        return timer

    def run(self, until_ms: int) -> None:
        while self.timers and min(self.timers)[0] <= until_ms * MILLISECOND:
            due = min(self.timers)
            self.timers.remove(due)
            self.now_ns = max(self.now_ns, due[0])
            due[2].call()  # type: ignore[operator]
        self.now_ns = until_ms * MILLISECOND


class Call:
    def __init__(self, call: object) -> None:
        self.call = call

    def cancel(self) -> None:
        self.call = lambda: None


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    assert not line.timers, "something is held for ever"


def test_delays_add_to_each_message_and_streams_keep_order(line: Line) -> None:
    line.filter.install({"b": LinkFault(delay_ns=10 * MILLISECOND, jitter_ns=5 * MILLISECOND)})
    for number in range(20):
        line.run(number)
        line.filter.transmit("b", b"%d" % number, Channel.STREAM)
    line.run(100)
    assert [payload for _, payload, _ in line.sent] == [b"%d" % number for number in range(20)]
    assert all(10 <= arrival - number <= 15 for number, (arrival, _, _) in enumerate(line.sent))


def test_a_cut_shorter_than_the_retransmissions_loses_nothing(line: Line) -> None:
    line.filter.install({"b": LinkFault(cut=True)})
    line.filter.transmit("b", b"1", Channel.STREAM)
    line.filter.transmit("b", b"2", Channel.STREAM)
    line.run(500)
    line.filter.install({})
    assert "b" in line.filter.concerned, "what is sent now must not overtake what is held"
    line.filter.transmit("b", b"3", Channel.STREAM)
    line.run(10_000)
    assert [payload for _, payload, _ in line.sent] == [b"1", b"2", b"3"]
    assert line.sent[0][0] == 600, "sent again after 200 and 400 ms"
    assert "b" not in line.filter.concerned and not line.broken


def test_a_long_cut_breaks_the_stream_and_what_follows_starts_anew(line: Line) -> None:
    line.filter.install({"b": LinkFault(cut=True)})
    line.filter.transmit("b", b"1", Channel.STREAM)
    line.run(10_000)
    assert line.broken == ["b"] and line.filter.dropped == 1
    line.filter.install({})
    line.filter.transmit("b", b"2", Channel.STREAM)
    line.run(20_000)
    assert [payload for _, payload, _ in line.sent] == [b"2"]
    assert (RETRANSMISSION_NS << RETRANSMISSIONS) - RETRANSMISSION_NS == 3_000 * MILLISECOND


def test_loss_drops_datagrams_and_only_delays_streams(line: Line) -> None:
    line.filter.install({"b": LinkFault(loss=0.3)})
    for number in range(100):
        line.filter.transmit("b", b"%d" % number, Channel.DATAGRAM)
    line.run(1)
    assert 50 < len(line.sent) < 90 and line.filter.dropped == 100 - len(line.sent)
    line.sent.clear()
    for number in range(20):
        line.filter.transmit("b", b"%d" % number, Channel.STREAM)
    line.run(60_000)
    assert [payload for _, payload, _ in line.sent] == [b"%d" % number for number in range(20)]
    assert line.sent[-1][0] >= 200


def test_other_links_are_not_concerned(line: Line) -> None:
    line.filter.install({"b": LinkFault(cut=True)})
    assert "c" not in line.filter.concerned


def test_a_queue_behind_a_cut_is_bounded(line: Line) -> None:
    line.filter.outbox = 10
    line.filter.install({"b": LinkFault(cut=True)})
    for _ in range(11):
        line.filter.transmit("b", b"payload", Channel.STREAM)
    assert line.broken == ["b"] and line.filter.overflows == 1
    line.run(1_000)


def test_delays_reach_the_links_of_a_running_cluster(start: Start) -> None:
    cluster = start({"replication": "single_copy", "durability": "memory"}, nodes=1)
    late = {"frontend-1": {"data-1": LinkFault(delay_ns=150 * MILLISECOND)}}
    cluster.set_faults(late)

    async def how_long(session: Session) -> float:
        begun = time.monotonic()
        await session.put(b"k", b"v")
        return time.monotonic() - begun

    assert talk(cluster, how_long) >= 0.15
    cluster.set_faults({})
    while talk(cluster, how_long) >= 0.15:
        continue  # on a busy machine not the first one is fast


def test_a_door_tells_of_the_whole_cluster_and_of_nodes_that_do_not_answer(start: Start) -> None:
    cluster = start(QUORUM, http_ports=[0])
    url = f"http://127.0.0.1:{cluster.file.http['frontend-1']}"

    def told() -> dict[str, Any]:
        with urllib.request.urlopen(f"{url}/v1/cluster?key=k") as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    first = told()
    assert first["cluster"] == cluster.file.cluster_id and first["silent"] == []
    assert [node["node"] for node in first["nodes"]] == ["frontend-1", "data-1", "data-2", "data-3"]
    assert sorted(first["replicas"]) == ["data-1", "data-2", "data-3"]
    cluster.kill("data-2")
    assert told()["silent"] == ["data-2"]


def test_the_roles_of_nodes_are_told(start: Start) -> None:
    cluster = start({"replication": "raft"})
    while (leader := cluster.role("leader")) is None:
        continue  # nobody yet, or two who have not heard of each other
    assert leader in cluster.plan.cluster.data
    assert cluster.role("king") is None


def test_redis_clients_are_served_by_the_process(start: Start) -> None:
    import redis

    cluster = start(QUORUM, resp_ports=[0])
    with redis.Redis(port=cluster.file.resp["frontend-1"]) as client:
        assert client.set("k", b"v")
        assert client.get("k") == b"v"
