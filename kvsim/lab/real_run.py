"""One run on a real cluster: one of its own, begun afresh and hurt by faults, or one that runs already."""

from __future__ import annotations

import asyncio
import gc
import queue
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from kvsim.check.exactly_once import Applications
from kvsim.client import AsyncClient
from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import SECOND, Nanoseconds, NodeId
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, Setup
from kvsim.lab.grid import shown
from kvsim.lab.initial import Initial
from kvsim.lab.observations import Costs, Observations, Stock, stock_from
from kvsim.lab.promises import Evidence
from kvsim.lab.real_driver import CONNECTED_CLIENTS, ClusterDriver, HttpDriver
from kvsim.lab.real_faults import NodeCounts, RealFaults, refusals
from kvsim.lab.real_trace import TracedDriver, write_trace
from kvsim.lab.run import Progress, Run, TraceFile, both, judged
from kvsim.lab.story import REPAIR_NS, Story, difference
from kvsim.real.cluster_file import ClusterFile, ClusterFileError
from kvsim.real.ports import PortError
from kvsim.real.process import loop_factory
from kvsim.real.supervisor import Supervisor, SupervisorError, new_cluster_file
from kvsim.sim.faults import Window
from kvsim.strategies.catalogue import read_design
from kvsim.transport.tcp import LAST_BACKOFF_S

Tracing = Callable[[Callable[[bytes], Any]], None]
T = TypeVar("T")
STRIDE_S = 0.05
"""How often it is looked whether a run is over, and a progress bar may move."""
STARTING_NS: Nanoseconds = 2 * SECOND
"""About what it takes to start a cluster, load it and stop it."""
OWN = (
    "Each run had a cluster of its own: processes on one machine that talk by TCP and UDP on loopback, with their "
    "clients on the same machine and its processors. Times are real, and no two runs are alike."
)
HURT = (
    "A crash is kill -9: what the process had written survives it, synced or not, unlike a power cut. The nodes "
    "themselves cut, lose and delay what they send to each other, the clients what they send and are sent."
)
TRACED = (
    "The nodes of runs that left a trace wrote down all that they did, which slows them: compare their times with each "
    "other, not with those of runs without a trace. What a node wrote last before a kill -9 may be missing."
)
RUNNING = (
    "The cluster at {} was there before, with the design shown below; the file's [design], [cluster], [network] and "
    "[machines] do not apply. All clients used this one HTTP door. Nodes were not asked what they counted. The keys "
    "that the runs wrote begin with bench- and are still there."
)
SIMULATED = ("network", "machines", "cluster.place")
"""What of a file a real cluster cannot have: its network and machines are there already, in one place."""
OTHERS_DESIGN = "the cluster was there before: the file's [design], [cluster], [network] and [machines] do not apply"
FINDINGS = "The findings in [expect] were stated for the simulated world; here they are judged on a real cluster."


def on_own_clusters(experiment: Experiment, traced: bool = False) -> Experiment:
    """The experiment as it runs on clusters of its own. Raises `SettingsError` where it cannot."""
    problems = dict.fromkeys(f"{experiment.path.name}: {why}" for setup in experiment.setups for why in refusals(setup))
    if problems:
        raise SettingsError(list(problems))
    notes = [OWN]
    if any(setup.faults for setup in experiment.setups):
        notes.append(HURT)
    if traced:
        notes.append(TRACED)
    if any((setup.workload.clients or 0) > CONNECTED_CLIENTS for setup in experiment.setups):
        notes.append(f"Clients beyond {CONNECTED_CLIENTS} share connections.")
    return _real(experiment, notes, list(_without(experiment)))


