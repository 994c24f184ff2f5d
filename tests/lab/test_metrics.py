"""Metrics of runs written by hand, where each number can be counted on fingers."""

from collections.abc import Callable

import pytest

from kvsim.lab.metrics import METRICS, measure, percentile
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases
from kvsim.lab.shown import base_name, shown_value

MS = 1_000_000
See = Callable[..., Observations]


def test_latency_is_from_invocation_to_answer(seen: See) -> None:
    found = measure(seen([(i, 10 * i, 10 * i + i + 1, "ok", "put", "k", f"v{i}") for i in range(10)]))
    assert found["write_latency_p50_s"] == 0.005
    assert found["write_latency_p90_s"] == 0.009


def test_latency_in_an_open_loop_counts_from_when_the_operation_was_due(seen: See) -> None:
    lines = [(0, 50, 60, "ok", "put", "k", "v"), (1, 70, 80, "ok", "put", "k", "w")]
    found = measure(seen(lines, intended_ns={0: 0, 2: 20 * MS}))
    assert found["write_latency_p50_s"] == 0.06


def test_a_metric_that_a_run_cannot_give_is_absent(seen: See) -> None:
    found = measure(seen([(0, 0, 1, "ok", "put", "k", "v")]))
    assert "read_latency_p50_s" not in found, "there was no read"
    assert "write_latency_p99_s" not in found, "one write has no 99th percentile"
    assert "messages_per_op" not in found, "nobody counted"
    assert "stale_read_share" not in found


@pytest.mark.parametrize(("count", "found"), [(99, None), (100, 99), (1_000, 990)])
def test_a_percentile_is_one_of_the_values_or_nothing(count: int, found: int | None) -> None:
    assert percentile(range(1, count + 1), (99, 100)) == found


def test_the_warm_up_is_cut_off(seen: See) -> None:
    lines = [(0, 0, 100, "ok", "put", "k", "slow"), (1, 600, 601, "ok", "put", "k", "fast")]
    found = measure(seen(lines, phases=Phases(0, 500 * MS, 1_000 * MS, 1_500 * MS, 2_000 * MS)))
    assert found["operations"] == 1
    assert found["throughput_ops_per_s"] == 2.0


def test_availability_counts_answers_even_refused_conditions_but_not_refusals(seen: See) -> None:
    lines = [
        (0, 0, 1, "ok", "put", "k", "v"),
        (1, 10, 11, "fail", "cas", "k", "w"),
        (2, 20, 21, "fail", "put", "k", "x"),
        (3, 30, 31, "info", "put", "k", "y"),
    ]
    found = measure(seen(lines, errors={2: "mismatch", 4: "unavailable", 6: "timeout"}))
    assert found["availability_share"] == 0.5
    assert found["unknown_share"] == 0.25


def test_a_read_is_stale_if_a_write_acknowledged_before_it_is_missing(seen: See) -> None:
    lines = [
        (0, 0, 1, "ok", "put", "k", "old"),
        (0, 2, 3, "ok", "put", "k", "new"),
        (1, 10, 11, "ok", "read", "k", "old"),
        (1, 12, 13, "ok", "read", "k", "new"),
    ]
    assert measure(seen(lines))["stale_read_share"] == 0.5


def test_a_read_that_overlaps_the_write_is_not_stale(seen: See) -> None:
    lines = [
        (0, 0, 1, "ok", "put", "k", "old"),
        (0, 2, 20, "ok", "put", "k", "new"),
        (1, 10, 11, "ok", "read", "k", "old"),
    ]
    assert measure(seen(lines))["stale_read_share"] == 0.0


def test_lost_writes_are_those_that_the_final_reads_miss_not_those_that_an_earlier_read_missed(seen: See) -> None:
    lines = [
        (0, 0, 1, "ok", "put", "a", "a1"),
        (0, 2, 3, "ok", "put", "b", "b1"),
        (1, 10, 11, "ok", "read", "a", None),
        (2, 1_600, 1_601, "ok", "read", "a", "a1"),
        (2, 1_602, 1_603, "ok", "read", "b", None),
    ]
    found = measure(seen(lines, phases=Phases(0, 0, 1_000 * MS, 1_500 * MS, 2_000 * MS)))
    assert found["acknowledged_writes_lost"] == 1
    assert found["stale_read_share"] == 1.0


def test_costs_are_shared_out_over_answered_operations(seen: See) -> None:
    costs = Costs(
        messages=80, bytes=1_000, syncs=3, disk_bytes=None, load_by_node={"data-1": 30, "data-2": 10, "frontend-1": 99}
    )
    found = measure(seen([(i, i, i + 1, "ok", "put", "k", f"v{i}") for i in range(10)], costs=costs))
    assert found["messages_per_op"] == 8.0
    assert found["syncs_per_op"] == 0.3
    assert found["load_max_over_mean"] == 1.5, "the frontend is no ServerData"
    assert "disk_bytes_per_op" not in found


def test_outages_are_by_client_across_its_processes_and_by_key_range(seen: See) -> None:
    lines = [
        (0, 0, 1, "ok", "put", "a", "v"),
        (0, 10, 110, "info", "put", "a", "w"),
        (7, 110, 210, "info", "read", "a", None),
        (8, 210, 211, "ok", "read", "a", "v"),
        (1, 60, 61, "ok", "read", "a", "v"),
        (1, 70, 75, "fail", "cas", "a", "x"),
    ]
    found = measure(seen(lines, errors={6: "mismatch"}))
    assert found["client_outage_max_s"] == 0.2
    assert found["key_range_outage_max_s"] == pytest.approx(0.136, abs=0.015)


def test_recovery_is_named_after_its_fault(seen: See) -> None:
    lines = [(i, i, i + 1, "ok", "put", "k", f"v{i}") for i in (*range(400), *range(600, 900))]
    found = measure(seen(lines, faults=[FaultWindow("crash", 400 * MS, 500 * MS)]))
    assert found["recovery_s[crash]"] == pytest.approx(0.2, abs=0.005)


def test_every_metric_of_a_run_is_in_the_table_of_metrics(seen: See) -> None:
    found = measure(seen([(0, 0, 1, "ok", "put", "k", "v")], costs=Costs(1, 1, 1, 1, {"data-1": 1}, {"data-1": 5})))
    assert {base_name(name) for name in found} <= set(METRICS)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("read_latency_p99_s", 0.0123, "12.3 ms"),
        ("recovery_s[crash]", 0.0, "0 s"),
        ("stale_read_share", 0.00046, "0.046 %"),
        ("availability_share", 0.99987, "99.987 %"),
        ("throughput_ops_per_s", 12345.6, "12,346"),
        ("acknowledged_writes_lost", 3.0, "3"),
        ("load_max_over_mean", 1.2345, "1.23"),
    ],
)
def test_values_are_shown_with_their_unit(metric: str, value: float, text: str) -> None:
    assert shown_value(metric, value) == text
