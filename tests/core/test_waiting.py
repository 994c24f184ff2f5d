"""What a coroutine may await: futures, acknowledgements, locks; and a scope in which coroutines die with their node."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from kvsim.core.message import Failure, Message
from kvsim.core.waiting import Acks, Future, Lock, Scope, completed


class Yes(Message, tag="test.yes"):
    pass


REFUSED = Failure("unavailable", "no")


class Runs:
    """A scope, and what went wrong in it."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.scope = Scope(self.failures.append)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return self.scope.spawn(work)

    def let(self, future: Future[Any], value: Any = None) -> None:
        future.complete(value)
        self.scope.run_ready()


async def told(log: list[str], name: str, wait: Future[Any]) -> None:
    log.append(f"{name} {await wait}")


def test_all_who_wait_for_a_future_go_on_in_the_order_in_which_they_came() -> None:
    runs, log = Runs(), []
    future: Future[str] = Future()
    for name in "abc":
        runs.spawn(told(log, name, future))
    assert log == []
    future.complete("x")
    assert log == [], "nobody runs inside the one that completes"
    runs.scope.run_ready()
    assert log == ["a x", "b x", "c x"]


def test_a_future_is_completed_once_and_who_comes_second_is_ignored() -> None:
    future: Future[str] = Future()
    future.complete("first")
    future.complete("second")
    future.fail(ValueError("third"))
    assert (future.value, future.error) == ("first", None)


def test_awaiting_what_is_done_does_not_wait() -> None:
    runs, log = Runs(), []
    runs.spawn(told(log, "a", completed("x")))
    assert log == ["a x"]


def test_an_error_is_raised_in_all_who_wait() -> None:
    runs, caught = Runs(), []
    future: Future[None] = Future()

    async def wait() -> None:
        try:
            await future
        except ValueError as error:
            caught.append(str(error))

    runs.spawn(wait())
    runs.spawn(wait())
    future.fail(ValueError("broken"))
    runs.scope.run_ready()
    assert caught == ["broken", "broken"]


def test_a_task_gives_its_result_to_who_awaits_it_and_its_defect_to_the_world_when_nobody_does() -> None:
    runs, log = Runs(), []
    gate: Future[str] = Future()

    async def work() -> str:
        got = await gate
        if got == "bad":
            raise ValueError(got)
        return got

    runs.spawn(told(log, "parent", runs.spawn(work())))
    runs.let(gate, "good")
    assert log == ["parent good"]
    assert runs.failures == []

    gate = Future()
    runs.spawn(work())
    runs.let(gate, "bad")
    assert [str(error) for error in runs.failures] == ["bad"]


# Acks ----------------------------------------


def test_acks_count_senders_not_answers() -> None:
    acks = Acks(need=2, asked=3)
    acks.add("a", Yes())
    acks.add("a", Yes())
    assert not acks.done
    acks.add("b", Yes())
    assert acks.done
    assert list(acks.answers) == ["a", "b"], "in the order of arrival"


def test_acks_end_early_when_so_many_refuse_that_enough_cannot_come() -> None:
    acks = Acks(need=2, asked=3)
    acks.add("a", REFUSED)
    assert not acks.done
    acks.add("b", REFUSED)
    assert acks.done
    assert (acks.answers, acks.refused) == ({}, {"a": REFUSED, "b": REFUSED})


def test_acks_that_can_never_be_enough_or_need_nobody_are_done_at_once() -> None:
    assert Acks(need=3, asked=2).done
    assert Acks(need=0, asked=2).done
    assert Acks(need=0, asked=0).done, "a leader without followers has all the votes it needs"


def test_acks_give_what_came_until_they_are_closed_and_the_rest_to_late() -> None:
    late: list[str] = []
    acks = Acks(need=2, asked=3, late=lambda sender, _: late.append(sender))
    acks.add("a", Yes())
    acks.close()
    acks.add("b", Yes())
    assert (list(acks.answers), late) == (["a"], ["b"])


# Lock ----------------------------------------


def test_a_lock_is_passed_on_in_the_order_of_asking_and_nobody_slips_in() -> None:
    runs, log = Runs(), []
    lock = Lock()
    gates: dict[str, Future[None]] = {name: Future() for name in "abcd"}

    async def use(name: str) -> None:
        async with lock:
            log.append(f"{name} in")
            await gates[name]
            log.append(f"{name} out")

    for name in "abc":
        runs.spawn(use(name))
    assert log == ["a in"]
    gates["a"].complete(None)
    runs.scope.ready.popleft().step()  # a leaves and wakes b, which has not run yet …
    runs.spawn(use("d"))  # … and d asks in between
    runs.scope.run_ready()
    assert log == ["a in", "a out", "b in"]
    for name in "bcd":
        runs.let(gates[name])
    assert log[3:] == ["b out", "c in", "c out", "d in", "d out"]
    assert lock.free


def test_an_error_inside_a_lock_opens_it() -> None:
    runs = Runs()
    lock = Lock()

    async def fail() -> None:
        async with lock:
            raise ValueError

    runs.spawn(fail())
    assert lock.free
    assert len(runs.failures) == 1


# Scope ----------------------------------------


def test_closing_a_scope_ends_every_coroutine_and_nothing_runs_after_it() -> None:
    runs, log = Runs(), []
    future: Future[str] = Future()

    async def tidy() -> None:
        try:
            await future
            log.append("went on")
        finally:
            log.append("tidied")

    runs.spawn(tidy())
    runs.scope.close()
    assert log == ["tidied"]
    future.complete("x")  # a disk or timer that knows nothing of the crash
    runs.scope.run_ready()
    assert (log, runs.failures) == (["tidied"], [])


def test_a_coroutine_that_was_ready_when_its_scope_closed_does_not_run() -> None:
    runs, log = Runs(), []
    future: Future[str] = Future()
    runs.spawn(told(log, "a", future))
    future.complete("x")
    runs.scope.close()
    runs.scope.run_ready()
    assert log == []


def test_a_coroutine_may_close_its_own_scope_and_ends_at_its_next_wait() -> None:
    """A node that fails inside a handler: a write to the disk that is refused at once, a broken log."""
    runs, log = Runs(), []

    async def fail() -> None:
        try:
            runs.scope.close()
            log.append("closed")
            await Future()
            log.append("went on")
        finally:
            log.append("ended")

    runs.spawn(fail())
    runs.scope.run_ready()
    assert (log, runs.failures) == (["closed", "ended"], [])


@pytest.mark.filterwarnings("error")
def test_a_coroutine_spawned_in_a_closed_scope_never_begins() -> None:
    runs, log = Runs(), []
    runs.scope.close()
    runs.spawn(told(log, "a", completed("x")))
    assert (log, runs.failures) == ([], [])
