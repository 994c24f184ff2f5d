"""What the papers say of quorums, each claim with its place.

Dynamo: DeCandia et al., SOSP 2007. ABD: Attiya, Bar-Noy and Dolev, "Sharing memory robustly in message-passing
systems", JACM 1995; for several writers Lynch and Shvartsman, FTCS 1997.
"""

from __future__ import annotations

from typing import Any

import pytest

from kvsim.core.message import Envelope, Failure, NodeId
from kvsim.core.operation import Absent, Found, Perform, Put, Read, RequestId, Written
from kvsim.core.settings import SettingsError
from kvsim.explore.stepper import InFlight, Pending, Recorded, Sent
from kvsim.strategies.catalogue import read_design
from kvsim.strategies.replication.quorum import Fetch, Quorum, QuorumMet, Store, Stored
from tests.strategies.stepping import CLIENT, Running


def running(n: int = 3, r: int = 2, w: int = 2, nodes: int = 5, **design: Any) -> Running:
    replication = {"strategy": "quorum", "n": n, "r": r, "w": w, **design.pop("replication", {})}
    lamport = {"strategy": "last_writer_wins", "clock": "lamport"}
    table = {"topology": "peer_to_peer", "replication": replication, "conflict": lamport, "timeout": "1s", **design}
    return Running(table, nodes)


def replicas_of(run: Running, key: bytes) -> tuple[NodeId, ...]:
    node = run.world.hosts["node-1"].node
    assert node is not None
    quorum = next(part for part in node.components if isinstance(part, Quorum))
    return quorum.site.placement.replicas(key)


def crash(run: Running, *nodes: NodeId) -> None:
    for node in nodes:
        run.world.crash(node)


def put_at(run: Running, door: NodeId, key: bytes, value: bytes) -> Any:
    return run.ask(Put, key, value, door=door)


# Dynamo, section 4.5: execution of get() and put() ---------------------------------------------


def test_4_5_any_node_in_the_system_can_receive_a_clients_operation() -> None:
    run = running()
    for node in run.cluster.data:
        assert isinstance(put_at(run, node, b"k", node.encode()), Written)
        found = run.ask(Read, b"k", door=node)
        assert isinstance(found, Found)
        assert found.value == node.encode()


def test_4_5_a_node_outside_the_top_n_forwards_to_one_of_them() -> None:
    run = running()
    replicas = replicas_of(run, b"k")
    outside = next(node for node in run.cluster.data if node not in replicas)
    put_at(run, outside, b"k", b"v")
    coordinators = [h.node for h in run.world.happened if isinstance(h, Recorded) and isinstance(h.event, QuorumMet)]
    assert coordinators == [replicas[0]], "the first of the preference list"


def test_4_5_put_sends_the_new_version_to_the_n_highest_ranked_nodes_and_waits_for_w() -> None:
    run = running(n=4, r=2, w=3)
    replicas = replicas_of(run, b"k")
    put_at(run, replicas[0], b"k", b"v")
    stores = [h.to for h in run.world.happened if isinstance(h, Sent) and isinstance(h.message, Store)]
    assert sorted(stores) == sorted(replicas)
    [met] = [h.event for h in run.world.happened if isinstance(h, Recorded) and isinstance(h.event, QuorumMet)]
    assert len(met.by) == 3


@pytest.mark.parametrize("r", [1, 2, 3])
def test_4_5_get_requests_all_n_and_waits_for_r_responses(r: int) -> None:
    run = running(r=r, w=3, replication={"read_repair": False})
    replicas = replicas_of(run, b"k")
    run.world.happened.clear()
    run.number += 1
    door = replicas[0]
    run.world.perform(CLIENT, door, Envelope(Perform(Read(RequestId("c", 1), b"k")), 1))
    asked = [h.to for h in run.world.happened if isinstance(h, Sent) and isinstance(h.message, Fetch)]
    assert sorted(asked) == sorted(replicas)
    heard = 0
    while not any(isinstance(h, Sent) and h.to == CLIENT for h in run.world.happened):
        choice = next(c for c in run.world.choices() if not isinstance(c, Pending))
        run.world.run(choice)
        heard += isinstance(choice, InFlight) and choice.to == door and choice.envelope.answers > 0
    assert heard == r


@pytest.mark.parametrize(("r", "w"), [(1, 3), (2, 2), (3, 1)])
def test_4_5_the_latency_of_an_operation_is_dictated_by_its_slowest_needed_replica(r: int, w: int) -> None:
    """R of N and W of N: N − R replicas may be down for a read, N − W for a write, and no more."""
    for down in range(1, 4):
        run = running(r=r, w=w, nodes=3)
        assert isinstance(put_at(run, "node-1", b"k", b"v"), Written)
        crash(run, *("node-3", "node-2")[: min(down, 2)])
        alive = 3 - min(down, 2)
        read = run.ask(Read, b"k", door="node-1", patience=300)
        assert isinstance(read, Found if alive >= r else Failure)
        written = run.ask(Put, b"k", b"w", door="node-1", patience=300)
        assert isinstance(written, Written if alive >= w else Failure)


