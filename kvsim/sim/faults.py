"""Faults, as an experiment's `[[faults]]` states them: each strikes at its time, lasts, and is healed.

What a fault does to messages is one small function, packet → `Deliver` (later), `Drop` or None (no opinion); the first
answer wins. Each fault draws from a stream of its own, so adding one leaves all other draws as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.sim.distributions import Duration, Positive
from kvsim.sim.events import FaultBegan, FaultEnded
from kvsim.sim.link import Deliver, Drop, Packet, Rule, Verdict
from kvsim.sim.settings import Share

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation

ROLES = ("leader", "primary", "a follower")
"""Targets that are looked up when the fault strikes. A follower is any other ServerData, drawn."""
LOOK_AGAIN_NS = 10 * MILLISECOND
PATIENCE_NS = 10 * SECOND
"""How long a fault waits until somebody has the role that it aims at; after that it does not strike."""

Target = str


class Struck(NamedTuple):
    """A fault in force."""

    nodes: tuple[NodeId, ...]
    heal: Callable[[], None]


class _Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """Base of all faults."""

    at_ns: Duration
    """When it strikes, from the beginning of the workload."""

    @property
    def kind(self) -> str:
        """Its name in a file."""
        return str(self.__struct_config__.tag)

    def targets(self) -> Iterable[Target]:
        """All names in it that must be nodes or roles."""
        return ()

    def problems(self) -> Iterable[str]:
        """What makes no sense, as `key: reason`."""
        return ()


class Crash(_Fault, frozen=True, tag="crash"):
    """A node loses power, and restarts when it is over: its memory is gone, its disk is as of the last sync."""

    node: Target
    lasts_ns: Positive | None = None
    """None: for good."""

    def targets(self) -> Iterable[Target]:
        """The node."""
        return (self.node,)

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Crash it."""
        node = find(world, self.node, chance)
        if node is None:
            return None
        world.hosts[node].crash()
        return Struck((node,), world.hosts[node].restart)


class Pause(_Fault, frozen=True, tag="pause", kw_only=True):
    """A node's time stands still, as when its process or virtual machine is stopped; then it goes on with all it knew.

    What reaches it meanwhile waits. Its clocks go on, so its leases and timeouts may have run out when it wakes.
    """

    node: Target
    lasts_ns: Positive

    def targets(self) -> Iterable[Target]:
        """The node."""
        return (self.node,)

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Stop it."""
        node = find(world, self.node, chance)
        if node is None:
            return None
        world.hosts[node].pause(self.lasts_ns)
        return Struck((node,), lambda: None)


class Partition(_Fault, frozen=True, tag="partition"):
    """The sides cannot reach each other; who is on no side reaches all. What would arrive during the cut is dropped."""

    sides: tuple[tuple[Target, ...], ...]
    """One side alone is cut off from all other nodes, though not from the clients."""
    lasts_ns: Positive

    def targets(self) -> Iterable[Target]:
        """All on the sides."""
        return (target for side in self.sides for target in side)

    def problems(self) -> Iterable[str]:
        """Empty sides, and nodes on two of them."""
        if not self.sides or not all(self.sides):
            yield "sides: each side needs at least one node"
        named = list(self.targets())
        yield from (f"sides: {target!r} is on two sides" for target in dict.fromkeys(named) if named.count(target) > 1)

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut."""
        side_of: dict[NodeId, int] = {}
        for number, side in enumerate(self.sides):
            for target in side:
                node = find(world, target, chance)
                if node is None:
                    return None
                side_of.setdefault(node, number)
        if len(self.sides) == 1:
            side_of = {node: side_of.get(node, 1) for node in world.hosts}
        return _installed(world, cut_between(side_of), world.network.at_arrival, side_of)


