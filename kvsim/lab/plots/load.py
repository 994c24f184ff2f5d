"""How the work spreads over the nodes: messages that each handled, a panel a point, from the first seed's run."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.axes import Axes

from kvsim.lab.observations import Observations
from kvsim.lab.plots.choice import choose_setups
from kvsim.lab.plots.style import COLOURS, GREY, Plot, figure, grid, save, tell
from kvsim.lab.report import Report

TITLE_CHARACTERS = 24
"""What fits over a panel; a longer title has several lines."""
NAMED_AT_MOST = 10
"""Of more nodes only the ServerData are drawn, without their names."""
BARS_AT_MOST = 100
"""More ServerData are drawn as a curve over their ranks."""


def draw_load(report: Report, folder: Path) -> list[Plot]:
    """Small multiples; nothing where the world did not count."""
    candidates, chosen = choose_setups(report.experiment.setups)
    setups = [setup for setup in candidates if sum(report.runs_of(setup)[0].seen.costs.load_by_node.values())]
    if not setups:
        return []
    rows, columns = grid(len(setups))
    nodes = max(len(setup.cluster.everyone()) for setup in setups)
    many = nodes > NAMED_AT_MOST
    drawn = figure(max(2.6 * columns + 0.6, 4.2), rows * (2.0 if many else 0.75 + 0.2 * nodes) + 0.4)
    panels = drawn.subplots(rows, columns, sharex=True, sharey=many, squeeze=False)
    for at, axes in enumerate(panels.flat):
        if at >= len(setups):
            axes.set_visible(False)
            continue
        _panel(axes, chosen.title(setups[at].where), report.runs_of(setups[at])[0].seen, many)
        axes.tick_params(axis="x", labelbottom=True)
    for axes in panels.flat[max(0, len(setups) - columns) : len(setups)]:  # the lowest of each column
        axes.set_xlabel(_across(nodes))
    for axes in panels[:, 0] if many else ():
        axes.set_ylabel("messages a second")
    tell(drawn, chosen.subset, f"seed {report.seed}", "dashed line: mean of the ServerData")
    which = f" Shown: {chosen.subset}." if chosen.subset else ""
    caption = "Even bars are a balanced load; the dashed line is the mean of the ServerData. Measured part, "
    return [save(drawn, folder, "load", "Load by node", f"{caption}seed {report.seed}.{which}")]


def _panel(axes: Axes, title: str, seen: Observations, many: bool) -> None:
    load = {node: count / seen.measured_s for node, count in seen.costs.load_by_node.items()}
    data = [load[name] for name in seen.cluster.data]
    mean = sum(data) / len(data)
    if len(data) > BARS_AT_MOST:  # a bar narrower than a pixel would be shown too low
        axes.plot(range(1, len(data) + 1), sorted(data, reverse=True), color=COLOURS[0], drawstyle="steps-mid")
        axes.axhline(mean, color=GREY, linewidth=1, linestyle="--")
        axes.set(xscale="log", xlim=(1, len(data)), ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda rank, _: f"{rank:,.0f}")
    elif many:
        axes.bar(range(len(data)), sorted(data, reverse=True), color=COLOURS[0], width=0.8)
        axes.axhline(mean, color=GREY, linewidth=1, linestyle="--")
        axes.set_xticks([])
    else:
        names = list(load)
        axes.barh(names, list(load.values()), color=[COLOURS[_role(name)] for name in names], height=0.7)
        axes.axvline(mean, color=GREY, linewidth=1, linestyle="--")
        axes.invert_yaxis()
        axes.locator_params(axis="x", nbins=4)
        axes.tick_params(axis="y", labelsize=8)
        axes.grid(visible=False, axis="y")
    together = title.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    axes.set_title(textwrap.fill(together or "load", TITLE_CHARACTERS), fontsize=8.5 if len(title) > 20 else 10)


def _across(nodes: int) -> str:
    if nodes > BARS_AT_MOST:
        return "rank of the ServerData, busiest first"
    return "ServerData, busiest first" if nodes > NAMED_AT_MOST else "messages handled a second"


def _role(node: str) -> int:
    """The colour by role: ServerData and peers, ServerFrontend, services."""
    kind = node.rpartition("-")[0]
    return {"data": 0, "node": 0, "frontend": 1}.get(kind, 2)
