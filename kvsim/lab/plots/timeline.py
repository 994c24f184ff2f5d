"""Throughput and availability over time, faults shaded: a row a point, from the run with the first seed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.observations import Observations
from kvsim.lab.plots.style import COLOURS, GREY, POINTS_AT_MOST, Plot, figure, how_many, save, shade, some, tell
from kvsim.lab.report import Report

BINS = 100
BURST = 2.0
"""A bin that exceeds most others by more than this is cut off, so that the others can be read."""


def draw_timeline(report: Report, folder: Path) -> list[Plot]:
    """One row for each point."""
    setups = some(report.experiment.setups, POINTS_AT_MOST)
    shown = [report.runs_of(setup)[0].seen for setup in setups]
    draws = [_throughput]
    if not all(seen.answered(op) for seen in shown for op in seen.operations):
        draws.append(_availability)
    drawn = figure(7.6, 1.0 + 1.45 * len(setups))
    panels = drawn.subplots(len(setups), len(draws), sharex=True, sharey="col", squeeze=False)
    for setup, seen, row in zip(setups, shown, panels, strict=True):
        for axes, draw in zip(row, draws, strict=True):
            draw(axes, seen)
            faults = [(f.name, seen.since_start_s(f.start_ns), seen.since_start_s(f.end_ns)) for f in seen.faults]
            shade(axes, faults, named=draw is _throughput)
            _warm_up(axes, seen)
        row[0].set_title(setup.title, pad=4 + 9 * len(seen.faults))
    for axes in panels[-1]:
        axes.set_xlabel("time since the workload began (s)")
    rates = sorted(rate for seen in shown for rate in _rates(seen))
    top = rates[-1]
    if top > BURST * rates[int(0.95 * len(rates))]:
        top = BURST * rates[int(0.95 * len(rates))]
    panels[0][0].set_ylim(0, 1.1 * top or 1)
    cut = top < rates[-1]
    subset = how_many(setups, report.experiment.setups)
    for axes, seen in zip(panels[:, 0], shown, strict=True) if cut else ():
        _mark_cut(axes, seen, 1.1 * top)
    warm = any(_has_warm_up(seen) for seen in shown)
    tell(drawn, subset, "dotted line: end of the warm-up" if warm else "", "▲: higher than the frame" if cut else "")
    caption = (
        "Operations answered a second"
        + (
            "; right, the share of those begun at that time that were answered"
            if len(draws) > 1
            else ", all that began"
        )
        + (". Faults are shaded" if any(seen.faults for seen in shown) else "")
        + (". The dotted line ends the warm-up" if warm else "")
        + (". Answers that had queued come in bursts above the frame (▲)" if cut else "")
        + f". Seed {report.seed}."
        + (f" {subset} are shown." if subset else "")
    )
    return [save(drawn, folder, "timeline", "Throughput and availability over time", caption)]


def _bin_s(seen: Observations) -> float:
    return (seen.phases.ended_ns - seen.phases.workload_ns) / 1e9 / BINS


def _rates(seen: Observations) -> list[float]:
    """Operations answered a second, bin by bin."""
    width = _bin_s(seen)
    counts = [0] * BINS
    for op in seen.operations:
        if op.completed_ns is not None and seen.answered(op):
            at = int(seen.since_start_s(op.completed_ns) / width)
            if op.completed_ns >= seen.phases.workload_ns and at < BINS:
                counts[at] += 1
    return [count / width for count in counts]


def _throughput(axes: Axes, seen: Observations) -> None:
    edges = [_bin_s(seen) * at for at in range(BINS + 1)]
    axes.stairs(_rates(seen), edges, color=COLOURS[0], linewidth=1.2, baseline=None)
    axes.set_ylabel("ops/s")


def _mark_cut(axes: Axes, seen: Observations, top: float) -> None:
    """A mark over each bin that is higher than the frame."""
    at = [_bin_s(seen) * (number + 0.5) for number, rate in enumerate(_rates(seen)) if rate > top]
    axes.plot(at, [0.97 * top] * len(at), color=COLOURS[1], linestyle="none", marker="^", markersize=4)


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
    axes.set_ylabel("% answered")


def _warm_up(axes: Axes, seen: Observations) -> None:
    if _has_warm_up(seen):
        axes.axvline(seen.since_start_s(seen.phases.measured_ns), color=GREY, linewidth=0.8, linestyle=":")


def _has_warm_up(seen: Observations) -> bool:
    return seen.phases.measured_ns > seen.phases.workload_ns
