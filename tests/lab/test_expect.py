"""Findings: judged on the value with one seed, on the whole confidence interval with several."""

import pytest

from kvsim.lab.expect import Finding, Measured, judge, read_expectations
from kvsim.lab.grid import Vary
from kvsim.lab.statistics import estimate

AXES = [
    Vary("design.replication.r", "r", (1, 3)),
    Vary("workload.clients", "clients", (5, 50)),
]


def points(values: dict[tuple[str, str], list[float]]) -> list[Measured]:
    return [
        Measured((("r", r), ("clients", clients)), [{"throughput_ops_per_s": value} for value in seeds])
        for (r, clients), seeds in values.items()
    ]


def findings(key: str, text: str, values: dict[tuple[str, str], list[float]]) -> list[Finding]:
    problems: list[str] = []
    [expectation] = read_expectations({key: text}, AXES, (), problems, "f.toml: expect")
    assert not problems
    return judge(expectation, points(values))


GRID = {("1", "5"): [10.0], ("3", "5"): [20.0], ("1", "50"): [100.0], ("3", "50"): [150.0]}


def test_a_fully_named_point_gives_one_finding() -> None:
    [finding] = findings("throughput_ops_per_s[r=1,clients=50]", "== 100", GRID)
    assert finding.holds
    assert finding.at == ""


def test_axes_that_are_not_named_give_a_finding_each() -> None:
    found = findings("throughput_ops_per_s[clients=50]", "> 120", GRID)
    assert [(finding.at, finding.holds) for finding in found] == [("r=1,clients=50", False), ("r=3,clients=50", True)]


def test_the_other_side_stands_at_the_same_point_but_for_what_it_names() -> None:
    found = findings("throughput_ops_per_s[r=3]", "> 1.9 * throughput_ops_per_s[r=1]", GRID)
    assert [finding.holds for finding in found] == [True, False]


def test_numbers_name_a_value_however_they_are_written() -> None:
    [finding] = findings("throughput_ops_per_s[replication.r=1.0,clients=5]", "== 10", GRID)
    assert finding.holds


def test_a_finding_over_several_seeds_holds_only_if_the_whole_interval_does() -> None:
    sure = {**GRID, ("1", "5"): [10.0, 11.0, 9.0]}
    unsure = {**GRID, ("1", "5"): [10.0, 30.0, -10.0]}
    assert findings("throughput_ops_per_s[r=1,clients=5]", "> 5", sure)[0].holds
    [finding] = findings("throughput_ops_per_s[r=1,clients=5]", "> 5", unsure)
    assert not finding.holds
    assert "too uncertain" in finding.seen


def test_points_are_compared_seed_by_seed() -> None:
    # The seeds differ widely, the points by the same small step in each.
    values = {**GRID, ("1", "5"): [10.0, 50.0, 90.0], ("3", "5"): [11.0, 51.1, 91.0]}
    [finding] = findings("throughput_ops_per_s[r=3,clients=5]", "> throughput_ops_per_s[r=1]", values)
    assert finding.holds


def test_equal_means_equal_for_every_seed() -> None:
    assert findings("throughput_ops_per_s[r=1,clients=5]", "== 0", {**GRID, ("1", "5"): [0.0, 0.0]})[0].holds
    assert not findings("throughput_ops_per_s[r=1,clients=5]", "== 0", {**GRID, ("1", "5"): [0.0, 1e-9]})[0].holds


def test_a_metric_that_a_run_did_not_give_is_no_finding_that_holds() -> None:
    [finding] = findings("read_latency_p99_s[r=1,clients=5]", "> 0", GRID)
    assert not finding.holds
    assert "has no read_latency_p99_s" in finding.seen


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("throughputs", "> 0", "did you mean 'throughput_ops_per_s'?"),
        ("throughput_ops_per_s[w=1]", "> 0", "nothing varies 'w'"),
        ("throughput_ops_per_s[r=2]", "> 0", "r never takes this value"),
        ("throughput_ops_per_s[r=1]", "> 2 * throughput_ops_per_s[client=5]", "did you mean 'clients'?"),
        ("throughput_ops_per_s", "about 3", "expected a condition"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused(key: str, text: str, reason: str) -> None:
    problems: list[str] = []
    assert not read_expectations({key: text}, AXES, (), problems, "f.toml: expect")
    [problem] = problems
    assert problem.startswith(f'f.toml: expect."{key}": ')
    assert reason in problem


def test_the_interval_is_students() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.302652729911275 / 3**0.5)  # t(0.975, 2), from a table


def test_one_seed_has_no_interval() -> None:
    assert estimate([5.0]) == (5.0, 5.0, 5.0, 1)
