"""The simulated world as the conformance suite of hosts drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from kvsim.core.message import SECOND, Nanoseconds, NodeId
from kvsim.sim.faults import cut_between
from kvsim.sim.packet import Rule
from kvsim.sim.settings import DiskSettings, MachineSettings, NetworkSettings, WorldSettings
from kvsim.sim.world import Simulation
from kvsim.testing.harness import Build, Options


class SimHarness:
    """Implements `Harness`; `settings` are those of the world, but for what the options say."""

    def __init__(self, options: Options, settings: WorldSettings | None = None, seed: int = 0) -> None:
        given = settings or WorldSettings()
        replace = msgspec.structs.replace
        network: NetworkSettings = replace(given.network, outbox=options.outbox)
        disk: DiskSettings = replace(given.machines.disk, torn=options.torn)
        machines: MachineSettings = replace(given.machines, inbox=options.inbox, disk=disk)
        self._settings = WorldSettings(network, machines)
        self._options, self._seed = options, seed
        self._cuts: list[Rule] = []

    def start(self, builds: Mapping[NodeId, Build]) -> None:
        """Start these nodes."""
        self.world = Simulation(
            list(builds),
            lambda host, scope: builds[host.id](host, scope),
            self._options.kinds,
            self._settings,
            self._seed,
        )
        self.world.start()

    def act(self, node: NodeId, call: Callable[[], None]) -> None:
        """Let this happen inside the node."""
        life = self.world.hosts[node].life
        assert life is not None, f"{node} is down"
        life.after(0, call)

    def run_until(self, predicate: Callable[[], bool], limit_ns: Nanoseconds = 60 * SECOND) -> bool:
        """Let the world go on."""
        return self.world.run_until(predicate, limit_ns)

    def crash(self, node: NodeId) -> None:
        """Crash a node."""
        self.world.hosts[node].crash()

    def restart(self, node: NodeId) -> None:
        """Restart it."""
        self.world.hosts[node].restart()

    def cut(self, one: NodeId, other: NodeId) -> None:
        """Cut two nodes off from each other."""
        rule = cut_between({one: 0, other: 1})
        self._cuts.append(rule)
        self.world.network.install(rule, self.world.network.at_arrival)

    def heal(self) -> None:
        """End all cuts."""
        for rule in self._cuts:
            self.world.network.remove(rule, self.world.network.at_arrival)
        self._cuts.clear()

    def failures(self) -> list[tuple[NodeId, Exception]]:
        """Nodes that failed."""
        return self.world.failures

    def overflows(self) -> int:
        """Messages that met a full queue."""
        return self.world.network.overflows

    def close(self) -> None:
        """Nothing to clean up."""
