"""The witness as a picture: operations as bars by client over time, the impossible ones marked; and cycles drawn.

Only the core and what happened around it is drawn, so that histories of thousands of operations stay readable.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvsim.check.verdict import Witness
from kvsim.check.wording import done
from kvsim.core.history import History, Operation, operations
from kvsim.lab.plots.style import COLOURS, FAULT, GREY, RC, figure, time_scale

if TYPE_CHECKING:
    from kvsim.check.transactions import Anomaly

NEIGHBOURS_AT_MOST = 40
"""Operations beside the core that are drawn, the nearest in time."""
LANES_AT_MOST = 14
_EDGE_COLOURS = {"ww": 0, "wr": 2, "rw": 1, "process": 6, "realtime": 6}
_BAR = 0.46


def draw_witness(
    history: History, witness: Witness, title: str, to: Path, faults: Sequence[tuple[str, float, float]] = ()
) -> None:
    """Draw the core and its surroundings into a file, .png or .svg. Faults: name, begin and end in seconds."""
    core = {o.invoked for o in witness.operations}
    shown = _surroundings(operations(history), witness, core)
    lanes = {process: i for i, process in enumerate(_lanes(shown, core))}
    begin, end = _span(o for o in shown if o.invoked in core)
    shown = [o for o in shown if o.process in lanes]
    with mpl.rc_context(RC):
        drawn = figure(9.0, 1.5 + 0.58 * len(lanes))
        axes = drawn.subplots()
        scale = time_scale([end / 1e9])
        margin = max((end - begin) * 0.05, 1.0)
        left, right = (begin - margin) / 1e9 / scale.size, (end + 3 * margin) / 1e9 / scale.size
        several = len({o.key for o in witness.operations}) > 1
        for name, at, until in faults:
            axes.axvspan(at / scale.size, until / scale.size, color=FAULT, linewidth=0, zorder=0)
            axes.annotate(name, (max(at / scale.size, left), -0.7), fontsize=8, color=GREY, clip_on=True)
        labelled: dict[int, float] = {}
        for o in shown:
            _bar(axes, o, lanes[o.process], o.invoked in core, scale.size, (left, right))
            if o.invoked in core:
                _name(axes, o, lanes[o.process], scale.size, right - left, several, labelled)
        _impossible(axes, [o for o in witness.operations if o.process in lanes], lanes, scale.size)
        _dress(axes, lanes, scale.unit, left, right)
        axes.set_title(title)
        _explain(drawn, witness.sentence)
        _save(drawn, to)


def _surroundings(found: list[Operation], witness: Witness, core: set[int]) -> list[Operation]:
    """The core, and of the same keys what overlaps it in time, the nearest first if there is much."""
    keys = {o.key for o in witness.operations}
    begin, end = _span(witness.operations)
    middle = [o.invoked_ns for o in witness.operations]
    near = [
        o
        for o in found
        if o.invoked not in core and o.key in keys and o.invoked_ns <= end and (o.completed_ns or end) >= begin
    ]
    near.sort(key=lambda o: min(abs(o.invoked_ns - at) for at in middle))
    return sorted([*near[:NEIGHBOURS_AT_MOST], *witness.operations], key=lambda o: o.invoked)


def _lanes(shown: Sequence[Operation], core: set[int]) -> list[int]:
    """Clients from top to bottom: those of the core always, others while there is room."""
    first = list(dict.fromkeys(o.process for o in shown if o.invoked in core))
    others = [p for p in dict.fromkeys(o.process for o in shown) if p not in first]
    return sorted([*first, *others[: max(0, LANES_AT_MOST - len(first))]])


def _span(found: Iterable[Operation]) -> tuple[int, int]:
    moments = [(o.invoked_ns, o.completed_ns if o.completed_ns is not None else o.invoked_ns) for o in found]
    return min(begin for begin, _ in moments), max(end for _, end in moments)


def _bar(axes: Axes, o: Operation, lane: int, is_core: bool, size: float, span: tuple[float, float]) -> None:
    left, right = span
    begin = max(o.invoked_ns / 1e9 / size, left)
    end = right if o.outcome == "info" or o.completed_ns is None else min(o.completed_ns / 1e9 / size, right)
    colour = (COLOURS[1] if o.op in ("read", "scan", "txn") else COLOURS[0]) if is_core else "#D9D9D9"
    axes.barh(
        lane, max(end - begin, (right - left) * 0.004), left=begin, height=_BAR, color=colour,
        zorder=3 if is_core else 1, alpha=0.9 if is_core else 0.7, hatch="///" if o.outcome == "info" else None,
        edgecolor="white", linewidth=0.8,
    )  # fmt: skip
    text = _label(o, False)
    if not is_core and end - begin > len(text) * 0.0075 * (right - left):
        axes.annotate(
            text, (begin, lane), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6.5, color=GREY,
            clip_on=True,
        )  # fmt: skip


def _name(
    axes: Axes, o: Operation, lane: int, size: float, width: float, several: bool, labelled: dict[int, float]
) -> None:
    """What an operation of the core did, above its bar; below it where the one before still stands."""
    text, begin = _label(o, several), o.invoked_ns / 1e9 / size
    below = begin < labelled.get(lane, -math.inf)
    if not below:
        labelled[lane] = begin + len(text) * 0.011 * width
    axes.annotate(
        text, (begin, lane + (_BAR / 2 if below else -_BAR / 2)), xytext=(0, -1 if below else 1),
        textcoords="offset points", va="top" if below else "bottom", fontsize=8, fontweight="bold", zorder=5,
    )  # fmt: skip


def _label(o: Operation, several: bool) -> str:
    text = done(o)
    if several and o.op != "txn" and o.key is not None:
        text = f"{text}, {o.key!s}"
    return text if len(text) <= 34 else text[:33] + "…"


def _impossible(axes: Axes, core: Sequence[Operation], lanes: dict[int, int], size: float) -> None:
    """An arrow along real time, from the end of each operation of the core to the beginning of the next."""
    ordered = sorted(core, key=lambda o: o.invoked)
    for before, after in itertools.pairwise(ordered):
        if before.completed_ns is None or before.outcome != "ok" or before.completed > after.invoked:
            continue
        axes.annotate(
            "", (after.invoked_ns / 1e9 / size, lanes[after.process]),
            xytext=(before.completed_ns / 1e9 / size, lanes[before.process]),
            arrowprops={"arrowstyle": "-|>", "color": COLOURS[3], "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0},
            zorder=4,
        )  # fmt: skip


def _dress(axes: Axes, lanes: dict[int, int], unit: str, left: float, right: float) -> None:
    axes.set_yticks(list(lanes.values()), [f"process {process}" for process in lanes])
    axes.set_ylim(len(lanes) - 0.6, -0.8)
    axes.set_xlim(left, right)
    axes.set_xlabel(f"time ({unit}); hatched: the outcome stayed unknown; arrows: ended before the next began")
    axes.grid(visible=False, axis="y")


def _explain(drawn: Figure, sentence: str) -> None:
    """The sentence under the picture, broken into lines."""
    import textwrap

    lines = textwrap.wrap(sentence, 128)
    drawn.set_figheight(drawn.get_figheight() + 0.19 * len(lines))
    drawn.supxlabel("\n".join(lines), fontsize=8.5, x=0.01, ha="left")


def draw_cycle(anomaly: Anomaly, to: Path) -> None:
    """Draw a cycle of transactions: each with what it did, the edges with their kinds."""
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(anomaly.transactions)))
    for i, j, kind in anomaly.steps:
        graph.add_edge(i, j, kind=kind)
    count = len(anomaly.transactions)
    places = {i: (math.sin(2 * math.pi * i / count), math.cos(2 * math.pi * i / count)) for i in graph}
    with mpl.rc_context(RC):
        drawn = figure(8.0, 5.6)
        axes = drawn.subplots()
        axes.set_axis_off()
        for i, j, kind in anomaly.steps:
            colour = COLOURS[_EDGE_COLOURS[kind]]
            nx.draw_networkx_edges(
                graph, places, edgelist=[(i, j)], ax=axes, edge_color=colour, width=1.8, node_size=4200, arrowsize=16,
                connectionstyle="arc3,rad=0.18",
            )  # fmt: skip
            nx.draw_networkx_edge_labels(
                graph, places, edge_labels={(i, j): kind}, ax=axes, font_color=colour, font_size=10,
                connectionstyle="arc3,rad=0.18", rotate=False,
            )  # fmt: skip
        for i, t in enumerate(anomaly.transactions):
            text = f"T{t.number}, process {t.operation.process}\n" + done(t.operation).replace(", ", "\n")
            axes.text(
                *places[i], text, ha="center", va="center", fontsize=8,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": GREY},
            )  # fmt: skip
        axes.set_xlim(-1.55, 1.55)
        axes.set_ylim(-1.35, 1.35)
        kinds = "wr: read what it wrote; ww: overwrote it; rw: missed it"
        axes.set_title(f"{anomaly.name}: who must come before whom ({kinds})")
        _explain(drawn, anomaly.sentence)
        _save(drawn, to)


def _save(drawn: Figure, to: Path) -> None:
    metadata = {"Date": None, "Creator": None} if to.suffix == ".svg" else {"Software": None}
    drawn.savefig(to, metadata=metadata)
