"""How long a fault was felt, for rows of successes written by hand. Times in ms, one success each, before at 1 a ms."""

import pytest

from kvsim.lab.recovery import recovery_ns

BEFORE = list(range(100))
FAULT, FAULT_END, END = 100, 300, 1_000


def recovered(after: list[int]) -> int | None:
    return recovery_ns([*BEFORE, *after], 0, FAULT, FAULT_END, END)


def test_a_fault_that_nobody_felt_takes_nothing() -> None:
    assert recovered(list(range(100, 1_000))) == 0


def test_an_outage_ends_with_the_first_success_of_those_that_keep_the_pace() -> None:
    assert recovered(list(range(250, 1_000))) == 150


def test_a_few_successes_in_an_outage_are_no_recovery() -> None:
    assert recovered([120, 180, *range(260, 1_000)]) == 160


def test_a_third_of_the_pace_is_an_outage_too() -> None:
    assert recovered([*range(100, 300, 3), *range(300, 1_000)]) == pytest.approx(
        200, abs=30
    )  # a window of successes is as sharp as it gets


def test_what_never_comes_back_has_no_recovery() -> None:
    assert recovered([]) is None


def test_without_a_pace_before_nothing_can_be_told() -> None:
    assert recovery_ns(list(range(95, 500)), 90, FAULT, FAULT_END, END) is None


def test_slowness_after_the_fault_is_not_the_faults() -> None:
    assert recovered([*range(100, 600), *range(900, 1_000)]) == 0
