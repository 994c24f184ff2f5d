"""One run of a hunt: played, watched and judged by every judge that its design's promises name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from kvsim.check.durability import durability
from kvsim.check.judges import JUDGES, Limited
from kvsim.check.progress import progress
from kvsim.check.verdict import Refuted, Undecided, Verdict, Witness
from kvsim.core.host import DiskError
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds
from kvsim.core.node import Node
from kvsim.core.stock import remembered_by
from kvsim.core.trace import Entry
from kvsim.lab.client_trace import ClientTrace
from kvsim.lab.experiment import Setup
from kvsim.lab.grid import Table
from kvsim.lab.hunt.case import Case, script_of
from kvsim.lab.hunt.invariants import InvariantWatch
from kvsim.lab.hunt.watchdog import Stuck, place_of_error, watched
from kvsim.lab.observations import Observations
from kvsim.lab.promises import Evidence, judge_retries
from kvsim.lab.run import Run, SimStage, TraceFile, judged, stock_of
from kvsim.lab.story import Story, difference
from kvsim.sim.faults import ROLES, Window
from kvsim.sim.world import World

RECOVERY_NS = 2 * SECOND
"""After so long without faults a store has no excuse: streams have broken or been sent again, leaders been elected."""
JUDGE_LIMIT_S = 5.0


class Finding(msgspec.Struct, frozen=True):
    """What a run refuted."""

    kind: str
    """The judge's name; `progress`; `invariant`, `defect`, `stuck` with name or place, so that each is one kind."""
    sentence: str
    witness: Witness | None = None
    at_ns: Nanoseconds | None = None
    """When it was, where it has a moment of its own."""

    @property
    def judge(self) -> str:
        """The kind without the name or place."""
        return self.kind.partition(":")[0]


class Played(NamedTuple):
    """A run that is over."""

    setup: Setup
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...]
    """Judges that gave up."""
    run: Run | None
    """None where it never came to its end."""
    script: tuple[Table, ...]
    coverage: dict[str, int]
    """How often a fault of a kind struck a node in some role: `crash × leader`."""
    simulated_ns: Nanoseconds
    asked: dict[int, tuple[str, str]]
    """The client and the door of each operation, by the index of its invocation."""

    @property
    def operations(self) -> int:
        """How many operations were judged."""
        return 0 if self.run is None else len(self.run.seen.operations)


def play(
    case: Case, trace: TraceFile | None = None, *, each: Callable[[Entry], Any] | None = None, metrics: bool = False
) -> Played:
    """Play a case and judge it. Raises `SettingsError` where it makes no sense.

    `trace` takes the lines of the trace, or `each` its entries as they happen. `metrics`: for a folder's artefacts.
    """
    setup = case.setup()
    assert setup.world is not None, "a hunt runs in the simulated world"
    world = World(setup.design, setup.cluster, setup.world, case.seed)
    if trace is not None:
        world.observer.trace_lines_to(trace.write)
    if each is not None:
        world.observer.trace_to(each)
    watch = InvariantWatch(world, setup)
    stage = _HuntStage(world, setup, watch)
    story = Story(stage, setup, case.seed)
    story.clients.sent = {}
    if trace is not None or each is not None:
        story.clients.heard = ClientTrace(world.observer)
    try:
        with watched(world.now):
            stage.play(story, None)
    except Stuck as stuck:
        place = str(stuck).partition(": ")[2]
        return Played(setup, (Finding(f"stuck: {place}", str(stuck)),), (), None, (), {}, world.now(), {})
    finally:
        world.observer.flush()
        watch.end()
    seen = story.seen(difference(*stage.counts), stock_of(world))
    script = script_of(seen.history, story.clients.sent, seen.phases.workload_ns)
    failures = tuple(f"{node}: {error!r}" for node, error in world.failures)
    tables = {node: remembered_by(world.hosts[node].node) for node in setup.cluster.data}
    verdicts = judge(setup, seen, story.windows, bool(failures), Evidence(None, tables))
    findings = [
        *_defects(world),
        *(
            Finding(name, verdict.witness.sentence, verdict.witness)
            for name, verdict in verdicts.items()
            if isinstance(verdict, Refuted)
        ),
        *_breaches(watch),
    ]
    undecided = tuple(name for name, verdict in verdicts.items() if isinstance(verdict, Undecided))
    run = (
        judged(setup, case.seed, seen, (), failures)
        if metrics
        else Run(setup, case.seed, lambda: seen, {}, verdicts, failures)
    )
    return Played(
        setup, tuple(findings), undecided, run, tuple(script), dict(stage.coverage), world.now(), story.clients.sent
    )