def on_running_cluster(experiment: Experiment, url: str, status: Mapping[str, Any]) -> Experiment:
    """The experiment as it runs on a running cluster, which says `status` of itself. Raises `SettingsError`."""
    file, first = experiment.path.name, experiment.setups[0]
    problems = []
    if any(setup.faults for setup in experiment.setups):
        problems.append(
            f"{file}: faults: --against hurts nobody's cluster; leave them out with --set faults=[], or leave out "
            "--against, and kvsim starts one of its own"
        )
    if any(setup.initial != Initial() for setup in experiment.setups):
        problems.append(
            f"{file}: initial: --against finds a cluster as it is and stops none of its nodes; leave out [initial], or "
            "leave out --against"
        )
    varying = {
        name
        for setup in experiment.setups
        for name in ("design", "cluster")
        if setup.table.get(name) != first.table.get(name)
    }
    problems += [
        f"{file}: {name}: the points differ in it, but --against runs against one cluster as it is; leave out [vary] "
        "or [[variant]], or leave out --against"
        for name in sorted(varying)
    ]
    if problems:
        raise SettingsError(problems)
    names = [*(str(found["node"]) for found in status["nodes"]), *status["silent"]]
    data = tuple(name for name in sorted(names) if not name.startswith(("frontend-", "view-")))
    design = read_design(status["design"], f"{url}: design", len(data))
    setups = tuple(setup._replace(design=design, cluster=Cluster(data)) for setup in experiment.setups)
    return _real(experiment._replace(setups=setups), [RUNNING.format(url)], [OTHERS_DESIGN])


def _real(experiment: Experiment, notes: list[str], mind: Sequence[str]) -> Experiment:
    if experiment.expectations:
        notes = [*notes, FINDINGS]
    return experiment._replace(
        notes=(*experiment.notes, *mind),
        title=f"{experiment.title} (on a real cluster)",
        comment="\n\n".join([*notes, experiment.comment]),
        setups=tuple(setup._replace(world=None) for setup in experiment.setups),
    )


def _without(experiment: Experiment) -> Iterator[str]:
    """What the file asks of the simulated world, key by key, and these runs do not have; and what varies in vain."""
    tables = [{path: _part(setup.table, path) for path in SIMULATED} for setup in experiment.setups]
    for path in SIMULATED:
        keys = dict.fromkeys(key for table in tables for key in _keys(table[path], path))
        if keys:
            yield f"a real cluster has this machine's own, so these runs are without [{path}]: {', '.join(keys)}"
        if any(table[path] != tables[0][path] for table in tables):
            yield f"points that differ in [{path}] alone are the same on a real cluster"


def _part(table: Any, path: str) -> Any:
    for name in path.split("."):
        table = table.get(name, {})
    return table


def _keys(table: Any, path: str) -> Iterator[str]:
    """`machines.cpu.by_node.data-2.per_message = 5ms`."""
    if isinstance(table, Mapping):
        for name, value in table.items():
            yield from _keys(value, f"{path}.{name}")
    else:
        yield f"{path} = {shown(table)}"


def about_ns(experiment: Experiment) -> Nanoseconds:
    """About how long all runs take."""
    return experiment.seeds * sum(map(_one_takes_ns, experiment.setups))


def _one_takes_ns(setup: Setup) -> Nanoseconds:
    workload = setup.workload
    healed = [fault.at_ns + (fault.lasts_ns or 0) for fault in setup.faults]
    quiet = workload.longest_ns + workload.settle_ns + REPAIR_NS
    return STARTING_NS + max([workload.duration_ns, *healed]) + quiet


