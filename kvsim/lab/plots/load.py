"""How the work spreads over the nodes: messages that each handled, a panel a point, from the first seed's run."""

from __future__ import annotations

from pathlib import Path

from kvsim.lab.plots.style import COLOURS, GREY, PANELS_AT_MOST, Plot, figure, grid, save
from kvsim.lab.report import Report


def draw_load(report: Report, folder: Path) -> list[Plot]:
    """Small multiples; nothing where the world did not count."""
    setups = [s for s in report.experiment.setups if sum(report.runs_of(s)[0].seen.costs.load_by_node.values())]
    setups = setups[:PANELS_AT_MOST]
    if not setups:
        return []
    rows, columns = grid(len(setups))
    nodes = max(len(setup.cluster.everyone()) for setup in setups)
    drawn = figure(max(2.6 * columns + 0.6, 4.2), rows * (0.75 + 0.2 * nodes) + 0.4)
    panels = drawn.subplots(rows, columns, sharex=True, squeeze=False)
    for at, axes in enumerate(panels.flat):
        if at >= len(setups):
            axes.set_visible(False)
            continue
        seen = report.runs_of(setups[at])[0].seen
        load = {node: count / seen.measured_s for node, count in seen.costs.load_by_node.items()}
        names = list(load)
        axes.barh(names, list(load.values()), color=[COLOURS[_role(name)] for name in names], height=0.7)
        mean = sum(load.values()) / len(load)
        axes.axvline(mean, color=GREY, linewidth=1, linestyle="--")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_title(setups[at].label or "load")
        axes.tick_params(axis="y", labelsize=8 if nodes <= 8 else 6.5)
    for axes in panels[-1]:
        axes.set_xlabel("messages handled a second")
    more = "" if len(report.experiment.setups) <= len(setups) else f" The first {len(setups)} points are shown."
    caption = (
        f"Even bars are a balanced load; the dashed line is the mean over all nodes. Measured part, seed {report.seed}."
    )
    return [save(drawn, folder, "load", "Load by node", caption + more)]


def _role(node: str) -> int:
    """The colour by role: ServerData and peers, ServerFrontend, services."""
    kind = node.rpartition("-")[0]
    return {"data": 0, "node": 0, "frontend": 1}.get(kind, 2)