def judge(
    setup: Setup, seen: Observations, windows: list[Window], failed: bool, evidence: Evidence
) -> dict[str, Verdict]:
    """The verdicts of the judges that the promises name; and of progress, where no memory is all that a store has.

    `failed`: some node stopped for good, so that nobody can expect progress.
    """
    verdicts: dict[str, Verdict] = {}
    healed_ns = max([window.end_ns for window in windows], default=0)
    is_healed = healed_ns < seen.phases.checked_ns and all(window.struck for window in windows)
    named = dict.fromkeys(promise.judge for promise in setup.design.promises() if promise.judge)
    for name in named:
        if name == "convergence":
            if is_healed:
                verdicts[name] = JUDGES[name].judge(seen.history, Limited(after_ns=seen.phases.checked_ns))
        elif name == "durability":
            verdicts[name] = durability(seen.final_history())
        elif name == "exactly-once":
            if verdict := judge_retries(seen, evidence, "linearizable" in named):
                verdicts[name] = verdict
        else:
            verdicts[name] = JUDGES[name].judge(seen.history, Limited(JUDGE_LIMIT_S))
    if is_healed and setup.design.durability == "disk" and not failed:
        verdicts["progress"] = progress(seen.history, healed_ns + RECOVERY_NS, seen.phases.checked_ns)
    return verdicts


def _breaches(watch: InvariantWatch) -> list[Finding]:
    """The protocol's own invariants: behind the judges, since what a client sees tells more."""
    broken = watch.broken
    return [] if broken is None else [Finding(f"invariant: {broken.name}", broken.sentence, at_ns=broken.time_ns)]


def _defects(world: World) -> list[Finding]:
    """Errors of the nodes' own code. A disk that fails is the world's doing."""
    found = []
    for node, error in world.failures:
        if not isinstance(error, DiskError):
            place = place_of_error(error)
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            where = f" at {place}" if place else ""
            found.append(Finding(f"defect: {type(error).__name__}{where}", f"{node} failed with {what}{where}"))
    return found


class _HuntStage(SimStage):
    """Notes whom each fault strikes, in which role; from the first on, invariants are looked at."""

    def __init__(self, world: World, setup: Setup, watch: InvariantWatch) -> None:
        super().__init__(world, setup)
        self.watch = watch
        self.coverage: Counter[str] = Counter()

    def install_faults(self) -> list[Window]:
        """Look at the roles just before each fault strikes."""
        self.watch.begin()
        start_ns = self.world.now()
        windows: list[Window] = []
        for number, fault in enumerate(self.setup.faults):
            roles: dict[str, str] = {}
            self.world.at(start_ns + fault.at_ns, lambda roles=roles: roles.update(self._roles()))  # type: ignore[misc]
            aimed = [target for target in fault.targets() if target in ROLES]

            def note(roles: dict[str, str] = roles, number: int = number, aimed: list[str] = aimed) -> None:
                window = windows[number]
                states = aimed or [roles[node] for node in window.nodes if node in roles] or ["everybody"]
                self.coverage.update(f"{window.kind} × {state}" for state in dict.fromkeys(states) if window.struck)

            self.world.at(start_ns + fault.at_ns + (fault.lasts_ns or MILLISECOND), note)
        windows += super().install_faults()
        return windows

    def _roles(self) -> dict[str, str]:
        return {host.id: _role(host.node, host.id) for host in self.world.hosts.values()}


def _role(program: object, name: str) -> str:
    """What a node says of itself now: `leader`, `backup`; where its protocol knows no roles, what it is called."""
    if not isinstance(program, Node):
        return "down"
    roles = [role for component in program.components if (role := getattr(component, "role_name", None))]
    return roles[0] if roles else name.rpartition("-")[0]
