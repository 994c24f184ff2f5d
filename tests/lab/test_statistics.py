"""What the numbers mean: intervals, warm-up, paired comparisons, and latency without coordinated omission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND as MS
from kvsim.core.message import SECOND
from kvsim.lab.experiment import load
from kvsim.lab.metrics import latencies_ns, measure
from kvsim.lab.observations import Costs, Observations, Phases
from kvsim.lab.page import judged_over
from kvsim.lab.shown import within_range
from kvsim.lab.statistics import Estimate, estimate
from kvsim.workload import clients
from kvsim.workload.clients import Clients
from kvsim.workload.settings import Mix, Uniform, Workload
from tests.workload.test_clients import FakeWorld

Small = Callable[..., Path]
STALL_NS, STALLED_UNTIL_NS = 500 * MS, 1_500 * MS


@pytest.mark.parametrize("under_way", [10, 20_000])
def test_a_stall_of_the_store_counts_for_all_who_had_to_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, under_way: int
) -> None:
    """For half of two seconds the store stands still: half of the operations wait, up to a second.

    Whoever counts from when an operation was sent sees ten slow ones, where no more than ten can be under way.
    """
    monkeypatch.setattr(clients, "OPEN_LIMIT", under_way)
    world = FakeWorld()

    def answer_after_the_stall(operation: object, _: int) -> tuple[int, object]:
        stalled = STALL_NS <= world.time < STALLED_UNTIL_NS
        return (STALLED_UNTIL_NS - world.time if stalled else 0) + MS, world.done(operation)  # type: ignore[arg-type]

    world.reply = answer_after_the_stall
    settings = Workload(mix=Mix(read=1.0), keys=Uniform(count=1), rate=1_000, timeout_ns=10 * SECOND)
    drives = Clients(world, settings, Chance(5, "workload"))
    drives.begin()
    world.run(2 * SECOND)
    drives.stop()
    world.run(4 * SECOND)
    seen = Observations(
        drives.recorder.history, Phases(0, 0, 2 * SECOND, 4 * SECOND, 4 * SECOND), Cluster(("data-1",)),
        errors={}, intended_ns=drives.told.intended_ns, faults=[], costs=Costs(),
    )  # fmt: skip
    latencies = latencies_ns(seen, "read")
    assert len(latencies) == pytest.approx(2_000, rel=0.1)
    slow = [latency for latency in latencies if latency > 5 * MS]
    assert len(slow) / len(latencies) == pytest.approx(0.5, abs=0.06)
    assert measure(seen)["read_latency_p90_s"] == pytest.approx(0.8, abs=0.08)
    assert measure(seen)["read_latency_p99_s"] == pytest.approx(0.98, abs=0.05)


def test_the_warm_up_is_in_no_metric_but_in_the_history(small: Small) -> None:
    plain, warmed = (load(small(), [f"workload.warm_up={warm_up}"]).run(seed=0).runs[0] for warm_up in ("0ms", "40ms"))
    assert warmed.seen.history.dumps() == plain.seen.history.dumps()
    begun = warmed.seen.phases.workload_ns + 40 * MS
    kept = [op for op in plain.seen.measured if op.invoked_ns >= begun]
    assert warmed.metrics["operations"] == len(kept) < plain.metrics["operations"]


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    chance = Chance(7, "interval")
    covered = 0
    for _ in range(1_000):
        found = estimate([chance.normal(10.0, 2.0) for _ in range(5)])
        covered += found.low <= 10.0 <= found.high
    assert covered == pytest.approx(950, abs=4 * (1_000 * 0.95 * 0.05) ** 0.5)


def test_a_comparison_says_that_it_is_paired_and_by_how_much(small: Small) -> None:
    more = (
        '[vary]\n"design.replication.r" = [1, 3]\nseeds = 4\n'
        '[expect]\n"read_latency_p50_s[r=3]" = "> read_latency_p50_s[r=1]"\n'
    )
    report = load(small(more)).run()
    [finding] = report.findings
    margin = finding.seen.partition("left minus right, seed by seed: ")[2]
    low, high = margin.partition(" (")[2].rstrip(")").split(" … ")
    by_seed = [
        three["read_latency_p50_s"] - one["read_latency_p50_s"]
        for one, three in zip(report.points[0].by_seed, report.points[1].by_seed, strict=True)
    ]
    paired = estimate(by_seed)
    assert (low.split()[1], high.split()[1]) == ("µs", "µs")
    assert float(low.split()[0]) == pytest.approx(paired.low * 1e6, rel=0.01)
    assert float(high.split()[0]) == pytest.approx(paired.high * 1e6, rel=0.01)
    assert "the same random numbers" in judged_over(report)


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [
        ("stale_read_share", 0.0, 1.0),
        ("recovery_s[crash]", 0.0, 1.5),
        ("cpu_busy_max_share", 0.0, 1.5),
        ("my_own_measure", -0.5, 1.5),
    ],
)
def test_an_interval_is_shown_without_what_the_metric_cannot_be(metric: str, low: float, high: float) -> None:
    assert within_range(metric, Estimate(0.5, -0.5, 1.5, 2)) == Estimate(0.5, low, high, 2)
