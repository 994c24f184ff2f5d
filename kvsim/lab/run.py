"""One run in the simulated world: load the keys, drive the workload, let faults strike, heal, read all once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from kvsim.check.verdict import Verdict
from kvsim.core.axes import Replication, Site
from kvsim.core.chance import Chance
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.node import Node
from kvsim.core.replica import Record
from kvsim.lab.experiment import Setup
from kvsim.lab.measures import MEASURES
from kvsim.lab.metrics import measure
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases, Stock
from kvsim.lab.promises import judge_run
from kvsim.lab.sim_driver import SimDriver
from kvsim.sim.faults import Window, install
from kvsim.sim.world import World
from kvsim.workload.clients import Clients

STRIDE_NS = 20 * MILLISECOND
"""The world is driven in steps of this length; between them a progress bar may move."""
REPAIR_NS = 200 * MILLISECOND
"""Between the two final readings of all keys."""
LONGEST_NS = 3_600 * SECOND
"""A run that is not over by then never will be."""

TraceFile = BinaryIO
Progress = Callable[[float], None]
"""Told the share of the run that is done."""


class Run(NamedTuple):
    """One run and what came of it."""

    setup: Setup
    seed: int
    seen: Observations
    metrics: dict[str, float]
    verdicts: dict[str, Verdict]
    failures: tuple[str, ...]
    """Nodes that stopped by a defect of their own, and how."""

    @property
    def label(self) -> str:
        """Names the run and its folder."""
        return self.setup.run_label(self.seed)


def simulate(
    setup: Setup,
    seed: int,
    measures: tuple[str, ...] = (),
    trace: TraceFile | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run a setup in the simulated world."""
    world = World(setup.design, setup.cluster, setup.world, seed)
    if trace is not None:
        world.trace_to(lambda entry: trace.write(entry.line()))
    seen = _Story(world, setup, seed).tell(progress)
    return judged(setup, seed, seen, measures, tuple(f"{node}: {error!r}" for node, error in world.failures))


def judged(setup: Setup, seed: int, seen: Observations, measures: tuple[str, ...], failures: tuple[str, ...]) -> Run:
    """What was seen, with metrics and verdicts; the same for every world."""
    metrics = measure(seen)
    for name in measures:
        metrics.update(MEASURES[name](seen))
    return Run(setup, seed, seen, dict(sorted(metrics.items())), judge_run(seen), failures)


class _Story:
    """The phases of a run, each begun by the end of the one before."""

    def __init__(self, world: World, setup: Setup, seed: int) -> None:
        self.world, self.setup = world, setup
        self.driver = SimDriver(world)
        self.clients = Clients(self.driver, setup.workload, Chance(seed, "workload"))
        self.windows: list[Window] = []
        self.at: dict[str, Nanoseconds] = {}
        self.costs: list[Costs] = []
        self.over = False

    def tell(self, progress: Progress | None) -> Observations:
        """All phases; then what was seen."""
        self.world.start()
        self.world.at(0, lambda: self.clients.load(self._workload))
        while not self.over:
            self.world.run(self.world.now() + STRIDE_NS)
            assert self.world.now() < LONGEST_NS, "every operation ends by its timeout, so every phase ends"
            if progress is not None:
                progress(self._share_done())
        return Observations(
            self.clients.recorder.history,
            Phases(*(self.at[name] for name in ("workload", "measured", "ended", "checked", "finished"))),
            self.setup.cluster,
            errors=self.clients.told.errors,
            intended_ns=self.clients.told.intended_ns,
            faults=named(self.windows),
            costs=difference(*self.costs),
            stock=stock_of(self.world),
            not_loaded=self.clients.not_loaded,
        )

    def _workload(self) -> None:
        workload = self.setup.workload
        self.at["workload"] = self.world.now()
        self.windows = install(self.world, list(self.setup.faults), self.world.now())
        self.clients.begin()
        self.driver.after(workload.warm_up_ns, self._measured)
        self.driver.after(workload.duration_ns, self._ended)

    def _measured(self) -> None:
        self.at["measured"] = self.world.now()
        self.costs.append(costs_of(self.world))

    def _ended(self) -> None:
        self.at["ended"] = self.world.now()
        self.costs.append(costs_of(self.world))
        self.clients.stop()
        quiet_from = max([self.world.now(), *(window.end_ns for window in self.windows)])
        settled = quiet_from + self.setup.workload.timeout_ns + self.setup.workload.settle_ns
        self.driver.after(settled - self.world.now(), lambda: self.clients.read_all(self._repaired))

    def _repaired(self) -> None:
        # Reads repair replicas that missed a write. Only what a second reading does not find either is lost.
        self.driver.after(REPAIR_NS, self._checked)

    def _checked(self) -> None:
        self.at["checked"] = self.world.now()
        self.clients.read_all(self._finished)

    def _finished(self) -> None:
        self.at["finished"] = self.world.now()
        self.over = True

    def _share_done(self) -> float:
        """By the clock of the workload, which takes most of the time."""
        if "workload" not in self.at:
            return 0.0
        return min(1.0, (self.world.now() - self.at["workload"]) / self.setup.workload.duration_ns)


def costs_of(world: World) -> Costs:
    """What the world has counted so far."""
    counts = world.counts
    return Costs(
        counts.messages_sent, counts.bytes_sent, counts.syncs, counts.disk_bytes,
        dict(counts.by_node), dict(counts.busy_ns),
    )  # fmt: skip


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


def stock_of(world: World) -> Stock:
    """What the running replicas hold, key by key."""
    sites = {node: site for node in world.cluster.data if (site := _site_of(world, node)) is not None}
    keys_by_node: dict[NodeId, int] = dict.fromkeys(world.cluster.data, 0)
    copies: dict[bytes, list[Record]] = {}
    stored = 0
    for node, site in sites.items():
        assert site.replica is not None, "a ServerData has a replica"
        for key, record in site.replica.records.items():
            keys_by_node[node] += 1
            stored += _bytes_of(key, record)
            copies.setdefault(key, []).append(record)
    data = sum(max(_bytes_of(key, record) for record in records) for key, records in copies.items())
    diverged = sum(1 for key in copies if _differ(key, sites))
    return Stock(keys_by_node, stored, data, diverged)


def _differ(key: bytes, sites: dict[NodeId, Site]) -> bool:
    """Whether two running replicas of the key hold different values, or one holds none."""
    some = next(iter(sites.values()))
    values = {
        None if (record := site.replica.get(key)) is None else (record.value, record.version)
        for node in some.placement.replicas(key)
        if (site := sites.get(node)) is not None and site.replica is not None
    }
    return len(values) > 1


def _bytes_of(key: bytes, record: Record) -> int:
    return len(key) + len(record.value or b"")


def _site_of(world: World, node: NodeId) -> Site | None:
    program = world.hosts[node].node
    if not isinstance(program, Node):
        return None
    return next((part.site for part in program.components if isinstance(part, Replication)), None)