class Loss(_Fault, frozen=True, tag="loss", kw_only=True):
    """Links lose this share of their messages, beside what they lose anyway."""

    share: Share
    between: tuple[Target, ...] = ()
    """The links among these nodes; when not given, all links, the clients' too."""
    lasts_ns: Positive

    def targets(self) -> Iterable[Target]:
        """The nodes between which it happens."""
        return self.between

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Begin to lose."""
        return _on_links(world, self.between, chance, lambda _: Drop("loss") if chance.happens(self.share) else None)


class Delay(_Fault, frozen=True, tag="delay", kw_only=True):
    """Links take so much longer."""

    delay_ns: Positive
    between: tuple[Target, ...] = ()
    """The links among these nodes; when not given, all links, the clients' too."""
    lasts_ns: Positive

    def targets(self) -> Iterable[Target]:
        """The nodes between which it happens."""
        return self.between

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Begin to delay."""
        later = Deliver(self.delay_ns)
        return _on_links(world, self.between, chance, lambda _: later)


Fault = Crash | Pause | Partition | Loss | Delay


class Window(msgspec.Struct):
    """When a fault was in force, and at which nodes: what plots shade and metrics count."""

    kind: str
    start_ns: Nanoseconds
    """True time; a fault that aims at a role strikes when somebody has it."""
    end_ns: Nanoseconds
    """True time. The same as the start where nothing is ever healed."""
    nodes: tuple[NodeId, ...] = ()
    """Empty until it strikes, and afterwards when it concerns all."""
    struck: bool = False


def install(world: Simulation, faults: Sequence[Fault], start_ns: Nanoseconds = 0) -> list[Window]:
    """Let the faults strike at their times, counted from `start_ns`, and heal at theirs."""
    windows = []
    for number, fault in enumerate(faults):
        at = start_ns + fault.at_ns
        window = Window(fault.kind, at, at + (fault.lasts_ns or 0))
        windows.append(window)
        world.at(at, partial(_begin, world, fault, world.chance.stream(f"faults/{number}"), window, at + PATIENCE_NS))
    return windows


def _begin(world: Simulation, fault: Fault, chance: Chance, window: Window, give_up_ns: Nanoseconds) -> None:
    struck = fault.strike(world, chance)
    now = world.now()
    if struck is None:
        if now < give_up_ns:
            world.at(now + LOOK_AGAIN_NS, partial(_begin, world, fault, chance, window, give_up_ns))
        return
    window.start_ns, window.end_ns, window.nodes, window.struck = now, now + (fault.lasts_ns or 0), struck.nodes, True
    where = struck.nodes[0] if struck.nodes else ""
    if world.sinks.wants(FaultBegan):
        world.observer.record(where, FaultBegan(fault.kind, struck.nodes))
    if fault.lasts_ns is not None:
        world.at(window.end_ns, partial(_end, world, fault, struck, where))


def _end(world: Simulation, fault: Fault, struck: Struck, where: NodeId) -> None:
    struck.heal()
    if world.sinks.wants(FaultEnded):
        world.observer.record(where, FaultEnded(fault.kind, struck.nodes))


def find(world: Simulation, target: Target, chance: Chance) -> NodeId | None:
    """The node of this name or role; None while nobody has the role."""
    if target == "a follower":
        leaders = (world.role("leader"), world.role("primary"))
        if leaders == (None, None):
            return None
        followers = [node for node in world.storing if world.hosts[node].up and node not in leaders]
        return chance.pick(followers) if followers else None
    return world.role(target) if target in ROLES else target


def cut_between(side_of: Mapping[NodeId, int]) -> Rule:
    """Drops what goes from one side to another."""

    def cut(packet: Packet) -> Verdict:
        source, target = side_of.get(packet.link.source.id), side_of.get(packet.link.target.id)
        crosses = source is not None and target is not None and source != target
        return Drop("partition") if crosses else None

    return cut


def _on_links(world: Simulation, between: Sequence[Target], chance: Chance, verdict: Rule) -> Struck | None:
    """Put a verdict on the links among these nodes, or on all."""
    found = [find(world, target, chance) for target in between]
    nodes = [node for node in found if node is not None]
    if len(nodes) < len(found):
        return None

    def rule(packet: Packet) -> Verdict:
        concerned = not nodes or (packet.link.source.id in nodes and packet.link.target.id in nodes)
        return verdict(packet) if concerned else None

    return _installed(world, rule, world.network.at_sending, nodes)


def _installed(world: Simulation, rule: Rule, rules: list[Rule], nodes: Iterable[NodeId]) -> Struck:
    world.network.install(rule, rules)
    return Struck(tuple(nodes), lambda: world.network.remove(rule, rules))


# Reading --------------------------------------------------------------------------------------------------------------


class _One(msgspec.Struct, frozen=True):
    fault: Fault


def read_faults(tables: Sequence[Mapping[str, Any]], where: str, cluster: Cluster) -> list[Fault]:
    """The faults that an experiment's `[[faults]]` describe. Raises `SettingsError` with every problem."""
    faults: list[Fault] = []
    problems: list[str] = []
    for number, table in enumerate(tables):
        place = f"{where}[{number}]"
        try:
            fault = read_settings(_One, {"fault": table}, place).fault
        except SettingsError as error:
            problems += [problem.replace(f"{place}.fault", place, 1) for problem in error.problems]
            continue
        faults.append(fault)
        problems += [f"{place}.{problem}" for problem in fault.problems()]
        known = (*cluster.everyone(), *ROLES)
        problems += [
            f"{place}: there is no node {target!r}{nearest(target, known)}"
            for target in fault.targets()
            if target not in known
        ]
    if problems:
        raise SettingsError(problems)
    return faults
