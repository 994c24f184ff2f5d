"""What a cluster says of itself: every node in its own words, who keeps silent, and where a key lies."""

from __future__ import annotations

import pytest

from kvsim.core.message import MILLISECOND, Envelope, Message, NodeId
from kvsim.core.operation import Put
from kvsim.core.status import AskCluster, ClusterStatus
from kvsim.explore.stepper import Sent
from tests.strategies.stepping import CLIENT, Running


def status(run: Running, door: NodeId, key: bytes | None = None) -> ClusterStatus:
    run.world.happened.clear()
    run.world.perform(CLIENT, door, Envelope(AskCluster(key), 77))
    run.settle()
    run.world.advance(500 * MILLISECOND)
    told: list[Message] = [h.message for h in run.world.happened if isinstance(h, Sent) and h.answers == 77]
    [answer] = told
    assert isinstance(answer, ClusterStatus)
    return answer


@pytest.mark.parametrize("replication", ["single_copy", "quorum", "primary_backup", "raft"])
@pytest.mark.parametrize("topology", ["client_server", "peer_to_peer"])
def test_every_node_tells_its_role_and_how_many_keys_it_holds(replication: str, topology: str) -> None:
    run = Running({"replication": replication, "topology": topology}, nodes=3)
    run.wait(600)
    run.ask(Put, b"k", b"v")
    run.wait(300)
    told = status(run, run.cluster.doors()[0], b"k")
    assert [node.node for node in told.nodes] == list(run.cluster.everyone())
    assert told.silent == ()
    roles = {node.node: node.role for node in told.nodes}
    assert {roles[node] for node in run.cluster.data} == {"data"}
    assert {roles[node] for node in run.cluster.frontends} <= {"frontend"}
    assert {roles[node] for node in run.cluster.services} <= {"service"}
    holding = [node.node for node in told.nodes if node.facts.get("keys") == "1"]
    assert holding == [node for node in run.cluster.data if node in told.replicas]
    assert len(holding) == (1 if replication == "single_copy" else 3)


def test_who_is_down_is_listed_as_silent_and_the_answer_waits_no_longer_than_its_patience() -> None:
    run = Running({"replication": "quorum"}, nodes=3)
    run.world.crash("data-2")
    told = status(run, "frontend-1")
    assert told.silent == ("data-2",)
    assert told.replicas == ()


def test_a_deleted_key_is_not_counted_and_suspects_are_named() -> None:
    heartbeat = {"strategy": "heartbeat", "interval": "50ms", "suspect_after": "150ms"}
    run = Running({"replication": "quorum", "membership": heartbeat, "topology": "peer_to_peer"}, nodes=3)
    run.world.crash("node-3")
    run.wait(300)
    told = status(run, "node-1")
    assert told.nodes[0].facts["suspects"] == "node-3"
    assert told.nodes[0].facts["keys"] == "0"
