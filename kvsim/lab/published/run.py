"""Runs the experiments of `experiments/published/`: what the real strategies give, beside what was published."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.lab import expect
from kvsim.lab.experiment import SECTIONS, Setup, read_setup
from kvsim.lab.grid import axes_of, points_of
from kvsim.lab.published import leaders, placing, queues, quorums
from kvsim.lab.published.trial import Measured

METHODS: dict[str, Callable[[Setup, int, int], Measured]] = {
    "staleness": quorums.staleness,
    "staleness_later": quorums.staleness_later,
    "order_statistics": quorums.order_statistics,
    "fan_out": quorums.fan_out,
    "elections": leaders.elections,
    "downtime": leaders.downtime,
    "message_delays": leaders.message_delays,
    "regions": leaders.regions,
    "majorities": leaders.majorities,
    "sojourn": queues.sojourn,
    "coordinated_omission": queues.coordinated_omission,
    "balance": placing.balance,
    "join": placing.join,
    "hottest_keys": placing.hottest_keys,
}
"""How an experiment is run and judged; each drives the real strategies in the simulated world."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[published]`: where the figures come from, and how to reproduce them."""

    source: str
    method: str
    trials: Annotated[int, msgspec.Meta(ge=1)]
    fewest: Annotated[int, msgspec.Meta(ge=1)] = 1
    """With fewer trials than these the experiment makes no sense."""
    seed: int = 0
    methods: dict[str, str] = {}
    """A method of their own for some variants."""
    trials_of: dict[str, int] = {}
    """A number of trials of their own."""
    figures: dict[str, float] = {}
    """The source's own figures, where they differ from what is expected: by `metric[variant=…]`."""


class Row(NamedTuple):
    """One figure: expected, and found."""

    experiment: str
    variant: str
    metric: str
    expected: str
    published: float | None
    found: float
    holds: bool
    trials: int


class Reproduced(NamedTuple):
    """An experiment, and what came of it."""

    name: str
    title: str
    source: str
    rows: list[Row]
    measured: dict[str, Measured]
    """By variant."""


class Recipe(NamedTuple):
    """An experiment of `experiments/published/`, read."""

    path: Path
    title: str
    source: Source
    points: list[tuple[str, Setup]]
    expectations: list[expect.Expectation]


def read(path: Path, loosened: float = 1.0) -> Recipe:
    """The recipe in a file; every tolerance is multiplied by `loosened`. Raises `SettingsError`."""
    table = tomllib.loads(path.read_text("utf-8"))
    source = read_settings(Source, table["published"], f"{path.name}: published")
    problems = [
        f"{path.name}: published: unknown method {method!r}{nearest(method, METHODS)}"
        for method in (source.method, *source.methods.values())
        if method not in METHODS
    ]
    variants = table.get("variant", [])
    axes = axes_of({}, variants, path.name)
    base = {name: table[name] for name in SECTIONS if name in table}
    points = [
        (dict(point.where).get("variant", ""), read_setup(point.where, point.table, path))
        for point in points_of(base, axes, variants, path.name)
    ]
    lines = {key: _loosened(text, loosened) for key, text in table["expect"].items()}
    names = [key.partition("[")[0] for key in lines]
    expectations = expect.read_expectations(lines, axes, names, problems, f"{path.name}: expect")
    if problems:
        raise SettingsError(problems)
    return Recipe(path, table["title"], source, points, expectations)


def _loosened(text: str, factor: float) -> str:
    """`within 6% of 2` with factor 3: `within 18% of 2`."""
    return re.sub(r"within ([0-9.]+)%", lambda found: f"within {float(found[1]) * factor:g}%", text)


def reproduce_file(path: Path, share: float) -> Reproduced:
    """Run the experiment of a file; for processes, to which it goes by name."""
    return reproduce(read(path), share)


def reproduce(recipe: Recipe, share: float = 1.0) -> Reproduced:
    """Run each point with this share of its trials, and judge what came of it."""
    source = recipe.source
    measured: dict[str, Measured] = {}
    trials: dict[str, int] = {}
    for variant, setup in recipe.points:
        full = source.trials_of.get(variant, source.trials)
        trials[variant] = max(min(source.fewest, full), round(full * share))
        method = METHODS[source.methods.get(variant, source.method)]
        measured[variant] = method(setup, trials[variant], source.seed)
    points = [expect.Measured(setup.where, [measured[variant].metrics]) for variant, setup in recipe.points]
    rows = [row for line in recipe.expectations for row in _rows(recipe, line, points, trials)]
    return Reproduced(recipe.path.stem, recipe.title, source.source, rows, measured)


def _rows(
    recipe: Recipe, line: expect.Expectation, points: list[expect.Measured], trials: dict[str, int]
) -> Iterable[Row]:
    chosen = [point for point in points if set(line.subject.where) <= set(point.where)]
    for point, finding in zip(chosen, expect.judge(line, points), strict=True):
        variant = dict(point.where).get("variant", "")
        metric = line.subject.metric
        found = point.by_seed[0].get(metric)
        if found is None:
            raise SettingsError([f"{recipe.path.name}: expect: {recipe.source.method} gives no {metric}"])
        figures: dict[str, Any] = recipe.source.figures
        published = figures.get(f"{metric}[variant={variant}]", figures.get(metric))
        yield Row(
            recipe.path.stem, variant, metric, line.condition.text, published, found, finding.holds, trials[variant]
        )  # fmt: skip
