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

from kvsim.check.verdict import Refuted, Witness
from kvsim.check.wording import done
from kvsim.core.history import History, Operation, operations
from kvsim.lab.plots.style import COLOURS, GREY, RC, Plot, figure, save, shade, time_scale

if TYPE_CHECKING:
    from kvsim.check.transactions import Anomaly
    from kvsim.lab.report import Report
    from kvsim.lab.run import Run

NEIGHBOURS_AT_MOST = 40
"""Operations beside the core that are drawn, the nearest in time."""
LANES_AT_MOST = 14
WITNESSES_AT_MOST = 3
ADJECTIVES = {"durability": "durable", "convergence": "convergent"}
_EDGE_COLOURS = {"ww": 0, "wr": 2, "rw": 1, "process": 6, "realtime": 6}
_BAR = 0.46


Fault = tuple[str, float, float]
"""Name, begin and end in seconds."""


def draw_witness(history: History, witness: Witness, title: str, to: Path, faults: Sequence[Fault] = ()) -> None:
    """Draw the core and its surroundings into a file, .png or .svg, with the faults that struck meanwhile."""
    with mpl.rc_context(RC):
        _save(_timeline(history, witness, title, faults), to)


def draw_witnesses(report: Report, folder: Path) -> list[Plot]:
    """Of each promise that a run refuted, the first witness; what nobody claimed only where no promise was refuted."""
    claimed: dict[str, tuple[Run, Witness]] = {}
    others: dict[str, tuple[Run, Witness]] = {}
    for run in report.runs:
        named = {promise.judge for promise in run.setup.design.promises()}
        for judge, verdict in run.verdicts.items():
            if isinstance(verdict, Refuted):
                (claimed if judge in named else others).setdefault(judge, (run, verdict.witness))
    plots = []
    for judge, (run, witness) in list((claimed or others).items())[:WITNESSES_AT_MOST]:
        seen = run.seen
        faults = [(fault.name, fault.start_ns / 1e9, fault.end_ns / 1e9) for fault in seen.faults]
        drawn = _timeline(seen.history, witness, f"not {ADJECTIVES.get(judge, judge)}: {run.label}", faults)
        caption = (
            f"The few operations of {run.label} that no {judge} store could have answered so, and what else was done "
            "to the same keys meanwhile, in grey" + ("; faults are shaded." if faults else ".")
        )
        plots.append(save(drawn, folder, f"witness-{judge}", f"Why {judge} is refuted", caption))
    return plots


def _timeline(history: History, witness: Witness, title: str, faults: Sequence[Fault]) -> Figure:
    core = {o.invoked for o in witness.operations}
    shown = _surroundings(operations(history), witness, core)
    lanes = {process: i for i, process in enumerate(_lanes(shown, core))}
    begin, end = _span(o for o in shown if o.invoked in core)
    shown = [o for o in shown if o.process in lanes]
    drawn = figure(9.0, 1.5 + 0.58 * len(lanes))
    axes = drawn.subplots()
    scale = time_scale([end / 1e9])
    margin = max((end - begin) * 0.05, 1.0)
    left, right = (begin - margin) / 1e9 / scale.size, (end + 3 * margin) / 1e9 / scale.size
    several = len({o.key for o in witness.operations}) > 1
    within = _within(faults, left * scale.size, right * scale.size)
    shade(axes, [(name, at / scale.size, until / scale.size) for name, at, until in within], named=True)
    labelled: dict[int, float] = {}
    for o in shown:
        _bar(axes, o, lanes[o.process], o.invoked in core, scale.size, (left, right))
        if o.invoked in core:
            _name(axes, o, lanes[o.process], scale.size, (left, right), several, labelled)
    _impossible(axes, [o for o in witness.operations if o.process in lanes], lanes, scale.size)
    _dress(axes, lanes, scale.unit, (left, right), _legend(shown, core))
    axes.set_title(title, pad=6 + 9 * len(within))
    _explain(drawn, witness.sentence)
    return drawn


def _within(faults: Sequence[Fault], begin_s: float, end_s: float) -> list[Fault]:
    """The faults of the time that is drawn, cut to it."""
    return [(name, max(at, begin_s), min(until, end_s)) for name, at, until in faults if at < end_s and until > begin_s]


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
    axes: Axes,
    o: Operation,
    lane: int,
    size: float,
    span: tuple[float, float],
    several: bool,
    labelled: dict[int, float],
) -> None:
    """What an operation of the core did, above its bar; below it where the one before still stands."""
    left, right = span
    text, begin = _label(o, several), o.invoked_ns / 1e9 / size
    length = len(text) * 0.011 * (right - left)
    late = begin + length > right  # it would leave the picture, so it ends where its bar does
    if late:
        begin = min((o.completed_ns if o.completed_ns is not None else o.invoked_ns) / 1e9 / size, right)
    start = begin - length if late else begin
    below = start < labelled.get(lane, -math.inf)
    if not below:
        labelled[lane] = start + length
    axes.annotate(
        text, (begin, lane + (_BAR / 2 if below else -_BAR / 2)), xytext=(0, -1 if below else 1),
        textcoords="offset points", va="top" if below else "bottom", ha="right" if late else "left", fontsize=8,
        fontweight="bold", zorder=5,
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


def _legend(shown: Sequence[Operation], core: set[int]) -> str:
    """What marks mean, of those that the picture has."""
    parts = ["blue: write", "orange: read", "arrow: ended before the next began"]
    if any(o.invoked not in core for o in shown):
        parts.append("grey: can be explained")
    if any(o.outcome == "info" for o in shown):
        parts.append("hatched: the outcome stayed unknown")
    return "; ".join(parts)


def _dress(axes: Axes, lanes: dict[int, int], unit: str, span: tuple[float, float], legend: str) -> None:
    axes.set_yticks(list(lanes.values()), [f"process {process}" for process in lanes])
    axes.set_ylim(len(lanes) - 0.6, -0.8)
    axes.set_xlim(*span)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.set_xlabel(f"time ({unit})\n{legend}")
    axes.grid(visible=False, axis="y")


def _explain(drawn: Figure, sentence: str) -> None:
    """The sentence under the picture, broken into lines."""
    import textwrap

    lines = textwrap.wrap(f"{sentence[:1].upper()}{sentence[1:]}.", 128)
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
