"""Shrinks a refuted run: the fewest faults, clients, operations and nodes, and the roundest times, that still refute.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002) on the run's own
data. Each candidate is played and judged; what is given back was refuted when it was played last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from kvsim.check.wording import counted
from kvsim.core.message import MILLISECOND, SECOND
from kvsim.core.settings import SettingsError, duration_ns
from kvsim.lab.grid import Table
from kvsim.lab.hunt.case import Case
from kvsim.lab.hunt.trial import Finding, play
from kvsim.sim.nemesis import written

T = TypeVar("T")
LIMIT_S = 120.0
LIMIT_TRIES = 1_500
TAIL_NS = 100 * MILLISECOND
"""How long the workload goes on after the last operation and fault of a shrunk run."""
EARLIEST_NS = 10 * MILLISECOND
PLAIN_LATENCY: Table = {"distribution": "constant", "value": "1ms"}


class Shrunk(NamedTuple):
    """The smallest case found, what it refutes, and how many were tried."""

    case: Case
    finding: Finding
    tries: int


class Shrinker:
    """Looks for smaller cases that are refuted in the same way."""

    def __init__(
        self,
        case: Case,
        finding: Finding,
        told: Callable[[str], None] | None = None,
        limit_s: float = LIMIT_S,
        limit_tries: int = LIMIT_TRIES,
    ) -> None:
        self.best, self.finding = case, finding
        self.tries = 0
        self._known: dict[bytes, bool] = {msgspec.json.encode(case.tables): True}
        self._told = told
        self._until_s, self._limit_tries = time.monotonic() + limit_s, limit_tries

    def shrink(self) -> Shrunk:
        """Everything that helps, until nothing does or the time is up."""
        size = None
        while size != (size := self._size()):
            self._fewer_operations()
            self._fewer_faults()
            self._shorter()
            self._plainer_world()
            self._fewer_nodes()
        self._earlier()
        self._rounder()
        self._fewer_operations()  # what mattered only for its place among uneven times may be left out now
        return Shrunk(self.best, self.finding, self.tries)

    def _size(self) -> tuple[int, ...]:
        cluster = self.best.tables.get("cluster", {})
        return len(self.best.faults), len(self.best.script), cluster.get("nodes", 3), cluster.get("frontends", 1)

    def _try(self, case: Case) -> bool:
        """Whether this one is refuted like the first; then it is the best."""
        key = msgspec.json.encode(case.tables)
        if key not in self._known:
            if time.monotonic() > self._until_s or self.tries >= self._limit_tries:
                return False
            self.tries += 1
            found = _refutation(case, self.finding.kind)
            self._known[key] = found is not None
            if found is not None:
                self.finding = found
        if self._known[key]:
            self.best = case
            if self._told is not None:
                tries = "1 try" if self.tries == 1 else f"{self.tries} tries"
                self._told(
                    f"shrinking: {counted(len(case.faults), 'fault')}, "
                    f"{counted(len(case.script), 'operation')} after {tries}"
                )
        return self._known[key]

    # Steps ------------------------------------------------------------------------------------------------------------

    def _fewer_faults(self) -> None:
        fewest(self.best.faults, lambda faults: self._try(self.best.with_faults(faults)))
        for number, fault in enumerate(self.best.faults):
            for simpler in _simpler_faults(fault):
                self._try(self.best.with_faults(_replaced(self.best.faults, number, simpler)))

    def _plainer_world(self) -> None:
        network = self.best.tables.get("network", {})
        if "graph" not in network:
            self._try(self.best.changed("network", latency=PLAIN_LATENCY, inside=PLAIN_LATENCY))
        machines = self.best.tables.get("machines", {})
        if machines.get("disk", {}).get("torn"):
            self._try(self.best.changed("machines", disk={**machines["disk"], "torn": False}))
        self._try(self.best.changed("machines", cpu="null"))
        self._try(self.best.changed("workload", keys={"distribution": "uniform", "count": 1}))
        if self.best.tables["workload"].get("retries"):
            self._try(self.best.changed("workload", retries=0))

    def _fewer_operations(self) -> None:
        clients = list(dict.fromkeys(step["client"] for step in self.best.script))

        def without(kept: Sequence[str]) -> bool:
            return self._try(self.best.with_script([s for s in self.best.script if s["client"] in kept]))

        fewest(clients, without)
        fewest(self.best.script, lambda script: self._try(self.best.with_script(script)))

    def _fewer_nodes(self) -> None:
        for name, usual in (("frontends", 1), ("nodes", 3)):
            while (count := self.best.tables.get("cluster", {}).get(name, usual)) > 1:
                if not self._try(self.best.changed("cluster", **{name: count - 1})):
                    break

    def _shorter(self) -> None:
        """End the workload soon after the last thing that happens in it."""
        ends = [step["at_ns"] for step in self.best.script]
        ends += [_ns(fault["at"]) + _ns(fault.get("lasts", "0ns")) for fault in self.best.faults]
        for tail_ns in (TAIL_NS, SECOND):
            if self._try(self.best.changed("workload", duration_ns=max(ends, default=0) + tail_ns)):
                return

    def _earlier(self) -> None:
        """Let the first thing happen at the beginning."""
        faults, script = self.best.faults, self.best.script
        begins_ns = min([*(_ns(fault["at"]) for fault in faults), *(step["at_ns"] for step in script)], default=0)
        by_ns = begins_ns - EARLIEST_NS
        if by_ns > 0:
            earlier = [{**fault, "at": written(_ns(fault["at"]) - by_ns)} for fault in faults]
            self._try(self.best.with_faults(earlier).with_script([{**s, "at_ns": s["at_ns"] - by_ns} for s in script]))

    def _rounder(self) -> None:
        for grain_ns in (100 * MILLISECOND, 10 * MILLISECOND, MILLISECOND, MILLISECOND // 10):
            for number, fault in enumerate(self.best.faults):
                for key in ("at", "lasts", "delay"):
                    if key in fault:
                        fault = self.best.faults[number]
                        rounded = {**fault, key: written(_rounded(_ns(fault[key]), grain_ns))}
                        self._try(self.best.with_faults(_replaced(self.best.faults, number, rounded)))
            for number in range(len(self.best.script)):
                step = self.best.script[number]
                rounded = {**step, "at_ns": _rounded(step["at_ns"], grain_ns)}
                self._try(self.best.with_script(_replaced(self.best.script, number, rounded)))


def shrink(
    case: Case,
    finding: Finding,
    told: Callable[[str], None] | None = None,
    limit_s: float = LIMIT_S,
    limit_tries: int = LIMIT_TRIES,
) -> Shrunk:
    """Make the case's operations data, and shrink it. Gives the case itself where nothing smaller is refuted."""
    played = play(case)
    scripted = case.with_script(list(played.script)) if played.script else case
    again = _refutation(scripted, finding.kind)
    if again is None:
        return Shrunk(case, finding, 1)
    return Shrinker(scripted, again, told, limit_s, limit_tries).shrink()


