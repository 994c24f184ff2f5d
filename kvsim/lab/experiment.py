"""An experiment: a question, the designs and worlds that it compares, and what it must show; read from TOML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster, Design
from kvsim.core.message import tag_of
from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.lab.bundled import BundledFileNotFound, experiment_path, list_experiments
from kvsim.lab.expect import Expectation, read_expectations
from kvsim.lab.files import from_here, located
from kvsim.lab.grid import Table, Vary, axes_of, parse_setting, points_of, set_key
from kvsim.lab.initial import Initial
from kvsim.lab.measures import MEASURES
from kvsim.lab.toml_file import parse_table, read_text
from kvsim.sim.checks import check_world
from kvsim.sim.faults import Fault, read_faults
from kvsim.sim.nemesis import NemesisSettings, Whom
from kvsim.sim.places import Places
from kvsim.sim.settings import WorldSettings, read_world
from kvsim.strategies.catalogue import cluster_of, message_kinds, read_design
from kvsim.workload.settings import Workload

if TYPE_CHECKING:
    from kvsim.lab.report import Report

Trace = Literal["none", "first", "all"]
"""Of which runs to write what the nodes did."""
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
SECTIONS = ("design", "cluster", "network", "machines", "initial", "workload", "faults", "nemesis")
"""What a point consists of."""
RUNS_LIMIT = 10_000


class ClusterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cluster]`: how many nodes there are."""

    nodes: Count = 3
    """ServerData nodes; in peer to peer all nodes."""
    frontends: Count = 1
    """ServerFrontends, where the topology has them."""
    place: dict[str, str] = {}
    """Zones of nodes and clients by their names; the same as `network.place`."""


class _Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    """What labels call it."""
    design: dict[str, Any] | None = None
    cluster: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    machines: dict[str, Any] | None = None
    initial: dict[str, Any] | None = None
    workload: dict[str, Any] | None = None
    faults: list[dict[str, Any]] | None = None
    nemesis: dict[str, Any] | None = None


class _Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    use: list[str] = []


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may stand in the file; the sections are read point by point."""

    title: str = ""
    question: str = ""
    design: dict[str, Any] = {}
    cluster: dict[str, Any] = {}
    network: dict[str, Any] = {}
    machines: dict[str, Any] = {}
    initial: dict[str, Any] = {}
    workload: dict[str, Any] = {}
    faults: list[dict[str, Any]] = []
    nemesis: dict[str, Any] | None = None
    vary: dict[str, Any] = {}
    variant: list[_Variant] = []
    expect: dict[str, str | list[str]] = {}
    measure: _Measure = _Measure()
    explore: dict[str, Any] = {}
    """Read by `kvsim explore`; a simulation needs none of it."""


class Setup(NamedTuple):
    """All that decides one run, but its seed."""

    where: tuple[tuple[str, str], ...]
    """Axis names and values, as labels show them."""
    design: Design
    cluster: Cluster
    world: WorldSettings | None
    """The simulated world; None where it runs in the real one."""
    workload: Workload
    faults: tuple[Fault, ...]
    table: Table
    """The sections as written, the point's keys set: read again, they give this setup."""
    nemesis: NemesisSettings | None = None
    """Draws further faults for each run."""
    initial: Initial = Initial()
    """How the cluster is when the workload begins."""

    @property
    def label(self) -> str:
        """`r=1,w=2`; empty where nothing varies."""
        return ",".join(f"{name}={value}" for name, value in self.where)

    @property
    def title(self) -> str:
        """The label for pictures and tables: `raft, clients = 16`."""
        return ", ".join(value if name == "variant" else f"{name} = {value}" for name, value in self.where)

    def run_label(self, seed: int) -> str:
        """`r=1,seed=0`: names the run's folder."""
        return ",".join(part for part in (self.label, f"seed={seed}") if part)


class Experiment(NamedTuple):
    """A file, read and found sound."""

    name: str
    path: Path
    title: str
    question: str
    axes: tuple[Vary, ...]
    setups: tuple[Setup, ...]
    seeds: int
    expectations: tuple[Expectation, ...]
    measures: tuple[str, ...]
    comment: str
    """The comment at the head of the file: what the experiment shows, and why."""
    first_seed: int = 0
    """The seed to begin with unless another is given; a `run.json` has its own."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how it is run, before he trusts the numbers."""

    @property
    def runs(self) -> int:
        """How many runs it takes."""
        return len(self.setups) * self.seeds

    def run(self, seed: int | None = None, out: str | Path | None = None, trace: Trace = "none") -> Report:
        """Run it in the simulated world; with `out`, leave metrics, plots and report there. Raises `SettingsError`."""
        from kvsim.lab.sweep import run_experiment  # it imports this module

        return run_experiment(
            self, self.first_seed if seed is None else seed, None if out is None else Path(out), trace
        )


