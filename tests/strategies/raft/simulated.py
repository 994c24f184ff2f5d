"""Raft in the simulated world: latencies, disks and clocks, faults drawn from the seed, and every input checked."""

from __future__ import annotations

from typing import Any

from kvsim.core.chance import Chance
from kvsim.core.history import History
from kvsim.core.message import MILLISECOND, SECOND, NodeId
from kvsim.core.node import Node
from kvsim.core.settings import read_settings
from kvsim.lab.sim_driver import SimDriver
from kvsim.sim.disk import StoredFile
from kvsim.sim.events import Delivered, DiskDone, TimerFired
from kvsim.sim.faults import install, read_faults
from kvsim.sim.settings import read_world
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design
from kvsim.strategies.replication.raft.log import LOG_FILE
from kvsim.workload.clients import Clients
from kvsim.workload.settings import Workload
from tests.strategies.raft.invariants import Invariants, raft_of

MIX = {"read": 0.4, "put": 0.3, "cas": 0.1, "create": 0.05, "update_if_present": 0.05, "delete": 0.1}


class SimulatedRun:
    """One run; `run` raises AssertionError where a property of Raft breaks, and gives what the clients saw."""

    def __init__(self, seed: int, servers: int = 3, wire: bool = False, **settings: object) -> None:
        self.chance = Chance(seed, "raft")
        design = read_design({"replication": {"strategy": "raft", **settings}}, "run", servers)
        self.cluster = cluster_of(design, servers)
        network = {"loss": self.chance.pick([0.0, 0.0, 0.02]), "order": self.chance.pick(["fifo", "fifo", "none"])}
        machines = {"disk": {"sync": self.chance.pick(["200us", "5ms"]), "torn": self.chance.happens(0.5)}}
        self.world = World(
            design, self.cluster, read_world({"network": network, "machines": machines}, "run"), seed, wire=wire
        )
        workload = {
            "mix": MIX,
            "keys": {"distribution": "uniform", "count": 5},
            "clients": 4,
            "duration": "1500ms",
            "timeout": "1500ms",
        }
        self.workload = read_settings(Workload, workload, "workload")
        self.clients = Clients(SimDriver(self.world), self.workload, Chance(seed, "workload"))
        self.invariants = Invariants(servers)
        self.disks: dict[NodeId, tuple[StoredFile, bytes]] = {}
        self.is_over = False

    def run(self) -> History:
        """All of it, to the last read."""
        world = self.world
        world.sinks.listen(lambda *_: self._check(), Delivered, DiskDone, TimerFired)
        world.start()
        world.at(0, lambda: self.clients.load(self._begin))
        while not self.is_over:
            world.run(world.now() + 20 * MILLISECOND)
            assert not world.failures, world.failures
            assert world.now() < 60 * SECOND, "progress: all is well again, and yet the run does not end"
        self._check()
        self._assert_all_agree()
        return self.clients.recorder.history

    def _begin(self) -> None:
        world = self.world
        faults = read_faults(list(self._faults()), "faults", self.cluster)
        windows = install(world, faults, world.now())
        self.clients.begin()
        ends_ns = max([world.now() + self.workload.duration_ns, *(window.end_ns for window in windows)])
        world.at(world.now() + self.workload.duration_ns, self.clients.stop)
        world.at(ends_ns + self.workload.timeout_ns + SECOND, lambda: self.clients.read_all(self._end))

    def _end(self) -> None:
        self.is_over = True

    def _faults(self) -> list[dict[str, Any]]:
        chance = self.chance
        faults: list[dict[str, Any]] = []
        for _ in range(chance.between(2, 5)):
            start = chance.between(0, self.workload.duration_ns)
            fault: dict[str, Any] = {"at": f"{start}ns", "lasts": f"{chance.between(20, 800)}ms"}
            who = chance.pick(["leader", "leader", "a follower"])
            kind = chance.pick(["crash", "crash", "partition", "partition", "loss", "delay"])
            if kind == "crash":
                fault |= {"kind": kind, "node": who}
            elif kind == "partition":
                fault |= {"kind": kind, "sides": [[who]]}
            elif kind == "loss":
                fault |= {"kind": kind, "share": 0.3}
            else:
                fault |= {"kind": kind, "delay": f"{chance.between(5, 200)}ms"}
            faults.append(fault)
        return faults

    def _check(self) -> None:
        hosts = self.world.hosts
        nodes = {name: node if isinstance(node := hosts[name].node, Node) else None for name in self.cluster.data}
        self.invariants.check(nodes, {name: self._disk(name) for name in self.cluster.data})

    def _disk(self, name: NodeId) -> dict[str, bytes]:
        file = self.world.hosts[name].storage.files.get(LOG_FILE)
        if file is None:
            return {}
        known = self.disks.get(name)
        if known is None or known[0] is not file or len(known[1]) != file.durable_bytes:
            known = self.disks[name] = (file, bytes(file.durable[: file.durable_bytes]))
        return {LOG_FILE: known[1]}

    def _assert_all_agree(self) -> None:
        digests = {}
        for name in self.cluster.data:
            node = self.world.hosts[name].node
            assert isinstance(node, Node), f"{name} is down, though every fault is healed"
            digests[name] = raft_of(node).replica.digest()
        assert len({*digests.values()}) == 1, f"all is well again, and yet the replicas differ: {digests}"