class OwnCluster:
    """Runs a setup on a cluster of its own, whose data lies in a new folder within `data`, for as long as it runs."""

    def __init__(self, experiment: Experiment, data: Path | None = None) -> None:
        self._folder = experiment.path.parent
        self._data = data

    def __call__(
        self, setup: Setup, seed: int, measures: tuple[str, ...], trace: TraceFile | None, progress: Progress | None
    ) -> Run:
        """Start, run, stop."""
        with TemporaryDirectory(prefix="cluster-", dir=self._data, ignore_cleanup_errors=True) as data:
            begun_ns = time.monotonic_ns()
            file = self._cluster_file(setup, seed, Path(data), record=trace is not None)
            try:
                with Supervisor(file) as cluster:
                    seen, tracing = _on_loop(lambda: _play_own(cluster, setup, seed, progress, begun_ns))
                    failures = _failures(cluster)
                applied = Applications() if trace is not None else None
                if trace is not None and applied is not None:
                    tracing(both(trace.write, applied))  # the nodes have ended, so what they recorded is whole
            except (ClusterFileError, PortError, SupervisorError) as error:
                raise SettingsError([f"{setup.run_label(seed)}: {error}"]) from error
        return judged(setup, seed, seen, measures, failures, Evidence(applied))

    def _cluster_file(self, setup: Setup, seed: int, data: Path, record: bool) -> ClusterFile:
        return new_cluster_file(
            setup.table.get("design", {}),
            nodes=len(setup.cluster.data),
            frontends=setup.table.get("cluster", {}).get("frontends", 1),
            data_dir=data,
            folder=self._folder,
            seed=seed,
            record=record,
        )


def _failures(cluster: Supervisor) -> tuple[str, ...]:
    """The nodes that ended though nobody asked them to."""
    failures = []
    while True:
        try:
            failures.append(str(cluster.ended.get_nowait()))
        except queue.Empty:
            return tuple(failures)


class RunningCluster:
    """Runs a setup's workload against a running cluster."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(
        self, setup: Setup, seed: int, measures: tuple[str, ...], trace: TraceFile | None, progress: Progress | None
    ) -> Run:
        """Run the workload, with keys that no other run has."""
        seen = _on_loop(lambda: _play_against(self._url, setup, seed, progress))
        return judged(setup, seed, seen, measures, ())


class _OwnStage:
    """A cluster of ours as the stage of a run."""

    def __init__(self, cluster: Supervisor, setup: Setup, seed: int, begun_ns: Nanoseconds) -> None:
        self.driver = (TracedDriver if cluster.file.record else ClusterDriver)(cluster.plan, begun_ns)
        self.counts = NodeCounts(cluster)
        chance = Chance(seed, "world")
        self.faults = RealFaults(cluster, self.counts, self.driver.now, chance, self.driver.set_faults)
        self._cluster, self._setup = cluster, setup
        self._asking = ThreadPoolExecutor(1)
        self._counted: list[Future[Costs]] = []
        self._steering: list[asyncio.Task[None]] = []

    def stop_nodes(self, nodes: Sequence[NodeId], stopped: Callable[[], None]) -> None:
        """Kill their processes."""
        self._steer(self.counts.kill, nodes, stopped)

    def start_nodes(self, nodes: Sequence[NodeId], started: Callable[[], None]) -> None:
        """Start their processes again, when what was sent to them meanwhile has been given up."""
        self._steer(self.counts.restart, nodes, started, LAST_BACKOFF_S)

    def _steer(
        self, what: Callable[[NodeId], None], nodes: Sequence[NodeId], then: Callable[[], None], wait_s: float = 0
    ) -> None:
        async def steer() -> None:
            await asyncio.sleep(wait_s)
            for node in nodes:
                await asyncio.to_thread(what, node)
            then()

        self._steering.append(asyncio.get_running_loop().create_task(steer()))

    def check(self) -> None:
        """Raise what went wrong beside the story, if something did."""
        self.faults.check()
        for task in self._steering:
            if task.done():
                task.result()

    def install_faults(self) -> list[Window]:
        """Let the faults strike at their times, counted from now."""
        return self.faults.install(self._setup.faults)

    def count(self) -> None:
        """Ask all nodes for their counts, while the clients go on."""
        messages, size = self.driver.messages_sent(), self.driver.bytes_sent()
        self._counted.append(self._asking.submit(self._costs, messages, size))

    def costs(self) -> Costs:
        """Of the measured part."""
        return difference(*(counted.result() for counted in self._counted))

    def stock(self) -> Stock | None:
        """What the running replicas hold; None where a node ended and cannot say."""
        data = [node for node in self._cluster.plan.cluster.data if self._cluster.running(node)]
        try:
            held = {node: self._cluster.held(node) for node in data}
        except SupervisorError:
            return None
        return stock_from({node: rows for node, rows in held.items() if rows is not None}, self._cluster.plan.cluster)

    async def close(self) -> None:
        """Stop all that goes on."""
        await self.faults.end()
        await asyncio.gather(*self._steering, return_exceptions=True)
        self.driver.close()
        self._asking.shutdown()

    def _costs(self, clients_messages: int, clients_bytes: int) -> Costs:
        counted = self.counts.now()
        if counted is None:
            return Costs()
        return Costs(
            clients_messages + sum(count["messages_sent"] for count in counted.values()),
            clients_bytes + sum(count["bytes_sent"] for count in counted.values()),
            sum(count["syncs"] for count in counted.values()),
            sum(count["disk_bytes"] for count in counted.values()),
            {node: count["messages_delivered"] for node, count in counted.items()},
            {node: count["cpu_ns"] for node, count in counted.items()},
        )


class _ForeignStage:
    """A cluster that is nobody's to hurt, and whose nodes are not asked what they count."""

    def __init__(self, client: AsyncClient) -> None:
        self.driver = HttpDriver(client, f"bench-{secrets.token_hex(4)}/")

    def stop_nodes(self, nodes: Sequence[NodeId], stopped: Callable[[], None]) -> None:
        """Refused before anything starts."""
        raise AssertionError("on_running_cluster refuses [initial]")

    start_nodes = stop_nodes

    def install_faults(self) -> list[Window]:
        """None."""
        return []

    def count(self) -> None:
        """Nothing."""


