"""Reads the faults of an experiment, and lets them strike and heal at their times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.sim.events import FaultBegan, FaultEnded
from kvsim.sim.faults.base import ROLES, ZONE, Struck, Window
from kvsim.sim.faults.disks import DiskFull, FailingSync, FlippedBits, SlowDisk
from kvsim.sim.faults.links import (
    Bridge,
    Delay,
    Flaky,
    Isolate,
    Loss,
    MajoritiesRing,
    OneWay,
    Partition,
    SlowLink,
    ZonePartition,
)
from kvsim.sim.faults.load import Overload
from kvsim.sim.faults.machines import (
    ClockDrift,
    ClockJump,
    Crash,
    DiskLost,
    Pause,
    RollingRestart,
    SlowCpu,
    ZoneOutage,
)
from kvsim.sim.faults.triggers import TRIGGERS, kinds_of_events, once

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation

LOOK_AGAIN_NS = 10 * MILLISECOND
PATIENCE_NS = 10 * SECOND
"""How long a fault waits until somebody has the role that it aims at; after that it does not strike."""

Fault = (
    Crash | ZoneOutage | DiskLost | RollingRestart | Pause | SlowCpu | ClockJump | ClockDrift
    | DiskFull | SlowDisk | FailingSync | FlippedBits
    | Partition | Isolate | Bridge | OneWay | MajoritiesRing | ZonePartition | Loss | Delay | SlowLink | Flaky
    | Overload
)  # fmt: skip


def install(world: Simulation, faults: Sequence[Fault], start_ns: Nanoseconds = 0) -> list[Window]:
    """Let the faults strike at their times, counted from `start_ns`, and heal at theirs."""
    windows = []
    for number, fault in enumerate(faults):
        at = start_ns + fault.at_ns
        window = Window(fault.kind, at, at + (fault.lasts_ns or 0))
        windows.append(window)
        chance = world.chance.stream(f"faults/{number}")
        latest = None if fault.until_ns is None else start_ns + fault.until_ns
        begin = partial(_begin_by, latest, world, partial(_begin, world, fault, chance, window))
        world.at(at, begin if fault.when is None else partial(once, world, fault.when, begin))
    return windows


def _begin_by(latest: Nanoseconds | None, world: Simulation, begin: Callable[[Nanoseconds], None]) -> None:
    """Strike now, or as soon as somebody has the role that is aimed at, unless it is too late."""
    give_up_ns = world.now() + PATIENCE_NS
    if latest is None:
        begin(give_up_ns)
    elif world.now() <= latest:
        begin(min(give_up_ns, latest))


def _begin(world: Simulation, fault: Fault, chance: Chance, window: Window, give_up_ns: Nanoseconds) -> None:
    struck = fault.strike(world, chance)
    now = world.now()
    if struck is None:
        if now + LOOK_AGAIN_NS <= give_up_ns:
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


# Reading --------------------------------------------------------------------------------------------------------------


class _One(msgspec.Struct, frozen=True):
    fault: Fault


def read_faults(
    tables: Sequence[Mapping[str, Any]], where: str, cluster: Cluster, places: Sequence[str] | None = None
) -> list[Fault]:
    """The faults that an experiment's `[[faults]]` describe; `places` are those of its network, where it is known.

    Raises `SettingsError` with every problem.
    """
    faults: list[Fault] = []
    problems: list[str] = []
    for number, table in enumerate(tables):
        place = f"{where}[{number}]"
        try:
            fault = _read(table, place)
        except SettingsError as error:
            problems += error.problems
            continue
        faults.append(fault)
        problems += [f"{place}.{problem}" for problem in fault.problems()]
        problems += [f"{place}{problem}" for problem in _unknown(fault, cluster, places)]
        if fault.until_ns is not None and fault.until_ns < fault.at_ns:
            problems.append(f"{place}.until: is before at; a fault that may not strike any more never does")
    if problems:
        raise SettingsError(problems)
    return faults


def _read(table: Mapping[str, Any], place: str) -> Fault:
    try:
        fault = read_settings(_One, {"fault": table}, place).fault
    except SettingsError as error:
        raise SettingsError(
            problem.replace(f"{place}.fault", place, 1)
            + (
                "; a fault cannot end before it starts"
                if ".fault.lasts: " in problem and ": missing" not in problem
                else ""
            )
            for problem in error.problems
        ) from None
    if not {"at", "at_ns", "when"} & set(table):
        raise SettingsError([f'{place}.at: missing; say when it strikes, at = "1s" or when = "leader elected"'])
    return fault


def _unknown(fault: Fault, cluster: Cluster, places: Sequence[str] | None) -> list[str]:
    known = (*cluster.everyone(), *ROLES)
    problems = []
    for target in fault.targets():
        if target.startswith(ZONE):
            zone = target.removeprefix(ZONE)
            if places is not None and zone not in places:
                problems.append(f": the network has no place {zone!r}{nearest(zone, places)}")
        elif target not in known:
            problems.append(f": there is no node {target!r}{nearest(target, known)}")
    moments = (*TRIGGERS, *sorted(kinds_of_events()))
    if fault.when is not None and fault.when not in moments:
        problems.append(f".when: unknown {fault.when!r}{nearest(fault.when, moments)}")
    return problems
