"""The story of one run, the same in every world: load the keys, drive the workload, let faults strike, heal, read all.

A world plays it on a `Stage`: what the story cannot do itself, since only the world knows how.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

from kvsim.core.chance import Chance
from kvsim.core.history import operations
from kvsim.core.message import MILLISECOND, Nanoseconds, NodeId
from kvsim.lab.experiment import Setup
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases, Stock
from kvsim.lab.warm_up import mser_5
from kvsim.sim.faults import Window
from kvsim.workload.clients import Clients
from kvsim.workload.driver import Driver

MARKS = 50
"""Into so many parts the first half of a workload is divided, to find where its warm-up ends."""
REPAIR_NS = 200 * MILLISECOND
"""Between the two final readings of all keys."""


class Stage(Protocol):
    """What a run needs of its world beside the clients' way into it."""

    @property
    def driver(self) -> Driver:
        """The clients' way in."""

    def install_faults(self) -> list[Window]:
        """Let the faults strike at their times, counted from now. The windows follow what really happens."""

    def stop_nodes(self, nodes: Sequence[NodeId], stopped: Callable[[], None]) -> None:
        """Take the power of these nodes, and call when they are down."""

    def start_nodes(self, nodes: Sequence[NodeId], started: Callable[[], None]) -> None:
        """Start these nodes, and call when they run."""

    def count(self) -> None:
        """Note what has been counted up to now; the measured part lies between two such notes."""


class Story:
    """The phases of a run, each begun by the end of the one before."""

    def __init__(self, stage: Stage, setup: Setup, seed: int) -> None:
        self.stage, self.setup = stage, setup
        self.driver = stage.driver
        self.clients = Clients(self.driver, setup.workload, Chance(seed, "workload"))
        self.windows: list[Window] = []
        self.at: dict[str, Nanoseconds] = {}
        self.over = False
        self.marks: list[Nanoseconds] = []
        """When the measured part may begin, where that is not stated."""
        self.first_count = 0
        """Which of the stage's counts was taken when the measured part began."""

    def begin(self) -> None:
        """Begin with the first phase; the last one sets `over`."""
        self._stop(self.setup.initial.empty, lambda: self.clients.load(self._loaded))

    def share_done(self) -> float:
        """By the clock of the workload, which takes most of the time."""
        if "workload" not in self.at:
            return 0.0
        return min(1.0, (self.driver.now() - self.at["workload"]) / self.setup.workload.duration_ns)

    def seen(self, costs: Costs, stock: Stock | None) -> Observations:
        """What was seen, when all is over."""
        return Observations(
            self.clients.recorder.history,
            Phases(*(self.at[name] for name in ("workload", "measured", "ended", "checked", "finished"))),
            self.setup.cluster,
            errors=self.clients.told.errors,
            intended_ns=self.clients.told.intended_ns,
            faults=named(self.windows),
            costs=costs,
            stock=stock,
            not_loaded=self.clients.not_loaded,
            never_struck=tuple(window.kind for window in self.windows if not window.struck),
        )

    def _loaded(self) -> None:
        stale = self.setup.initial.stale
        if stale:
            self._stop(stale, lambda: self.clients.load(self._set_down, "rewriter"))
        else:
            self._set_down()

    def _set_down(self) -> None:
        initial = self.setup.initial
        self._stop([node for node in initial.down if node not in initial.missing], self._set_up)

    def _stop(self, nodes: Sequence[NodeId], then: Callable[[], None]) -> None:
        if nodes:
            self.stage.stop_nodes(nodes, then)
        else:
            then()

    def _set_up(self) -> None:
        starting = self.setup.initial.starting
        if starting:
            self.stage.start_nodes(starting, self._workload)
        else:
            self._workload()

    def _workload(self) -> None:
        workload = self.setup.workload
        self.at["workload"] = self.driver.now()
        self.windows = self.stage.install_faults()
        self.clients.begin()
        if workload.warm_up_ns == "auto":
            self._mark()
        else:
            self.driver.after(workload.warm_up_ns, self._measured)
        self.driver.after(workload.duration_ns, self._ended)

    def _mark(self) -> None:
        """Here the measured part may begin, which is told when the workload is over."""
        self.stage.count()
        self.marks.append(self.driver.now())
        if len(self.marks) <= MARKS:
            self.driver.after(self.setup.workload.duration_ns // (2 * MARKS), self._mark)

    def _look_back(self) -> None:
        """Choose the mark at which the latencies have settled; the last one where they have not."""
        told, began = self.clients.told, self.marks[0]
        done = [
            (o.invoked_ns, o.completed_ns - told.intended_ns.get(o.invoked, o.invoked_ns))
            for o in operations(self.clients.recorder.history)
            if o.outcome == "ok" and o.completed_ns is not None and o.invoked_ns >= began
        ]
        cut = mser_5([latency_ns for _, latency_ns in done])
        settled_ns = self.marks[-1] if cut is None else done[cut][0] if cut else began
        self.first_count = min(bisect_left(self.marks, settled_ns), MARKS)
        self.at["measured"] = self.marks[self.first_count]

    def _measured(self) -> None:
        self.at["measured"] = self.driver.now()
        self.stage.count()

    def _ended(self) -> None:
        self.at["ended"] = self.driver.now()
        if self.marks:
            self._look_back()
        self.stage.count()
        self.clients.stop()
        self._settle()

    def _settle(self) -> None:
        """Wait until all is healed and quiet. A fault may heal later than planned, so look again at the end."""
        quiet_from = max([self.at["ended"], *(window.end_ns for window in self.windows)])
        settled = quiet_from + self.setup.workload.longest_ns + self.setup.workload.settle_ns
        left_ns = settled - self.driver.now()
        if left_ns > 0:
            self.driver.after(left_ns, self._settle)
        else:
            self.clients.read_all(self._repaired)

    def _repaired(self) -> None:
        # Reads repair replicas that missed a write. Only what a second reading does not find either is lost.
        self.driver.after(REPAIR_NS, self._checked)

    def _checked(self) -> None:
        self.at["checked"] = self.driver.now()
        self.clients.read_all(self._finished)

    def _finished(self) -> None:
        self.at["finished"] = self.driver.now()
        self.over = True


def difference(before: Costs, after: Costs) -> Costs:
    """What lies between two counts; what one of them lacks stays unknown."""

    def less(name: str) -> int | None:
        then, now = getattr(before, name), getattr(after, name)
        return None if then is None or now is None else now - then

    load = {node: count - before.load_by_node.get(node, 0) for node, count in after.load_by_node.items()}
    busy = {node: time_ns - before.busy_ns_by_node.get(node, 0) for node, time_ns in after.busy_ns_by_node.items()}
    return Costs(less("messages"), less("bytes"), less("syncs"), less("disk_bytes"), load, busy)


def named(windows: list[Window]) -> list[FaultWindow]:
    """Faults that struck, by their kinds, numbered where there are several of a kind."""
    windows = [window for window in windows if window.struck]
    kinds = [window.kind for window in windows]
    seen: dict[str, int] = {}
    found = []
    for window in windows:
        seen[window.kind] = number = seen.get(window.kind, 0) + 1
        name = f"{window.kind}-{number}" if kinds.count(window.kind) > 1 else window.kind
        found.append(FaultWindow(name, window.start_ns, window.end_ns, tuple(window.nodes)))
    return found
