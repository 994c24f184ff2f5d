"""One run in the simulated world, and what every run comes to: metrics and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

import msgspec

from kvsim.check.exactly_once import Applications
from kvsim.check.verdict import Verdict
from kvsim.core.message import MILLISECOND, SECOND, NodeId
from kvsim.core.stock import held_by, remembered_by
from kvsim.lab.client_trace import ClientTrace
from kvsim.lab.defects import told
from kvsim.lab.experiment import Setup
from kvsim.lab.measures import MEASURES
from kvsim.lab.metrics import measure
from kvsim.lab.nemesis import with_faults_drawn
from kvsim.lab.observations import Costs, Observations, Stock, stock_from
from kvsim.lab.promises import HISTORY_ALONE, Evidence, judge_run
from kvsim.lab.sim_driver import SimDriver
from kvsim.lab.story import Story, difference
from kvsim.sim.faults import Window, install
from kvsim.sim.world import World

STRIDE_NS = 20 * MILLISECOND
"""The world is driven in steps of this length; between them a progress bar may move."""
LONGEST_NS = 3_600 * SECOND
"""A run that is not over by then never will be."""

TraceFile = BinaryIO
Progress = Callable[[float], None]
"""Told the share of the run that is done."""


class Run:
    """One run and what came of it."""

    def __init__(
        self,
        setup: Setup,
        seed: int,
        see: Callable[[], Observations],
        metrics: dict[str, float],
        verdicts: dict[str, Verdict],
        failures: tuple[str, ...],
    ) -> None:
        self.setup, self.seed = setup, seed
        self.metrics, self.verdicts = metrics, verdicts
        self.failures = failures
        """Nodes that stopped by a defect of their own, and how."""
        self._see = see

    @property
    def seen(self) -> Observations:
        """What was seen. Of a run that is kept in a file it is read anew each time."""
        return self._see()

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
    setup = with_faults_drawn(setup, seed)
    assert setup.world is not None, "it was made for the real world"
    world = World(setup.design, setup.cluster, setup.world, seed)
    applied = Applications() if trace is not None else None
    if trace is not None and applied is not None:
        world.observer.trace_lines_to(both(trace.write, applied))
    stage = SimStage(world, setup)
    story = Story(stage, setup, seed)
    if trace is not None:
        story.clients.heard = ClientTrace(world.observer)
    stage.play(story, progress)
    seen = story.seen(with_kills(difference(stage.counts[story.first_count], stage.counts[-1]), world), stock_of(world))
    tables = {node: remembered_by(world.hosts[node].node) for node in world.cluster.data}
    failures = tuple(told(node, error) for node, error in world.failures)
    return judged(setup, seed, seen, measures, failures, Evidence(applied, tables))


def both(write: Callable[[bytes], object], applied: Applications) -> Callable[[bytes], None]:
    """Writes lines of a trace, and shows them to who looks for requests that take effect twice."""

    def written(lines: bytes) -> None:
        write(lines)
        applied.read(lines)

    return written


def judged(
    setup: Setup,
    seed: int,
    seen: Observations,
    measures: tuple[str, ...],
    failures: tuple[str, ...],
    evidence: Evidence = HISTORY_ALONE,
) -> Run:
    """What was seen, with metrics and verdicts; the same for every world."""
    metrics = measure(seen)
    for name in measures:
        metrics.update(MEASURES[name](seen))
    verdicts = judge_run(seen, setup.design.promises(), evidence)
    return Run(setup, seed, lambda: seen, dict(sorted(metrics.items())), verdicts, failures)


class SimStage:
    """The simulated world as the stage of a run."""

    def __init__(self, world: World, setup: Setup) -> None:
        self.world, self.setup = world, setup
        self.driver = SimDriver(world)
        self.counts: list[Costs] = []

    def install_faults(self) -> list[Window]:
        """Let the faults strike at their times, counted from now."""
        return install(self.world, list(self.setup.faults), self.world.now())

    def stop_nodes(self, nodes: Sequence[NodeId], stopped: Callable[[], None]) -> None:
        """Take their power."""
        for node in nodes:
            self.world.hosts[node].crash()
        stopped()

    def start_nodes(self, nodes: Sequence[NodeId], started: Callable[[], None]) -> None:
        """Start them, as after an outage so long that nothing that was sent to them meanwhile is still on its way."""
        for node in nodes:
            self.world.network.crashed(node)
            self.world.hosts[node].restart()
        started()

    def count(self) -> None:
        """Note what the world has counted up to now."""
        self.counts.append(costs_of(self.world))

    def play(self, story: Story, progress: Progress | None) -> None:
        """Run the world until the story is over."""
        self.world.start()
        self.world.at(0, story.begin)
        while not story.over:
            self.world.run(self.world.now() + STRIDE_NS)
            assert self.world.now() < LONGEST_NS, "every operation ends by its timeout, so every phase ends"
            if progress is not None:
                progress(story.share_done())


def costs_of(world: World) -> Costs:
    """What the world has counted so far."""
    counts = world.counts
    return Costs(
        counts.messages_sent, counts.bytes_sent, counts.syncs, counts.disk_bytes,
        dict(counts.by_node), dict(counts.busy_ns),
    )  # fmt: skip


def with_kills(costs: Costs, world: World) -> Costs:
    """With what is counted over the whole run: nodes that were killed as they held too much."""
    limited = [host for host in world.hosts.values() if world.settings.machines.memory_of(host.id) is not None]
    kills = {host.id: host.kills for host in limited} if limited else None
    return msgspec.structs.replace(costs, kills_by_node=kills)


def stock_of(world: World) -> Stock:
    """What the running replicas hold, key by key."""
    held = {node: held_by(world.hosts[node].node) for node in world.cluster.data}
    return stock_from({node: rows for node, rows in held.items() if rows is not None}, world.cluster)
