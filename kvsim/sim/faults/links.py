"""Faults of links: partitions of every shape, and links that lose, delay, repeat, reorder or hurt what they carry.

What a fault does to a message is one small function, packet → `Deliver` (later, or twice), `Drop`, or None (no
opinion); the first answer wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import NodeId
from kvsim.sim.distributions import Duration, Positive
from kvsim.sim.faults.base import ZONE, Lasting, NodeFault, Struck, Target, drawn, find, find_all
from kvsim.sim.link import Pipe
from kvsim.sim.packet import Deliver, Drop, Packet, Rule, Verdict
from kvsim.sim.settings import Share

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation

Crosses = Callable[[NodeId, NodeId], bool]
"""Whether what goes from one to another is cut off."""

# Partitions -----------------------------------------------------------------------------------------------------------


class Partition(Lasting, frozen=True, tag="partition", kw_only=True):
    """The sides cannot reach each other; who is on no side reaches all. What would arrive during the cut is dropped."""

    sides: tuple[tuple[Target, ...], ...]
    """One side alone is cut off from all other nodes, though not from the clients."""

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
            nodes = find_all(world, side, chance)
            if nodes is None:
                return None
            for node in nodes:
                side_of.setdefault(node, number)
        if len(self.sides) == 1:
            side_of = {node: side_of.get(node, 1) for node in world.hosts}
        return _installed(world, cut_between(side_of), world.network.at_arrival, side_of)


class Isolate(NodeFault, frozen=True, tag="isolate", kw_only=True):
    """A node is alone: no other node reaches it, nor it them."""

    clients: bool = False
    """Whether clients do not reach it either."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut it off."""
        nodes = find(world, self.node, chance)
        if nodes is None:
            return None
        others = None if self.clients else world.hosts
        alone = frozenset(nodes)

        def cut(source: NodeId, target: NodeId) -> bool:
            if source in alone and target in alone:
                return source != target
            return (source in alone or target in alone) and (others is None or (source in others and target in others))

        return _cut(world, cut, nodes)