async def _play_own(
    cluster: Supervisor, setup: Setup, seed: int, progress: Progress | None, begun_ns: Nanoseconds
) -> tuple[Observations, Tracing]:
    """What was seen, and what writes the trace when the nodes have ended."""
    stage = _OwnStage(cluster, setup, seed, begun_ns)
    driver = stage.driver
    try:
        story = Story(stage, setup, seed)
        if isinstance(driver, TracedDriver):
            story.clients.heard = driver.heard
        await _tell(story, progress, stage.check)
        seen = story.seen(stage.costs(), stage.stock())
    finally:
        await stage.close()

    def tracing(write: Callable[[bytes], Any]) -> None:
        assert isinstance(driver, TracedDriver), "the nodes have recorded, so the clients have noted"
        write_trace(write, driver, cluster.plan, stage.counts.kills, story.windows)

    return seen, tracing


async def _play_against(url: str, setup: Setup, seed: int, progress: Progress | None) -> Observations:
    timeout_s = 2 * setup.workload.timeout_ns / SECOND  # the clients' own deadline comes first
    async with AsyncClient(url, timeout_s=timeout_s, retries=0) as client:
        story = Story(_ForeignStage(client), setup, seed)
        await _tell(story, progress, lambda: None)
        return story.seen(Costs(), None)


async def _tell(story: Story, progress: Progress | None, check: Callable[[], None]) -> None:
    """Go through the story, until it is over or something that was no part of it goes wrong."""
    errors: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.extend(_error_in(context)))
    story.begin()
    while not story.over:
        await asyncio.sleep(STRIDE_S)
        check()
        if errors:
            raise errors[0]
        if progress is not None:
            progress(story.share_done())


def _error_in(context: Mapping[str, Any]) -> list[BaseException]:
    error = context.get("exception")
    return [error] if isinstance(error, BaseException) else []


def _on_loop(play: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on an event loop as fast as nodes' own. A pause for garbage collection would count as the store's latency."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(play())
    finally:
        if collecting:
            gc.enable()
