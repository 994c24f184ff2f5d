"""Throughput and availability over time, faults shaded: a row a point, from the run with the first seed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.observations import Observations
from kvsim.lab.plots.style import COLOURS, GREY, Plot, figure, save, shade
from kvsim.lab.report import Report

BINS = 100
ROWS_AT_MOST = 6


def draw_timeline(report: Report, folder: Path) -> list[Plot]:
    """One row for each point."""
    setups = report.experiment.setups[:ROWS_AT_MOST]
    drawn = figure(7.6, 1.0 + 1.45 * len(setups))
    panels = drawn.subplots(len(setups), 2, sharex=True, sharey="col", squeeze=False)
    for row, setup in enumerate(setups):
        seen = report.runs_of(setup)[0].seen
        left, right = panels[row]
        _throughput(left, seen)
        _availability(right, seen)
        for axes in (left, right):
            shade(axes, [(f.name, seen.since_start_s(f.start_ns), seen.since_start_s(f.end_ns)) for f in seen.faults])
            _warm_up(axes, seen)
        left.set_title(setup.label or "throughput")
        if not setup.label:
            right.set_title("availability")
        left.set_ylabel("ops/s")
        right.set_ylabel("% answered")
    for axes in panels[-1]:
        axes.set_xlabel("time since the workload began (s)")
    more = "" if len(report.experiment.setups) <= ROWS_AT_MOST else f" The first {ROWS_AT_MOST} points are shown."
    caption = (
        "Left: successful operations a second, by when they were answered. Right: of those begun at that time, "
        f"the share that was answered. Faults are shaded; seed {report.seed}." + more
    )
    return [save(drawn, folder, "timeline", "Throughput and availability over time", caption)]


def _bin_s(seen: Observations) -> float:
    return (seen.phases.ended_ns - seen.phases.workload_ns) / 1e9 / BINS


def _throughput(axes: Axes, seen: Observations) -> None:
    width = _bin_s(seen)
    counts = [0] * BINS
    for op in seen.operations:
        if op.completed_ns is not None and seen.answered(op):
            at = int(seen.since_start_s(op.completed_ns) / width)
            if op.completed_ns >= seen.phases.workload_ns and at < BINS:
                counts[at] += 1
    axes.stairs(
        [count / width for count in counts], [width * at for at in range(BINS + 1)], color=COLOURS[0], linewidth=1.2
    )
    axes.set_ylim(bottom=0)


def _availability(axes: Axes, seen: Observations) -> None:
    width = _bin_s(seen)
    begun, answered = [0] * BINS, [0] * BINS
    for op in seen.operations:
        if seen.phases.workload_ns <= op.invoked_ns < seen.phases.ended_ns:
            at = min(BINS - 1, int(seen.since_start_s(op.invoked_ns) / width))
            begun[at] += 1
            answered[at] += seen.answered(op)
    times = [width * (at + 0.5) for at in range(BINS) if begun[at]]
    shares = [100 * answered[at] / begun[at] for at in range(BINS) if begun[at]]
    axes.plot(times, shares, color=COLOURS[1], linewidth=1.2, marker=".", markersize=3)
    axes.set_ylim(-4, 104)


def _warm_up(axes: Axes, seen: Observations) -> None:
    measured_s = seen.since_start_s(seen.phases.measured_ns)
    if measured_s > 0:
        axes.axvline(measured_s, color=GREY, linewidth=0.8, linestyle=":")
