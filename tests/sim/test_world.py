"""A whole design runs in the simulated world: clients ask, crash and faults included."""

import gc
import weakref
from typing import Any

import pytest

from kvsim.core.message import Envelope, NodeId
from kvsim.core.operation import Found, Perform, Put, Read, RequestId, Written
from kvsim.sim.faults import Crash, install
from kvsim.sim.packet import Packet
from kvsim.sim.settings import WorldSettings
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design
from tests.sim.probes import MS, S


def world_of(replication: dict[str, Any], wire: bool = False, seed: int = 1) -> World:
    design = read_design({"replication": replication}, "x.toml", 3)
    return World(design, cluster_of(design, 3, 1), WorldSettings(), seed, wire=wire)


class Asker:
    """A client that remembers the answers to its numbered requests."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[int, Any] = {}
        self.port = world.client("client-1", self._answered)
        self.number = 0

    def _answered(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        self.answers[envelope.answers] = envelope.message

    def ask(self, operation: type[Put] | type[Read], *fields: bytes) -> Any:
        """Ask, and let the world go on until the answer is there."""
        self.number += 1
        request = RequestId("client-1", self.number)
        self.port.send(self.world.cluster.doors()[0], Envelope(Perform(operation(request, *fields)), self.number))
        assert self.world.run_until(lambda: self.number in self.answers, 10 * S)
        return self.answers[self.number]


@pytest.mark.parametrize("wire", [False, True])
@pytest.mark.parametrize(
    "replication",
    [{"strategy": "single_copy"}, {"strategy": "quorum", "n": 3, "r": 2, "w": 2}],
    ids=lambda r: r["strategy"],
)
def test_a_client_writes_and_reads(replication: dict[str, Any], wire: bool) -> None:
    world = world_of(replication, wire)
    world.start()
    asker = Asker(world)
    assert isinstance(asker.ask(Put, b"k", b"v"), Written)
    found = asker.ask(Read, b"k")
    assert isinstance(found, Found)
    assert found.value == b"v"
    assert not world.failures


def test_what_was_acknowledged_survives_the_crash_of_every_node() -> None:
    world = world_of({"strategy": "quorum", "n": 3, "r": 2, "w": 2})
    world.start()
    asker = Asker(world)
    assert isinstance(asker.ask(Put, b"k", b"v"), Written)
    for host in world.hosts.values():
        host.crash()
        host.restart()
    world.run(world.now() + S)
    found = asker.ask(Read, b"k")
    assert isinstance(found, Found)
    assert found.value == b"v"


def test_a_node_that_is_down_has_no_program_and_faults_find_followers_among_the_data_nodes() -> None:
    world = world_of({"strategy": "quorum", "n": 3, "r": 2, "w": 2})
    world.start(down=["data-3"])
    assert world.hosts["data-3"].node is None
    assert world.storing == ("data-1", "data-2", "data-3")
    install(world, [Crash(node="data-1", at_ns=MS, lasts_ns=MS)])
    world.run(10 * MS)
    assert world.hosts["data-1"].incarnation == 2


def test_roles_are_looked_up_in_the_components_of_live_nodes() -> None:
    world = world_of({"strategy": "single_copy"})
    world.start()
    world.hosts["data-2"].node.components[0].role_name = "leader"  # type: ignore[union-attr]
    assert world.role("leader") == "data-2"
    world.hosts["data-2"].crash()
    assert world.role("leader") is None


@pytest.mark.parametrize("strategy", ["quorum", "raft", "primary_backup", "single_copy"])
def test_a_world_that_nobody_holds_is_forgotten_even_with_messages_under_way(strategy: str) -> None:
    world = world_of({"strategy": strategy})
    world.start()
    world.run(S)
    asker = Asker(world)
    for number in range(1, 4):
        asker.port.send(world.cluster.doors()[0], Envelope(Perform(Put(RequestId("c", number), b"k", b"v")), number))
        world.run(world.now() + MS)
    assert any(isinstance(argument, Packet) for *_, argument in world.engine._queue), "something is under way"
    engine = weakref.ref(world.engine)
    del world, asker
    gc.collect()
    assert engine() is None
