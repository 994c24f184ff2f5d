"""Plots of a report: a file a family, each PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from kvsim.lab.plots.comparison import draw_comparisons
from kvsim.lab.plots.latency import draw_latency
from kvsim.lab.plots.load import draw_load
from kvsim.lab.plots.staleness import draw_staleness
from kvsim.lab.plots.style import RC, Plot
from kvsim.lab.plots.timeline import draw_timeline
from kvsim.lab.plots.witness import draw_witnesses
from kvsim.lab.report import Report


def draw_all(report: Report, folder: Path) -> list[Plot]:
    """Every picture that the report gives material for, the comparisons first."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(RC):
        return [
            plot
            for draw in (draw_comparisons, draw_timeline, draw_latency, draw_staleness, draw_load, draw_witnesses)
            for plot in draw(report, folder)
        ]
