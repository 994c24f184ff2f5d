"""What a world's settings say about a cluster that it does not have: names of nodes, places and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kvsim.core.message import NodeId
from kvsim.core.settings import SettingsError, nearest
from kvsim.sim.places import Places
from kvsim.sim.settings import WorldSettings


def check_world(settings: WorldSettings, nodes: Sequence[NodeId], kinds: Iterable[str], where: str) -> Places:
    """The network's places, where all is well. Raises `SettingsError` with every problem."""
    problems: list[str] = []
    places: Places | None = None
    try:
        places = Places(settings.network, nodes)
    except SettingsError as error:
        problems += [f"{where}{problem}" for problem in error.problems]
    machines, known = settings.machines, sorted(kinds)
    named = [(f"machines.clocks[{number}].node", clock.node) for number, clock in enumerate(machines.clocks)]
    named += [(f"machines.slower.{node}", node) for node in machines.slower]
    if isinstance(machines.memory_bytes, Mapping):
        named += [(f"machines.memory.{node}", node) for node in machines.memory_bytes if node != "default"]
    problems += [
        f"{where}{key}: there is no node {node!r}{nearest(node, nodes)}" for key, node in named if node not in nodes
    ]
    stated = [("machines.cpu", kind) for kind in (() if isinstance(machines.cpu, str) else machines.cpu)]
    stated += [("network.kinds", kind) for kind in settings.network.kinds]
    problems += [
        f"{where}{key}: the design has no message {kind!r}{nearest(kind, known)}"
        for key, kind in stated
        if kind not in known and not (key == "machines.cpu" and kind == "default")
    ]
    if problems or places is None:
        raise SettingsError(problems)
    return places
