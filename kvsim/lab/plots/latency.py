"""The latency of reads and of writes, as cumulative distributions: one line a point."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.metrics import GROUPS, latencies_ns
from kvsim.lab.plots.choice import choose_setups
from kvsim.lab.plots.style import Plot, figure, legend_below, look, plain_numbers, save, tell, time_scale
from kvsim.lab.report import Report

STEPS = 400
"""Points of a line; more cannot be seen."""
OPERATIONS_AT_LEAST = 10
"""Fewer make no distribution."""


def draw_latency(report: Report, folder: Path) -> list[Plot]:
    """One panel for each kind of operation; nothing where hardly anything succeeded."""
    by_group: dict[str, list[tuple[int, str, list[int]]]] = {}
    setups, chosen = choose_setups(report.experiment.setups)
    for number, setup in enumerate(setups):
        for group in GROUPS:
            pooled = sorted(ns for run in report.runs_of(setup) for ns in latencies_ns(run.seen, group))
            if len(pooled) >= OPERATIONS_AT_LEAST:
                by_group.setdefault(group, []).append((number, chosen.title(setup.where) or group, pooled))
    if not by_group:
        return []
    drawn = figure(3.6 * len(by_group) + 0.4, 3.7)
    panels = drawn.subplots(1, len(by_group), sharey=True, squeeze=False)[0]
    everything = [
        ns / 1e9 for lines in by_group.values() for _, _, pooled in lines for ns in pooled[-len(pooled) // 100 :]
    ]
    unit, size = time_scale([min(everything)])
    for axes, (group, lines) in zip(panels, by_group.items(), strict=True):
        for number, label, pooled in lines:
            _line(axes, number, label, [ns / 1e9 / size for ns in pooled])
        axes.set_xscale("log")
        plain_numbers(axes)
        axes.set_title(f"{group}s")
        axes.set_xlabel(f"latency ({unit}, logarithmic)")
        axes.set_ylim(0, 1.02)
    panels[0].set_ylabel("share answered by then,\nof the operations that succeeded")
    legend_below(drawn, max(panels, key=lambda axes: len(axes.get_lines())))
    tell(drawn, chosen.subset)
    more = f" Shown: {chosen.subset}." if chosen.subset else ""
    caption = (
        "Left is faster; a long flat end is a slow tail. Successful operations of the measured part, all seeds." + more
    )
    return [save(drawn, folder, "latency", "Latency", caption)]


def _line(axes: Axes, number: int, label: str, ascending: list[float]) -> None:
    chosen = look(number)
    count = len(ascending)
    step = max(1, count // STEPS)
    ranks = [*range(0, count - 1, step), count - 1]
    axes.plot(
        [ascending[rank] for rank in ranks], [(rank + 1) / count for rank in ranks],
        color=chosen.colour, linestyle=chosen.line, marker=chosen.marker, markevery=(0.1, 0.2), label=label,
    )  # fmt: skip
