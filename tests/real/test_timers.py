"""Timers come in the order of their times, ties in the order of issue, and many cancelled ones cost nothing."""

import asyncio
import time
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.core.message import MILLISECOND, SECOND
from kvsim.real.timers import CLEAN_FROM, Timers
from tests.transport.ends import LOOPS, PATIENCE_S, run


@pytest.mark.parametrize("loop", LOOPS)
@settings(max_examples=20)
@given(delays_ms=st.lists(st.integers(0, 8), min_size=1, max_size=20))
def test_timers_fire_by_time_and_then_by_issue(loop: str, delays_ms: list[int]) -> None:
    async def test() -> None:
        done, fired = asyncio.Event(), []
        timers = Timers(asyncio.get_running_loop(), lambda call: call())

        def fire(number: int) -> None:
            fired.append(number)
            if len(fired) == len(delays_ms):
                done.set()

        with mock.patch.object(time, "monotonic_ns", return_value=time.monotonic_ns()):  # all set at one instant
            for number, delay in enumerate(delays_ms):
                timers.after(delay * MILLISECOND, lambda number=number: fire(number))  # type: ignore[misc]
        await done.wait()
        timers.close()
        assert fired == sorted(range(len(delays_ms)), key=lambda number: (delays_ms[number], number))

    run(test, loop)


def test_a_timer_that_sets_a_later_one_delays_none_that_is_due_before() -> None:
    async def test() -> None:
        done = asyncio.Event()
        timers = Timers(asyncio.get_running_loop(), lambda call: call())
        timers.after(MILLISECOND, lambda: timers.after(60 * SECOND, lambda: None))
        timers.after(5 * MILLISECOND, done.set)
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        timers.close()

    run(test)


def test_cancelled_timers_do_not_pile_up() -> None:
    async def test() -> None:
        timers = Timers(asyncio.get_running_loop(), lambda call: call())
        for _ in range(10 * CLEAN_FROM):
            timers.after(60 * SECOND, lambda: None).cancel()
        assert len(timers) <= 2 * CLEAN_FROM + 1
        timers.close()

    run(test)


def test_after_close_nothing_fires() -> None:
    async def test() -> None:
        fired: list[str] = []
        loop = asyncio.get_running_loop()
        timers = Timers(loop, lambda call: call())
        timers.after(0, lambda: fired.append("before"))
        timers.close()
        timers.after(0, lambda: fired.append("after"))
        other, done = Timers(loop, lambda call: call()), asyncio.Event()
        other.after(2 * MILLISECOND, done.set)
        await done.wait()
        other.close()
        assert fired == []

    run(test)
