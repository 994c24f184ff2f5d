"""Draws an experiment's `[nemesis]` into faults, once for each run: from then on they are data like any others."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import MILLISECOND, SECOND
from kvsim.lab.experiment import Setup
from kvsim.sim.faults import read_faults
from kvsim.sim.nemesis import NemesisSettings, Table, Whom, draw_faults
from kvsim.sim.places import Places
from kvsim.sim.world import World

ROLES_LOOKED_FOR = ("leader", "primary")
FOLLOWER = "a follower"
LOOK_NS = 3 * SECOND
"""How long a healthy cluster is watched for somebody to have a role."""


def with_faults_drawn(setup: Setup, seed: int) -> Setup:
    """The setup with the faults that its nemesis draws for this seed, added to its own; itself where none draws any."""
    if setup.nemesis is None or setup.world is None:
        return setup
    tables = drawn(setup, setup.nemesis, seed)
    table = {key: value for key, value in setup.table.items() if key != "nemesis"}
    table["faults"] = [*table.get("faults", []), *tables]
    faults = read_faults(table["faults"], "nemesis", setup.cluster)
    return setup._replace(nemesis=None, faults=tuple(faults), table=table)


def drawn(setup: Setup, nemesis: NemesisSettings, seed: int) -> list[Table]:
    """The tables of the faults that this nemesis draws for a seed."""
    assert setup.world is not None, "it was made for the real world"
    zones = Places(setup.world.network, setup.cluster.everyone()).zones()
    chance, disks = Chance(seed, "nemesis"), setup.design.durability == "disk"
    return draw_faults(nemesis, Whom(chance, setup.cluster, roles_of(setup), zones, disks), setup.workload.duration_ns)


def roles_of(setup: Setup) -> tuple[str, ...]:
    """The roles that faults can aim at: those that somebody has when the cluster is left alone."""
    assert setup.world is not None, "it was made for the real world"
    key = msgspec.json.encode([setup.table.get(name) for name in ("design", "cluster", "network", "machines")])
    classes = tuple(choice.strategy for choice in setup.design.choices.values())
    return _roles_of(_Watched(key, classes, setup))


class _Watched:
    """A setup that is known again by its design and world, as few of a hunt's many differ in them."""

    def __init__(self, key: bytes, classes: tuple[type, ...], setup: Setup) -> None:
        self.key, self.setup = (key, classes), setup

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Watched) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=256)
def _roles_of(watched: _Watched) -> tuple[str, ...]:
    setup = watched.setup
    assert setup.world is not None, "checked by the caller"
    world = World(setup.design, setup.cluster, setup.world, 0)
    world.start()
    found: dict[str, None] = {}
    while world.now() < LOOK_NS and not found:
        world.run(world.now() + 50 * MILLISECOND)
        found |= {role: None for role in ROLES_LOOKED_FOR if world.role(role) is not None}
    return (*found, FOLLOWER) if found and len(setup.cluster.data) > 1 else tuple(found)
