"""What a membership promises: nobody is suspected without reason, the dead are, and who comes back is trusted again."""

from __future__ import annotations

from typing import cast

from kvsim.core.axes import Membership
from kvsim.core.message import NodeId
from kvsim.core.node import View
from kvsim.testing.by_hand import ByHand
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

NODES = 5
QUIET_MS = 10_000
NOTICE_MS = 30_000
"""Time in which a crash is noticed, and a return."""
STEP_MS = 500


def _world(subject: Subject) -> ByHand:
    return ByHand(subject.design(NODES), NODES, frontends=1)


def nobody_is_suspected_in_a_quiet_network(subject: Subject) -> None:
    """While all nodes live and all messages arrive, no node suspects another, and everybody is a member."""
    world = _world(subject)
    world.wait(QUIET_MS)
    for name, view in [*((c.node, c.new) for c in world.world.changes), *world.world.views.items()]:
        if view.down:
            refuse(
                f"{name} suspects {', '.join(view.down)}, though all nodes live and all messages arrive",
                "wait for several intervals before you suspect",
            )
        if sorted(view.members) != sorted(world.cluster.data):
            refuse(f"{name} counts {view.members} as members of {world.cluster.data}", "begin with self.view.members")


def a_crash_is_noticed_by_all(subject: Subject) -> None:
    """A node that crashed is suspected by all others within 30 s, and nobody else is."""
    if not cast(type[Membership], subject.strategy).notices_crashes:
        return
    world = _world(subject)
    world.wait(1_000)
    dead = world.cluster.data[1]
    world.crash(dead)
    _until_all_think(world, (dead,), f"{dead} crashed", "suspect who is silent: self.node.change_view(View(…, down=…))")


def who_comes_back_is_trusted_again(subject: Subject) -> None:
    """A node that was down, or cut off, and is back is trusted by all within 30 s."""
    world = _world(subject)
    world.wait(1_000)
    back = world.cluster.data[1]
    world.crash(back)
    world.wait(NOTICE_MS // 3)
    world.restart(back)
    remedy = "trust again who is heard of, and begin anew in start(recovered)"
    _until_all_think(world, (), f"{back} crashed and came back", remedy)
    for other in world.cluster.everyone():
        if other != back:
            world.world.cut(back, other)
    world.wait(NOTICE_MS // 3)
    world.world.heal()
    _until_all_think(world, (), f"{back} was cut off and is connected again", remedy)


def _until_all_think(world: ByHand, down: tuple[NodeId, ...], after: str, remedy: str) -> None:
    wrong: dict[NodeId, View] = {}
    for _ in range(NOTICE_MS // STEP_MS):
        world.wait(STEP_MS)
        wrong = {name: view for name, view in world.world.views.items() if _down(world, view) != down}
        if not wrong:
            return
    name, view = next(iter(wrong.items()))
    believed = ", ".join(_down(world, view)) or "nobody"
    wanted = ", ".join(down) or "nobody"
    refuse(f"{after}; {NOTICE_MS // 1000} s later {name} suspects {believed}, where it should suspect {wanted}", remedy)


def _down(world: ByHand, view: View) -> tuple[NodeId, ...]:
    """Who is suspected, or is a member no longer."""
    return tuple(node for node in world.cluster.data if node in view.down or node not in view.members)


def views_are_numbered(subject: Subject) -> None:
    """Each view of a node has a later epoch than the one before; nobody suspects itself or a stranger."""
    world = _world(subject)
    dead = world.cluster.data[1]
    for happens in (world.crash, world.restart):
        happens(dead)
        world.wait(QUIET_MS // 2)
    for name, old, new in world.world.changes:
        if new != old and new.epoch <= old.epoch:
            refuse(f"{name} goes from {old} to {new}", "count: View(self.view.epoch + 1, …)")
        if name in new.down or any(node not in world.cluster.data for node in new.down):
            refuse(f"{name} suspects {', '.join(new.down)}", "suspect other members only")
