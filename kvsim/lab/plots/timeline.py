"""Throughput and availability over time, faults shaded: a row a point, from the run with the first seed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.observations import Observations
from kvsim.lab.plots.choice import choose_setups
from kvsim.lab.plots.style import COLOURS, GREY, Plot, figure, save, shade, tell
from kvsim.lab.report import Report

BINS = 100
BURST = 2.0
"""A bin that exceeds most others by more than this is cut off, so that the others can be read."""


def draw_timeline(report: Report, folder: Path) -> list[Plot]:
    """One row for each point; nothing where no fault struck and all was answered, as throughput only wavers then."""
    setups, chosen = choose_setups(report.experiment.setups)
    shown = [report.runs_of(setup)[0].seen for setup in setups]
    unanswered = not all(seen.answered(op) for seen in shown for op in seen.operations)
    if not unanswered and not any(seen.faults for seen in shown):
        return []
    draws = [_throughput, _availability] if unanswered else [_throughput]
    drawn = figure(7.6, 1.0 + 1.45 * len(setups))
    panels = drawn.subplots(len(setups), len(draws), sharex=True, sharey="col", squeeze=False)
    for setup, seen, row in zip(setups, shown, panels, strict=True):
        for axes, draw in zip(row, draws, strict=True):
            draw(axes, seen)
            faults = [(f.name, seen.since_start_s(f.start_ns), seen.since_start_s(f.end_ns)) for f in seen.faults]
            shade(axes, faults, named=draw is _throughput)
            _warm_up(axes, seen)
        row[0].set_title(chosen.title(setup.where), pad=4 + 9 * len(seen.faults))
    for axes in panels[-1]:
        axes.set_xlabel("time since the workload began (s)")
    highest, top = _tops(shown)
    panels[0][0].set_ylim(-0.04 * top, 1.1 * top)
    cut = top < highest
    for axes, seen in zip(panels[:, 0], shown, strict=True) if cut else ():
        _mark_cut(axes, seen, 1.1 * top)
    warm = any(_has_warm_up(seen) for seen in shown)
    marks = ("dotted line: end of the warm-up" if warm else "", "▲: higher than the frame" if cut else "")
    tell(drawn, chosen.subset, f"seed {report.seed}", *marks)
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
        + (f" Shown: {chosen.subset}." if chosen.subset else "")
    )
    return [save(drawn, folder, "timeline", "Throughput and availability over time", caption)]


def _tops(shown: list[Observations]) -> tuple[float, float]:
    """The highest rate, and the highest that the frame shows."""
    rates = sorted(rate for seen in shown for rate in _rates(seen) if rate) or [1.0]
    return rates[-1], min(rates[-1], BURST * rates[int(0.95 * len(rates))])


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