class Bridge(NodeFault, frozen=True, tag="bridge", kw_only=True):
    """The other ServerData fall into two halves that do not reach each other; this node reaches both."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut the halves apart."""
        nodes = find(world, self.node, chance)
        if nodes is None:
            return None
        rest = [node for node in world.storing if node not in nodes]
        half = drawn(chance, rest, len(rest) // 2)
        side_of = {node: int(node in half) for node in rest}
        return _installed(world, cut_between(side_of), world.network.at_arrival, side_of)


class OneWay(Lasting, frozen=True, tag="one_way", kw_only=True):
    """What the senders say does not reach the receivers; the other direction works."""

    senders: tuple[Target, ...]
    receivers: tuple[Target, ...] = ()
    """When not given, all other nodes."""

    def targets(self) -> Iterable[Target]:
        """Both sides."""
        return (*self.senders, *self.receivers)

    def problems(self) -> Iterable[str]:
        """Nobody who sends."""
        if not self.senders:
            yield "senders: name at least one node"

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut one direction."""
        senders = find_all(world, self.senders, chance)
        receivers = find_all(world, self.receivers or world.hosts, chance)
        if senders is None or receivers is None:
            return None
        return _cut(world, lambda one, other: one != other and one in senders and other in receivers, senders)


class MajoritiesRing(Lasting, frozen=True, tag="majorities_ring", kw_only=True):
    """Each ServerData reaches a majority, and no two the same one: those next to it on a ring in drawn order."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut each off from those far away on the ring."""
        ring = list(world.storing)
        chance.shuffle(ring)
        place = {node: at for at, node in enumerate(ring)}
        reach = len(ring) // 4 + (1 if len(ring) % 4 > 1 else 0)

        def cut(source: NodeId, target: NodeId) -> bool:
            if source not in place or target not in place:
                return False
            apart = abs(place[source] - place[target])
            return min(apart, len(ring) - apart) > max(1, reach)

        return _cut(world, cut, tuple(world.storing))


class ZonePartition(Lasting, frozen=True, tag="zone_partition", kw_only=True):
    """Places of the network are cut off from all the rest, with the clients in them. Each other place stays whole."""

    zones: tuple[str, ...]

    def targets(self) -> Iterable[Target]:
        """All nodes there."""
        return tuple(f"{ZONE}{zone}" for zone in self.zones)

    def problems(self) -> Iterable[str]:
        """No place at all."""
        if not self.zones:
            yield "zones: name at least one"

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Cut them off."""
        inside = world.network.places
        nodes = tuple(node for node in world.hosts if inside.of(node) in self.zones)
        return _cut(
            world, lambda one, other: (inside.of(one) in self.zones) != (inside.of(other) in self.zones), nodes
        )  # fmt: skip


# Links that do not work well ------------------------------------------------------------------------------------------


class LinkFault(Lasting, frozen=True, kw_only=True):
    """A fault of the links among some nodes, or of all links."""

    between: tuple[Target, ...] = ()
    """The links among these nodes; when not given, all links, the clients' too."""

    def targets(self) -> Iterable[Target]:
        """The nodes between which it happens."""
        return self.between

    def verdict(self, chance: Chance) -> Rule:
        """What it does to a message on one of the links."""
        raise NotImplementedError

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Begin."""
        nodes = find_all(world, self.between, chance)
        if nodes is None:
            return None
        verdict = self.verdict(chance)

        def rule(packet: Packet) -> Verdict:
            concerned = not nodes or (packet.link.source.id in nodes and packet.link.target.id in nodes)
            return verdict(packet) if concerned else None

        return _installed(world, rule, world.network.at_sending, nodes)


class Loss(LinkFault, frozen=True, tag="loss", kw_only=True):
    """Links lose this share of their messages, beside what they lose anyway."""

    share: Share

    def verdict(self, chance: Chance) -> Rule:
        """Lose some."""
        return lambda _: Drop("loss") if chance.happens(self.share) else None


class Delay(LinkFault, frozen=True, tag="delay", kw_only=True):
    """Links take so much longer."""

    delay_ns: Positive

    def verdict(self, chance: Chance) -> Rule:
        """Delay all."""
        later = Deliver(self.delay_ns)
        return lambda _: later


class SlowLink(LinkFault, frozen=True, tag="slow_link", kw_only=True):
    """Links carry no more than this, so that messages queue for them, each direction by itself."""

    bandwidth_bytes_per_s: Annotated[int, msgspec.Meta(gt=0)]

    def verdict(self, chance: Chance) -> Rule:
        """Let messages queue."""
        pipes: dict[tuple[NodeId, NodeId], Pipe] = {}

        def wait(packet: Packet) -> Verdict:
            ends = packet.link.source.id, packet.link.target.id
            pipe = pipes.setdefault(ends, Pipe(self.bandwidth_bytes_per_s))
            begins_ns = max(packet.sent_ns, pipe.free_ns)
            pipe.free_ns = begins_ns + packet.size_bytes * 1_000_000_000 // pipe.bytes_per_s
            return Deliver(pipe.free_ns - packet.sent_ns)

        return wait


class Flaky(LinkFault, frozen=True, tag="flaky", kw_only=True):
    """Links lose, delay, repeat, reorder and hurt messages, each as often as it says.

    A stream sends again what is lost or hurt, and hands what comes twice over once, so on it all this costs time.
    """

    loss: Share = 0.0
    corrupt: Share = 0.0
    """Hurt on the way; the receiver's checksum tells, and the message does not arrive."""
    duplicate: Share = 0.0
    reorder: Share = 0.0
    """Held back for a drawn time, so that others overtake it."""
    delay_ns: Duration = 0
    """The mean of a delay of every message, exponentially distributed."""
    hold_ns: Positive = 5_000_000
    """The mean time by which what is reordered or repeated comes later, exponentially distributed."""

    def problems(self) -> Iterable[str]:
        """Nothing that it does."""
        if not any((self.loss, self.corrupt, self.duplicate, self.reorder, self.delay_ns)):
            yield "loss: a flaky link needs at least one of loss, delay, duplicate, reorder, corrupt"

    def verdict(self, chance: Chance) -> Rule:
        """Draw what happens to one message."""

        def judge(_: Packet) -> Verdict:
            if chance.happens(self.loss):
                return Drop("loss")
            if chance.happens(self.corrupt):
                return Drop("corrupt")
            later = round(chance.exponential(self.delay_ns)) if self.delay_ns else 0
            if chance.happens(self.reorder):
                later += round(chance.exponential(self.hold_ns))
            again = round(chance.exponential(self.hold_ns)) if chance.happens(self.duplicate) else None
            return Deliver(later, again) if later or again is not None else None

        return judge


# Laying them on the network -------------------------------------------------------------------------------------------


def cut_between(side_of: Mapping[NodeId, int]) -> Rule:
    """Drops what goes from one side to another."""

    def cut(packet: Packet) -> Verdict:
        source, target = side_of.get(packet.link.source.id), side_of.get(packet.link.target.id)
        crosses = source is not None and target is not None and source != target
        return Drop("partition") if crosses else None

    return cut


def _cut(world: Simulation, crosses: Crosses, nodes: Sequence[NodeId]) -> Struck:
    """Drop what would cross."""
    cut = Drop("partition")
    return _installed(
        world,
        lambda packet: cut if crosses(packet.link.source.id, packet.link.target.id) else None,
        world.network.at_arrival,
        nodes,
    )


def _installed(world: Simulation, rule: Rule, rules: list[Rule], nodes: Iterable[NodeId]) -> Struck:
    world.network.install(rule, rules)
    return Struck(tuple(nodes), lambda: world.network.remove(rule, rules))