def find(file_or_name: str | Path) -> Path:
    """The file of this path, or of the bundled experiment of this name. Raises `SettingsError`."""
    path = Path(file_or_name)
    if path.is_file():
        return path
    text = str(file_or_name)
    if path.is_dir() and text not in list_experiments():
        raise SettingsError([f"{text} is a folder; name a file in it, or one of {', '.join(list_experiments())}"])
    if path.suffix == ".toml" or len(path.parts) > 1:
        hint = nearest(path.stem, list_experiments())
        raise SettingsError([f"there is no file {text}; bundled experiments go by name alone{hint}"])
    try:
        return experiment_path(text)
    except BundledFileNotFound as error:
        raise SettingsError([str(error)]) from error


class TooManyRuns(SettingsError):
    """A grid so large that it was hardly meant."""

    def __init__(self, file: str, runs: int, first: Setup) -> None:
        more = f"{file}: vary: {runs:,} runs, which is more than {RUNS_LIMIT:,}"
        super().__init__([f"{more}; vary less, or run it by kvsim sweep with --yes"])
        self.runs = runs
        self.first = first
        """The first point, by which to tell how long it would take."""


def load(file_or_name: str | Path, settings: Sequence[str] = (), *, however_many: bool = False) -> Experiment:
    """Read an experiment. `settings` are keys set before it is read: `workload.clients=5`.

    Raises `SettingsError` with every problem found; `TooManyRuns` unless a grid may have however many.
    """
    path = find(file_or_name)
    text = read_text(path)
    if path.suffix == ".json":
        return _load_run(path, text)
    table = parse_table(text, path.name)
    for setting in settings:
        try:
            key, value = parse_setting(setting)
            set_key(table, key, from_here(key, value))
        except ValueError as error:
            text = str(error)
            raise SettingsError([text if text.startswith("--set") else f"--set {text}"]) from error
    if problems := [why for setting in settings if (why := _without_effect(table, parse_setting(setting)[0]))]:
        raise SettingsError(problems)
    return read_experiment(table, path, _head_comment(text), however_many)


def _without_effect(table: Mapping[str, Any], key: str) -> str:
    """Why it would change nothing to set this key; empty where it does."""
    vary = table.get("vary", {})
    if isinstance(vary, dict) and key in vary:
        return f"--set {key}: [vary] sets it at every point; set its values there: --set 'vary.{key}=[…]'"
    variants, section = table.get("variant", []), key.partition(".")[0]
    if isinstance(variants, list) and variants and all(section in variant for variant in variants):
        return f"--set {key}: every [[variant]] has a {section} of its own; change it in the file"
    return ""


class _Again(msgspec.Struct):
    folder: str
    tables: dict[str, Any]


class _RunFile(msgspec.Struct):
    title: str
    seed: int
    again: _Again


def _load_run(path: Path, text: str) -> Experiment:
    """One run, to be run again, from its `run.json`."""
    try:
        run = msgspec.json.decode(text, type=_RunFile)
    except msgspec.MsgspecError as error:
        raise SettingsError([f"{path.name}: is no run of an experiment: {error}"]) from error
    table = {"title": run.title, **run.again.tables}
    # A folder that holds all that its run needs says ".", so that it can be moved.
    return read_experiment(table, path.parent / run.again.folder / path.name)._replace(first_seed=run.seed)


