"""What each axis of the grid changes: one figure an axis, a panel a metric, means over seeds with 95 % intervals."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.expect import Measured, Where
from kvsim.lab.experiment import Setup
from kvsim.lab.grid import Vary, shown
from kvsim.lab.metrics import METRICS
from kvsim.lab.plots.choice import choose
from kvsim.lab.plots.style import LINES_AT_MOST, Plot, Scale, figure, grid, legend_below, look, save, tell, time_scale
from kvsim.lab.report import Report
from kvsim.lab.shown import base_name, metric_title, within_range
from kvsim.lab.statistics import Estimate, estimate
from kvsim.strategies.described import described

PANELS = 6
LABEL_CHARACTERS = 36
"""What fits below a panel; a longer label has several lines."""
MEANING_CHARACTERS = 60
"""A longer explanation of a setting is left to the reference."""
CROWDED = 0.18
"""Where two values of an axis lie nearer than this share of the whole, the axis is logarithmic."""


def draw_comparisons(report: Report, folder: Path) -> list[Plot]:
    """One figure for each axis."""
    return [_draw_axis(report, folder, axis) for axis in report.experiment.axes]


def _draw_axis(report: Report, folder: Path, axis: Vary) -> Plot:
    metrics = report.key_metrics(PANELS, varying=True)
    rows, columns = grid(len(metrics))
    drawn = figure(max(2.75 * columns + 0.3, 4.2), 2.35 * rows + 0.5)
    panels = drawn.subplots(rows, columns, squeeze=False)
    every = _lines(report.points, axis)
    chosen = choose(list(every), LINES_AT_MOST, "lines")
    lines = {chosen.title(rest): every[rest] for rest in chosen.wheres}
    for at, axes in enumerate(panels.flat):
        if at < len(metrics):
            _panel(axes, axis, metrics[at], lines)
            if numbers_of(axis) is not None:
                axes.set_xlabel(explained(axis, report.experiment.setups[0]))
        else:
            axes.set_visible(False)
    legend_below(drawn, panels[0][0])
    tell(drawn, chosen.subset)
    several = report.experiment.seeds > 1
    caption = (
        "What changes with "
        + axis.name
        + (
            f": means over {report.experiment.seeds} seeds, bars are 95 % confidence intervals."
            if several
            else f"; one seed ({report.seed}), so there are no intervals."
        )
        + (f" Shown: {chosen.subset}." if chosen.subset else "")
    )
    return save(drawn, folder, f"compare-{axis.name}", f"Compared by {axis.name}", caption)


def _lines(points: list[Measured], axis: Vary) -> dict[Where, dict[str, Measured]]:
    """By the values of the other axes: the point at each value of this one."""
    lines: dict[Where, dict[str, Measured]] = {}
    for point in points:
        rest = tuple((name, value) for name, value in point.where if name != axis.name)
        lines.setdefault(rest, {})[dict(point.where)[axis.name]] = point
    return lines


def _panel(axes: Axes, axis: Vary, metric: str, lines: dict[str, dict[str, Measured]]) -> None:
    values = [shown(value) for value in axis.values]
    numbers = numbers_of(axis)
    series: list[tuple[str, list[tuple[float, Estimate]]]] = []
    for label, line in lines.items():
        found = []
        for at, value in enumerate(values):
            by_seed = line[value].by_seed if value in line else ()
            measured = [metrics[metric] for metrics in by_seed if metric in metrics]
            if measured:
                found.append((float(at) if numbers is None else numbers[at], within_range(metric, estimate(measured))))
        series.append((label, found))
    scale = _scale(metric, [e.high for _, found in series for _, e in found])
    for number, (label, found) in enumerate(series):
        if numbers is None:  # side by side, so that none hides another
            step = min(0.12, 0.6 / len(series))
            found = [(at + step * (number - (len(series) - 1) / 2), e) for at, e in found]
        _series(axes, number, label, found, scale.size, joined=numbers is not None)
    axes.set_title(metric_title(metric))
    axes.set_ylabel(scale.unit or "")
    highest = max((e.high for _, found in series for _, e in found), default=0.0)
    top = highest * 1.1 / scale.size if highest > 0 else 1.0
    axes.set_ylim(-0.03 * top, top)  # a marker on the zero line is seen whole
    _label_values(axes, axis, values, numbers)


def _series(
    axes: Axes, number: int, label: str, found: list[tuple[float, Estimate]], size: float, joined: bool
) -> None:
    chosen = look(number)
    axes.errorbar(
        [at for at, _ in found], [e.mean / size for _, e in found],
        yerr=[[(e.mean - e.low) / size for _, e in found], [(e.high - e.mean) / size for _, e in found]],
        color=chosen.colour, linestyle=chosen.line if joined else "none", marker=chosen.marker, capsize=3, label=label,
        markersize=5 if joined else 7, zorder=3,
    )  # fmt: skip


def _label_values(axes: Axes, axis: Vary, values: list[str], numbers: list[float] | None) -> None:
    if numbers is None:
        crowded = sum(map(len, values)) > 20
        axes.set_xticks(range(len(values)), values, rotation=30 if crowded else 0, ha="right" if crowded else "center")
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.grid(visible=False, axis="x")
        return
    ordered = sorted(numbers)
    closest = min((high - low for low, high in itertools.pairwise(ordered)), default=1.0)
    if ordered[0] > 0 and closest < CROWDED * (ordered[-1] - ordered[0]):
        axes.set_xscale("log")
    axes.set_xticks(numbers, values)
    axes.minorticks_off()


def explained(axis: Vary, setup: Setup) -> str:
    """`r (replicas that a read waits for)`, in lines that fit below a panel; of what is no strategy's its name."""
    for on, choice in setup.design.choices.items():
        if axis.path.startswith(f"design.{on}."):
            try:
                settings = described(on, choice.name, choice.strategy)["settings"]
            except (OSError, TypeError):  # a strategy whose source is not at hand
                return axis.name
            meaning = {row["key"]: row["meaning"] for row in settings}.get(axis.path.removeprefix(f"design.{on}."), "")
            first = meaning.partition(".")[0].partition(";")[0].partition(":")[0]
            if first and len(first) <= MEANING_CHARACTERS:
                return textwrap.fill(f"{axis.name} ({first[0].lower()}{first[1:]})", LABEL_CHARACTERS)
    return axis.name


def numbers_of(axis: Vary) -> list[float] | None:
    """The values as numbers, durations in seconds; None where they are no numbers."""
    from kvsim.core.settings import duration_ns

    numbers = []
    for value in axis.values:
        if isinstance(value, str):
            try:
                numbers.append(duration_ns(value) / 1e9)
            except ValueError:
                return None
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers.append(float(value))
        else:
            return None
    return numbers


def _scale(metric: str, values: list[float]) -> Scale:
    name = base_name(metric)
    if name.endswith("_share"):
        return Scale("%", 0.01)
    unit = METRICS[name].unit if name in METRICS else ""
    return time_scale(values) if unit == "s" else Scale({"1/s": "ops/s"}.get(unit, unit), 1.0)
