"""Pictures of many points show those that can be compared; a picture that would say nothing is left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvsim.lab.experiment import load
from kvsim.lab.observations import FaultWindow, Observations
from kvsim.lab.page import page
from kvsim.lab.plots import draw_all
from kvsim.lab.plots.choice import choose
from kvsim.lab.plots.comparison import explained
from kvsim.lab.plots.style import grid
from kvsim.lab.plots.timeline import _tops

CRASH = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "20ms"\nlasts = "30ms"\n'


def points(**axes: list[str]) -> list[tuple[tuple[str, str], ...]]:
    return [tuple(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def test_few_points_are_all_shown() -> None:
    every = points(variant=["a", "b"], clients=["1", "64"])
    chosen = choose(every, 6)
    assert chosen.wheres == every
    assert chosen.subset == ""
    assert chosen.title(every[0]) == "a, clients = 1"


def test_of_many_points_those_are_shown_that_differ_in_the_first_axis_alone() -> None:
    chosen = choose(points(variant=["a", "b", "c"], clients=["1", "4", "16", "64"]), 6)
    assert [dict(where) for where in chosen.wheres] == [{"variant": name, "clients": "64"} for name in "abc"]
    assert chosen.subset == "3 of 12 points, at clients = 64"
    assert [chosen.title(where) for where in chosen.wheres] == ["a", "b", "c"]


def test_no_more_axes_are_held_than_need_be() -> None:
    chosen = choose(points(r=["1", "2"], w=["1", "2"], clients=["1", "64"]), 6)
    assert chosen.subset == "4 of 8 points, at clients = 64"
    assert chosen.title(chosen.wheres[0]) == "r = 1, w = 1"


def test_of_one_long_axis_points_are_shown_evenly_spread() -> None:
    chosen = choose(points(r=[str(number) for number in range(11)]), 6)
    assert [where[0][1] for where in chosen.wheres] == ["0", "2", "4", "6", "8", "10"]
    assert chosen.subset == "6 of 11 points"


def test_an_axis_is_held_where_most_points_could_be_run() -> None:
    every = points(variant=["a", "b", "c"], clients=["1", "4", "64"])
    every.remove((("variant", "b"), ("clients", "64")))
    assert choose(every, 6).fixed == {"clients": "4"}


@pytest.mark.parametrize(
    ("panels", "rows_and_columns"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (6, (2, 3)), (7, (3, 3))]
)
def test_four_panels_are_two_by_two(panels: int, rows_and_columns: tuple[int, int]) -> None:
    assert grid(panels) == rows_and_columns


@pytest.mark.parametrize(("faults", "drawn"), [("", False), (CRASH, True)])
def test_throughput_over_time_is_in_the_report_only_where_something_happened(
    small: Callable[..., Path], tmp_path: Path, faults: str, drawn: bool
) -> None:
    report = load(small(faults)).run()
    plots = draw_all(report, tmp_path / "plots")
    assert ("timeline" in {plot.name for plot in plots}) == drawn
    assert ("Throughput and availability over time" in page(report, plots)) == drawn


def test_latencies_of_a_handful_of_operations_are_no_picture(small: Callable[..., Path], tmp_path: Path) -> None:
    few = '"workload.duration" = ["1ms"]\n"workload.clients" = [1]\n'
    report = load(small("[vary]\n" + few)).run()
    assert {plot.name for plot in draw_all(report, tmp_path)}.isdisjoint({"latency"})


def test_a_few_answers_among_long_silence_stay_within_the_frame(seen: Callable[..., Observations]) -> None:
    line: tuple[Any, ...] = (0, 100, 105, "ok", "write", "k", 1)
    faults = [FaultWindow("crash", 0, 1)]
    highest, top = _tops([seen([line], faults=faults)])
    assert highest == top > 0
    assert _tops([seen([], faults=faults)]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("design.replication.r", "r (replicas that a read waits for)"),
        ("workload.clients", "clients"),
    ],
)
def test_a_setting_of_a_strategy_is_explained_below_its_numbers(
    small: Callable[..., Path], key: str, label: str
) -> None:
    experiment = load(small(f'[vary]\n"{key}" = [1, 2]\n'))
    assert explained(experiment.axes[0], experiment.setups[0]) == label