def read_experiment(table: Mapping[str, Any], path: Path, comment: str = "", however_many: bool = False) -> Experiment:
    """The experiment that a file's table describes. Raises `SettingsError` with every problem found."""
    file = path.name
    head = _read(_File, table, file)
    vary = dict(head.vary)
    problems: list[str] = []
    seeds = vary.pop("seeds", 1)
    if type(seeds) is not int or not 1 <= seeds <= 1_000:
        problems.append(f"{file}: vary.seeds: expected a number of seeds from 1 to 1000, got {seeds!r}")
        seeds = 1
    names = [variant.name for variant in head.variant]
    problems += [
        f"{file}: variant: two are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise SettingsError(problems)
    variants = [{k: v for k, v in msgspec.to_builtins(variant).items() if v is not None} for variant in head.variant]
    axes = axes_of(vary, variants, file)
    runs = seeds * math.prod(len(axis.values) for axis in axes)
    if runs > RUNS_LIMIT and not however_many:
        [first] = _read_points(table, [axis._replace(values=axis.values[:1]) for axis in axes], variants, path)
        raise TooManyRuns(file, runs, first)
    setups = _read_points(table, axes, variants, path)
    problems += [
        f"{file}: measure.use: unknown {name!r}{nearest(name, MEASURES)}"
        for name in head.measure.use
        if name not in MEASURES
    ]
    expectations = read_expectations(head.expect, axes, head.measure.use, problems, f"{file}: expect")
    if problems:
        raise SettingsError(problems)
    return Experiment(
        path.stem, path, head.title or path.stem, head.question, tuple(axes), tuple(setups), seeds,
        tuple(expectations), tuple(head.measure.use), comment,
    )  # fmt: skip


def _read_points(table: Mapping[str, Any], axes: Sequence[Vary], variants: Iterable[Table], path: Path) -> list[Setup]:
    base = {name: table[name] for name in SECTIONS if name in table}
    setups: list[Setup] = []
    problems: dict[str, list[str]] = {}
    points = points_of(base, axes, variants, path.name)
    for point in points:
        try:
            setups.append(read_setup(point.where, point.table, path))
        except SettingsError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(point.label)
    if problems:
        raise SettingsError(
            problem if len(labels) == len(points) else f"{problem} (at {_some(labels)})"
            for problem, labels in problems.items()
        )
    return setups


def _some(labels: list[str]) -> str:
    return "; ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def read_setup(where: tuple[tuple[str, str], ...], table: Table, path: Path) -> Setup:
    """One point. Every section is read, so that a user sees all problems at once."""
    file = path.name
    problems: list[str] = []
    design: Design | None = None
    try:
        sized = _read(ClusterSettings, table.get("cluster", {}), file, "cluster")
    except SettingsError as error:
        problems += error.problems
        sized = ClusterSettings()
    try:
        design = read_design(table.get("design", {}), f"{file}: design", sized.nodes, path.parent)
    except SettingsError as error:
        problems += error.problems
    world, workload = WorldSettings(), Workload()
    try:
        world = read_world(_world_tables(table, sized.place, path.parent), f"{file}: ")
    except SettingsError as error:
        problems += [problem.replace(": .", ": ") for problem in error.problems]
    try:
        workload = _read(Workload, table.get("workload", {}), file, "workload")
        problems += [f"{file}: workload.{problem}" for problem in workload.refusals()]
    except SettingsError as error:
        problems += error.problems
    faults: list[Fault] = []
    initial = Initial()
    try:
        initial = _read(Initial, table.get("initial", {}), file, "initial")
    except SettingsError as error:
        problems += error.problems
    nemesis: NemesisSettings | None = None
    try:
        nemesis = _read(NemesisSettings, table["nemesis"], file, "nemesis") if "nemesis" in table else None
    except SettingsError as error:
        problems += error.problems
    if design is not None:
        cluster = cluster_of(design, sized.nodes, sized.frontends)
        problems += [f"{file}: initial.{problem}" for problem in initial.refusals(design, cluster)]
        places: Places | None = None
        try:
            kinds = [tag_of(kind) for kind in message_kinds(design)]
            places = check_world(world, cluster.everyone(), kinds, f"{file}: ")
        except SettingsError as error:
            problems += error.problems
        try:
            known = None if places is None else tuple(places.graph)
            faults = read_faults(table.get("faults", []), f"{file}: faults", cluster, known)
        except SettingsError as error:
            problems += error.problems
        problems += [f"{file}: nemesis.{problem}" for problem in _senseless(nemesis, design, cluster, places)]
        if not problems:
            return Setup(where, design, cluster, world, workload, tuple(faults), table, nemesis, initial)
    raise SettingsError(problems)


def _world_tables(table: Table, place: Mapping[str, str], folder: Path) -> Table:
    """What describes the simulated world."""
    found = located({name: table[name] for name in ("network", "machines") if name in table}, folder)
    if place:
        network = found.get("network", {})
        found["network"] = {**network, "place": {**network.get("place", {}), **place}}
    return found


def _senseless(nemesis: NemesisSettings | None, design: Design, cluster: Cluster, places: Places | None) -> list[str]:
    """The faults that the nemesis names and that can do no harm here."""
    if nemesis is None or places is None:
        return []
    return nemesis.problems(Whom(Chance(0, "nemesis"), cluster, (), places.zones(), design.durability == "disk"))


def _read(kind: type[Any], table: Mapping[str, Any], file: str, section: str = "") -> Any:
    if section:
        return read_settings(kind, table, f"{file}: {section}")
    try:
        return read_settings(kind, table, f"{file}: ")
    except SettingsError as error:
        raise SettingsError(problem.replace(": .", ": ", 1) for problem in error.problems) from error


def _head_comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return "\n".join(lines).strip()