def test_4_5_with_r_plus_w_above_n_every_read_meets_every_completed_write() -> None:
    for r, w in [(1, 3), (2, 2), (3, 1)]:
        run = running(r=r, w=w, nodes=3, replication={"read_repair": False})
        for number, writer in enumerate(run.cluster.data * 2):
            put_at(run, writer, b"k", b"%d" % number)
            for reader in run.cluster.data:
                found = run.ask(Read, b"k", door=reader)
                assert isinstance(found, Found)
                assert found.value == b"%d" % number


def test_4_5_read_repair_updates_stale_nodes_without_the_clients_waiting() -> None:
    run = running(nodes=3)
    crash(run, "node-3")
    put_at(run, "node-1", b"k", b"v")
    run.world.restart("node-3")
    assert isinstance(run.ask(Read, b"k", door="node-2"), Found)
    happened = run.world.happened
    answered = next(at for at, h in enumerate(happened) if isinstance(h, Sent) and h.to == CLIENT)
    run.settle()
    repairs = [at for at, h in enumerate(happened) if isinstance(h, Sent) and isinstance(h.message, Store)]
    assert repairs, "the replica that was down is brought up to date"
    stored = [at for at, h in enumerate(happened) if isinstance(h, Sent) and isinstance(h.message, Stored)]
    assert all(at > answered for at in stored)
    node = run.world.hosts["node-3"].node
    assert node is not None
    quorum = next(part for part in node.components if isinstance(part, Quorum))
    record = quorum.replica.get(b"k")
    assert record is not None
    assert record.value == b"v"


# Dynamo, section 4.4: versions -----------------------------------------------------------------


def test_4_4_a_result_of_put_may_return_before_all_replicas_have_it_and_a_get_may_then_miss_it() -> None:
    run = running(r=1, w=1, nodes=3, replication={"read_repair": False})
    run.world.cut("node-1", "node-3")
    assert isinstance(put_at(run, "node-1", b"k", b"v"), Written)
    run.world.cut("node-2", "node-3")
    assert isinstance(run.ask(Read, b"k", door="node-3"), Absent)


# ABD, and Lynch and Shvartsman -----------------------------------------------------------------


def test_abd_a_read_writes_back_what_a_later_read_could_miss_before_it_returns() -> None:
    """ABD, section 4: the reader sends the value that it is about to return to a majority, and waits."""
    run = running(nodes=3, consistency="linearizable")
    put = Put(RequestId("d", 1), b"k", b"half")
    run.world.perform(CLIENT, "node-1", Envelope(Perform(put), 99))
    while not any(isinstance(h, Sent) and isinstance(h.message, Store) for h in run.world.happened):  # its first round
        run.world.run(next(c for c in run.world.choices() if not isinstance(c, Pending)))
    for flight in list(run.world.flights.values()):  # one Store alone gets through
        if isinstance(flight.envelope.message, Store) and flight.to != "node-1":
            run.world.drop(flight)
    run.settle()
    read = run.ask(Read, b"k", door="node-1")
    assert isinstance(read, Found)
    assert read.value == b"half"
    acked = [h.sender for h in run.world.happened if isinstance(h, Sent) and isinstance(h.message, Stored)]
    assert len(set(acked)) >= 2, "a majority stored it before the reader was answered"
    crash(run, "node-1")
    later = run.ask(Read, b"k", door="node-2")
    assert isinstance(later, Found)
    assert later.value == b"half", "no later read sees an older value"


def test_lynch_shvartsman_a_write_takes_a_version_above_all_that_r_replicas_hold() -> None:
    run = running(nodes=3, consistency="linearizable")
    versions = []
    for number, writer in enumerate(("node-1", "node-3", "node-2", "node-1")):
        written = put_at(run, writer, b"k", b"%d" % number)
        assert isinstance(written, Written)
        versions.append(written.version)
    assert versions == sorted(versions)
    assert [version.counter for version in versions] == [1, 2, 3, 4]


def test_abd_atomicity_needs_quorums_that_meet() -> None:
    table = {"replication": {"strategy": "quorum", "r": 1, "w": 2}, "consistency": "linearizable"}
    with pytest.raises(SettingsError, match=r"linearizable needs R\+W > N"):
        read_design(table, "design", 3)
