"""Where a warm-up ends: by MSER-5, stated in the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.core.chance import Chance
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import load
from kvsim.lab.real_faults import refusals
from kvsim.lab.warm_up import mser_5

Small = Callable[..., Path]
OPEN = """
[design]
replication = "single_copy"
[machines]
cpu = { default = "1ms" }
[workload]
keys = { count = 5, distribution = "uniform" }
rate = 100
duration = "4s"
settle = "10ms"
warm_up = "auto"
"""


def noise(count: int, mean: int, seed: int = 0) -> list[int]:
    chance = Chance(seed, "noise")
    return [mean + chance.between(-50, 50) for _ in range(count)]


def by_the_book(values: list[int]) -> int:
    """White's formula, in a few obvious lines."""
    means = [sum(values[at : at + 5]) / 5 for at in range(0, len(values) - 4, 5)]

    def mser(left_out: int) -> float:
        kept = means[left_out:]
        mean = sum(kept) / len(kept)
        return sum((value - mean) ** 2 for value in kept) / len(kept) ** 2

    return 5 * min(range(len(means) - 4), key=mser)


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_beginning_is_left_out_and_nothing_else(seed: int) -> None:
    values = [*(1_000 - 10 * number for number in range(50)), *noise(950, 500, seed)]
    cut = mser_5(values)
    assert cut == by_the_book(values)
    assert 40 <= cut <= 60


@pytest.mark.parametrize("seed", range(5))
def test_of_what_is_settled_from_the_start_little_is_left_out(seed: int) -> None:
    values = noise(1_000, 500, seed)
    assert mser_5(values) in (by_the_book(values), None)
    assert (mser_5(values) or 0) <= 500


def test_a_run_that_never_settles_or_is_too_short_is_told() -> None:
    assert mser_5([*noise(700, 5_000), *noise(300, 500)]) is None
    assert mser_5(noise(49, 500)) is None


def test_the_report_says_what_was_left_out_and_costs_count_from_there(small: Small) -> None:
    report = load(small(text=OPEN)).run()
    [run] = report.runs
    phases = run.seen.phases
    cut_ns = phases.measured_ns - phases.workload_ns
    assert 0 <= cut_ns <= 2_000_000_000
    assert cut_ns % 40_000_000 == 0, "at one of fifty marks in the first half"
    assert report.notes[0].startswith("warm-up, by MSER-5 (White 1997): left out of each run ")
    fixed = load(small(text=OPEN), [f"workload.warm_up={cut_ns}ns"]).run().runs[0]
    assert fixed.metrics == run.metrics, "the same as if that had been stated"


def test_a_run_that_is_too_short_is_noted(small: Small) -> None:
    notes = load(small(text=OPEN), ["workload.duration=200ms"]).run().notes
    assert "1 of 1 run did not settle in the first half; make workload.duration longer" in notes


def test_other_words_are_refused(small: Small) -> None:
    with pytest.raises(SettingsError, match=r"workload.warm_up: expected a quantity like '50ms'"):
        load(small(text=OPEN), ["workload.warm_up=automatic"])


def test_on_a_real_cluster_it_must_be_stated(small: Small) -> None:
    [problem] = refusals(load(small(text=OPEN)).setups[0])
    assert problem.startswith('workload.warm_up: "auto" is for simulated runs')