def _refutation(case: Case, kind: str) -> Finding | None:
    try:
        played = play(case)
    except SettingsError:
        return None  # a fault on a node that is gone, a design that is too large
    return next((finding for finding in played.findings if finding.kind == kind), None)


def fewest(items: Sequence[T], holds: Callable[[list[T]], bool]) -> list[T]:
    """A part of the items for which it still holds and no single item can be left out; they are assumed to hold."""
    kept = list(items)
    if kept and holds([]):
        return []
    size = max(1, len(kept) // 2)
    while kept:
        before, at = len(kept), 0
        while at < len(kept):
            rest = kept[:at] + kept[at + size :]
            if rest and holds(rest):
                kept = rest
            else:
                at += size
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return kept


def _simpler_faults(fault: Table) -> list[Table]:
    """Of a partition with two sides the one that cuts the first off from all; of several on a side each alone."""
    sides = fault.get("sides")
    if sides is None:
        return []
    alone = [{**fault, "sides": [[node]]} for side in sides for node in side] if len(sides) > 1 else []
    fewer = [
        {**fault, "sides": [*sides[:i], [n for n in side if n != node], *sides[i + 1 :]]}
        for i, side in enumerate(sides)
        if len(side) > 1
        for node in side
    ]
    return alone + fewer


def _replaced(items: Sequence[T], number: int, item: T) -> list[T]:
    return [*items[:number], item, *items[number + 1 :]]


def _ns(text: str) -> int:
    return duration_ns(text)


def _rounded(time_ns: int, grain_ns: int) -> int:
    return max(1, round(time_ns / grain_ns)) * grain_ns if time_ns else 0
