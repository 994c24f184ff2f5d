"""Faults of machines: power, processes, CPUs and clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import NodeId
from kvsim.sim.distributions import Positive
from kvsim.sim.faults.base import ZONE, BaseFault, Lasting, NodeFault, Struck, Target, find, find_all
from kvsim.sim.host import SimHost

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation


class Crash(BaseFault, frozen=True, tag="crash", kw_only=True):
    """A node loses power, and restarts when it is over: its memory is gone, its disk is as of the last sync."""

    node: Target
    lasts_ns: Positive | None = None
    """None: for good."""
    torn: bool = False
    """Whether the disk may keep a part, drawn from its own stream, of what was appended and not synced."""

    def targets(self) -> Iterable[Target]:
        """The node."""
        return (self.node,)

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Crash it."""
        nodes = find(world, self.node, chance)
        return None if nodes is None else _power_cut(world, nodes, torn=self.torn)


class ZoneOutage(Lasting, frozen=True, tag="zone_outage", kw_only=True):
    """All nodes in a place of the network lose power at once, and restart when it is over."""

    zone: str

    def targets(self) -> Iterable[Target]:
        """All nodes there."""
        return (f"{ZONE}{self.zone}",)

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Crash them."""
        nodes = find(world, f"{ZONE}{self.zone}", chance)
        return None if nodes is None else _power_cut(world, nodes)


class DiskLost(NodeFault, frozen=True, tag="disk_lost", kw_only=True):
    """A node loses power and its disk; it restarts with an empty one."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Crash it, and put an empty disk in."""
        nodes = find(world, self.node, chance)
        if nodes is None:
            return None
        struck = _power_cut(world, nodes)
        for node in nodes:
            world.hosts[node].storage.lose_all()
        return struck


class RollingRestart(Lasting, frozen=True, tag="rolling_restart", kw_only=True):
    """Nodes are restarted one after the other, as for an upgrade: each has an equal part of the time, and is down for
    the first half of it."""

    nodes: tuple[Target, ...] = ()
    """In this order; when not given, all ServerData."""

    def targets(self) -> Iterable[Target]:
        """Those restarted."""
        return self.nodes

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Begin with the first."""
        nodes = find_all(world, self.nodes or world.storing, chance)
        if nodes is None:
            return None
        turn_ns, now = self.lasts_ns // len(nodes), world.now()
        for number, node in enumerate(nodes):
            host = world.hosts[node]
            world.at(now + number * turn_ns, host.crash)
            world.at(now + number * turn_ns + turn_ns // 2, host.restart)
        return Struck(nodes, lambda: None)


class Pause(NodeFault, frozen=True, tag="pause", kw_only=True):
    """A node's time stands still, as when its process or virtual machine is stopped; then it goes on with all it knew.

    What reaches it meanwhile waits. Its clocks go on, so its leases and timeouts may have run out when it wakes.
    """

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Stop it."""
        return _to_each(world, self.node, chance, lambda host: host.pause(self.lasts_ns), lambda host: None)


class SlowCpu(NodeFault, frozen=True, tag="slow_cpu", kw_only=True):
    """A grey failure: a node's CPU takes longer for everything, and yet the node answers."""

    factor: Annotated[float, msgspec.Meta(gt=1)] = 10.0
    """How many times as long."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Slow it down."""
        faster = 1 / self.factor
        return _to_each(world, self.node, chance, lambda host: host.slow(self.factor), lambda host: host.slow(faster))


class ClockJump(NodeFault, frozen=True, tag="clock_jump", kw_only=True):
    """A node's calendar is set wrong, as by an operator or a bad time server, and set right when it is over."""

    by_ns: Positive
    backwards: bool = False

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Set it."""
        step_ns = -self.by_ns if self.backwards else self.by_ns
        return _to_each(world, self.node, chance, partial(_set, step_ns), partial(_set, -step_ns))


class ClockDrift(NodeFault, frozen=True, tag="clock_drift", kw_only=True):
    """A node's clocks run too fast or too slow; afterwards they run as before, and stay as far off as they are."""

    ppm: Annotated[int, msgspec.Meta(gt=-1_000_000)]
    """How much too fast, in millionths; negative: too slow."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Let it drift."""

        def drift(host: SimHost, ppm: int) -> None:
            host.clock.drift(world.now(), host.clock.drift_ppm + ppm)

        return _to_each(
            world, self.node, chance, lambda host: drift(host, self.ppm), lambda host: drift(host, -self.ppm)
        )


def _set(step_ns: int, host: SimHost) -> None:
    host.clock.calendar_ns += step_ns


def _to_each(
    world: Simulation, target: Target, chance: Chance, hurt: Callable[[SimHost], None], heal: Callable[[SimHost], None]
) -> Struck | None:
    """Do something to each node that is meant, and undo it when the fault is over."""
    nodes = find(world, target, chance)
    if nodes is None:
        return None
    hosts = [world.hosts[node] for node in nodes]
    for host in hosts:
        hurt(host)
    return Struck(nodes, lambda: _do_all(heal, hosts))


def _power_cut(world: Simulation, nodes: Sequence[NodeId], *, torn: bool = False) -> Struck:
    hosts = [world.hosts[node] for node in nodes]
    for host in hosts:
        usual, host.storage.torn = host.storage.torn, torn or host.storage.torn
        host.crash()
        host.storage.torn = usual
    return Struck(tuple(nodes), lambda: _do_all(SimHost.restart, hosts))


def _do_all(what: Callable[[SimHost], None], hosts: Sequence[SimHost]) -> None:
    for host in hosts:
        what(host)
