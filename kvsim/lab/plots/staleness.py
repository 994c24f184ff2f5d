"""How often reads were stale, and by how much."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.metrics import stale_reads_ns
from kvsim.lab.plots.choice import choose_setups
from kvsim.lab.plots.style import Plot, figure, legend_below, look, plain_numbers, save, tell, time_scale
from kvsim.lab.report import Report, labelled

SHORTEST_NS = 10_000
"""What is behind by less is drawn here: a read that begins as a write is acknowledged would stretch the axis."""
Line = tuple[int, str, list[float], float]
"""A point: its number, its name, how long its stale reads were behind, ascending, and their share of all."""


def draw_staleness(report: Report, folder: Path) -> list[Plot]:
    """Two panels; nothing where every read was fresh."""
    lines: list[Line] = []
    setups, chosen = choose_setups(report.experiment.setups)
    for number, setup in enumerate(setups):
        behind = [by_ns for run in report.runs_of(setup) for _, by_ns in stale_reads_ns(run.seen)]
        if behind:
            stale = sorted(max(by_ns, SHORTEST_NS) / 1e9 for by_ns in behind if by_ns)
            share = report.estimates[labelled("stale_read_share", setup.label)].mean
            lines.append((number, chosen.title(setup.where) or "all reads", stale, share))
    if not any(stale for _, _, stale, _ in lines):
        return []
    drawn = figure(7.6, 3.6)
    shares, times = drawn.subplots(1, 2)
    _shares(shares, lines)
    _times(times, lines)
    tell(drawn, chosen.subset)
    caption = (
        "Left: the share of reads that missed a write acknowledged before they began, the mean over the seeds. Right: "
        "of those, the share that was behind by at least so long (since the first missed write was acknowledged). "
        "Measured part, all seeds." + (f" Shown: {chosen.subset}." if chosen.subset else "")
    )
    if any(stale for _, _, stale, _ in lines[1:]):
        legend_below(drawn, times)
    return [save(drawn, folder, "staleness", "Staleness of reads", caption)]


def _shares(axes: Axes, lines: list[Line]) -> None:
    for at, (number, _, stale, mean) in enumerate(lines):
        share = 100 * mean
        axes.barh(at, share, color=look(number).colour, height=0.6)
        axes.annotate(
            f"{share:.3g} %" if stale else "none", (share, at), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(lines)), [label for _, label, _, _ in lines])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("stale reads (%)")
    axes.set_title("how often")


def _times(axes: Axes, lines: list[Line]) -> None:
    unit, size = time_scale(value for _, _, stale, _ in lines for value in stale)
    for number, label, stale, _ in lines:
        if not stale:
            continue
        chosen = look(number)
        count = len(stale)
        axes.plot(
            [value / size for value in stale], [100 * (count - rank) / count for rank in range(count)],
            color=chosen.colour, linestyle=chosen.line, marker=chosen.marker, markevery=(0.05, 0.15), label=label,
        )  # fmt: skip
    axes.set_xscale("log")
    plain_numbers(axes)
    axes.set_ylim(0, 104)
    axes.set_xlabel(f"behind by at least ({unit}, logarithmic)")
    axes.set_ylabel("% of stale reads")
    axes.set_title("by how much")
