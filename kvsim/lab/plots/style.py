"""How all plots look, and that equal data give equal bytes.

Colours that colour-blind readers tell apart (Okabe and Ito, 2008), with markers and line styles for print; SI units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8F7700")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 1)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#555555"
FAULT = "#F0C9B8"
LINES_AT_MOST = len(COLOURS)
"""More lines than this in one panel, and nobody tells them apart."""

RC: Any = {
    "svg.hashsalt": "kvsim",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "path.simplify": True,
}


class Plot(NamedTuple):
    """One picture in its two forms, with words."""

    name: str
    title: str
    caption: str
    """How to read it."""
    png: Path
    svg: Path


class Look(NamedTuple):
    """Colour, line and marker of one point, the same in every picture."""

    colour: str
    line: Any
    marker: str


def look(number: int) -> Look:
    """The look of the n-th point."""
    return Look(COLOURS[number % len(COLOURS)], LINES[number % len(LINES)], MARKERS[number % len(MARKERS)])


def figure(width: float, height: float) -> Figure:
    """An empty picture, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save(drawn: Figure, folder: Path, name: str, title: str, caption: str) -> Plot:
    """Write both forms; neither holds a date."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with mpl.rc_context(RC):
        drawn.savefig(png, metadata={"Software": None})
        drawn.savefig(svg, metadata={"Date": None, "Creator": None})
    return Plot(name, title, caption, png, svg)


def grid(panels: int, columns: int = 3) -> tuple[int, int]:
    """Rows and columns for small multiples; four are two by two, as three would leave a row nearly empty."""
    columns = 2 if panels == 4 else min(columns, panels)
    return -(-panels // columns), columns


class Scale(NamedTuple):
    """A unit that fits the numbers on an axis."""

    unit: str
    size: float


def time_scale(seconds: Iterable[float]) -> Scale:
    """s, ms or µs, by the largest value."""
    largest = max((abs(value) for value in seconds), default=0.0)
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if largest >= size:
            return Scale(unit, size)
    return Scale("µs", 1e-6)


def plain_numbers(axes: Axes, axis: str = "x") -> None:
    """Write 0.5, 1 and 200 on a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    chosen = axes.xaxis if axis == "x" else axes.yaxis
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high < low * 150 else (1.0,)
    chosen.set_major_locator(LogLocator(subs=subs, numticks=12))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    chosen.set_minor_formatter(NullFormatter())


def shade(axes: Axes, faults: Sequence[tuple[str, float, float]], named: bool) -> None:
    """Faults as bands; with their names where asked, above the area, stacked so that all can be read."""
    for number, (name, start_s, end_s) in enumerate(faults):
        axes.axvspan(start_s, end_s, color=FAULT, alpha=0.65, linewidth=0, zorder=0)
        axes.axvline(start_s, color="#C98A70", linewidth=0.8, zorder=0)
        if named:
            axes.annotate(
                name, ((start_s + end_s) / 2, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 1 + 9 * number),
                textcoords="offset points", va="bottom", ha="center", fontsize=8, color=GREY,
            )  # fmt: skip


def tell(drawn: Figure, *sentences: str) -> None:
    """Words in the picture itself, above it, for whoever sees it without its caption."""
    said = "; ".join(sentence for sentence in sentences if sentence)
    if said:
        drawn.suptitle(said, fontsize=8, color=GREY, x=0.01, ha="left")


def legend_below(drawn: Figure, axes: Axes) -> None:
    """One legend for all panels, under them, as wide as the labels let it be."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        columns = int(drawn.get_figwidth() * 12 / (max(map(len, labels)) + 9))
        drawn.legend(handles, labels, loc="outside lower center", ncols=max(1, min(columns, len(labels))))
