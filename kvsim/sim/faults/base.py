"""What all faults have in common: when they strike, how long they last, and whom they aim at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import Nanoseconds, NodeId
from kvsim.sim.distributions import Duration, Positive

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation

ROLES = ("leader", "primary", "a follower", "random", "majority", "minority")
"""Targets that are looked up when the fault strikes. A follower is any other ServerData than the leader, drawn;
`random` is any ServerData that is up; `majority` and `minority` are so many of them, drawn."""
ZONE = "zone:"
"""Begins a target that is all nodes in a place of the network: `zone:zone-1`."""

Target = str


class Struck(NamedTuple):
    """A fault in force."""

    nodes: tuple[NodeId, ...]
    heal: Callable[[], None]


class BaseFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """Base of all faults."""

    at_ns: Duration = 0
    """When it strikes, from the beginning of the workload; with `when`, the time before which it does not."""
    when: str | None = None
    """What must happen first: `leader elected`, `write acknowledged`, or the tag of an event, such as `quorum.met`."""
    until_ns: Duration | None = None
    """The latest time at which it may strike: one whose moment, or whose role, comes later does not strike at all. When
    not given, it waits for its moment as long as the run lasts, and ten seconds for somebody to have a role."""

    @property
    def kind(self) -> str:
        """Its name in a file."""
        return str(self.__struct_config__.tag)

    def targets(self) -> Iterable[Target]:
        """All names in it that must be nodes, roles or zones."""
        return ()

    def problems(self) -> Iterable[str]:
        """What makes no sense, as `key: reason`."""
        return ()


class Lasting(BaseFault, frozen=True, kw_only=True):
    """A fault that must say how long it lasts."""

    lasts_ns: Positive


class NodeFault(Lasting, frozen=True, kw_only=True):
    """A fault of one node, or of all that its target means."""

    node: Target

    def targets(self) -> Iterable[Target]:
        """The node."""
        return (self.node,)


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


def find(world: Simulation, target: Target, chance: Chance) -> tuple[NodeId, ...] | None:
    """The nodes of this name, role or zone; None while nobody has the role."""
    up = [node for node in world.storing if world.hosts[node].up]
    if target == "a follower":
        leaders = (world.role("leader"), world.role("primary"))
        followers = [node for node in up if node not in leaders]
        return (chance.pick(followers),) if followers and leaders != (None, None) else None
    if target in ("leader", "primary"):
        holder = world.role(target)
        return None if holder is None else (holder,)
    if target == "random":
        return (chance.pick(up),) if up else None
    if target in ("majority", "minority"):
        more = len(world.storing) // 2 + 1
        return drawn(chance, world.storing, more if target == "majority" else len(world.storing) - more)
    if target.startswith(ZONE):
        places = world.network.places
        return tuple(node for node in world.hosts if places.of(node) == target.removeprefix(ZONE))
    return (target,)


def drawn(chance: Chance, among: Sequence[NodeId], count: int) -> tuple[NodeId, ...]:
    """So many of them, in the order in which they stand."""
    mixed = list(among)
    chance.shuffle(mixed)
    return tuple(node for node in among if node in mixed[:count])


def find_all(world: Simulation, targets: Iterable[Target], chance: Chance) -> tuple[NodeId, ...] | None:
    """All nodes that are meant, each once; None while nobody has one of the roles."""
    found: dict[NodeId, None] = {}
    for target in targets:
        nodes = find(world, target, chance)
        if nodes is None:
            return None
        found |= dict.fromkeys(nodes)
    return tuple(found)
