"""The picture of the load shows the busiest node as high as it is, however many nodes there are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kvsim.lab.plots.load import BARS_AT_MOST, _panel
from kvsim.lab.plots.style import figure


@pytest.mark.parametrize("nodes", [3, BARS_AT_MOST, 1_000])
def test_the_busiest_node_is_drawn_as_high_as_it_is_and_wider_than_a_pixel(nodes: int) -> None:
    names = tuple(f"data-{number}" for number in range(nodes))
    load = {name: 5_000 if name == names[-1] else 10 for name in names}
    seen: Any = SimpleNamespace(
        measured_s=1.0, cluster=SimpleNamespace(data=names), costs=SimpleNamespace(load_by_node=load)
    )
    drawn = figure(4.2, 2.4)
    axes = drawn.subplots()
    _panel(axes, "", seen, nodes > 10)
    drawn.canvas.draw()
    if nodes > BARS_AT_MOST:
        ranks, heights = axes.lines[0].get_data()
        begin, end = axes.transData.transform([(ranks[0], 0), (ranks[0] + 0.5, 0)])
        highest, wide = heights[0], end[0] - begin[0]
    else:
        bars = [bar.get_window_extent() for bar in axes.patches]
        sizes = [max(bar.get_height(), bar.get_width()) for bar in axes.patches]
        highest, wide = max(sizes), min(max(bar.width, bar.height) if nodes == 3 else bar.width for bar in bars)
    assert highest == 5_000
    assert wide > 1
