"""Clients that send an operation again: under its number, with honest outcomes, and as one operation of the history."""

from typing import Any

import pytest

from kvsim.core.history import Operation, operations
from kvsim.core.message import MILLISECOND, SECOND, Failure
from kvsim.workload.settings import Mix, Scripted, Workload
from tests.workload.test_clients import FakeWorld, loaded, workload

UNKNOWN, UNAVAILABLE = Failure("outcome_unknown", ""), Failure("unavailable", "")


def put_once(world: FakeWorld, answers: list[Any], **settings: Any) -> Operation:
    """One put, to whose sendings the store answers this, one after the other; "done" does it, None is no answer."""
    script = (Scripted("client-1", 0, "put", "k", "c1-1", door="frontend-1"),)
    clients = loaded(world, workload(script=script, timeout_ns=SECOND, **settings))
    loading = len(world.asked)
    left = iter(answers)

    def reply(op: Any, _: int) -> tuple[int, Any]:
        answer = next(left)
        return MILLISECOND, world.done(op) if answer == "done" else answer

    world.reply = reply
    clients.begin()
    world.run(world.now() + clients.settings.longest_ns + SECOND)
    assert clients.open == 0
    del world.asked[:loading]
    return operations(clients.recorder.history)[-1]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([UNAVAILABLE, "done"], "ok"),
        ([UNKNOWN, "done"], "ok"),
        ([None, None, "done"], "ok"),
        ([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], "fail"),
        ([UNAVAILABLE, UNKNOWN, UNAVAILABLE], "info"),
        ([None, UNAVAILABLE, UNAVAILABLE], "info"),
        ([Failure("too_large", "")], "fail"),
        ([UNKNOWN, Failure("already_exists", "")], "info"),
    ],
)
def test_what_may_have_happened_once_stays_unknown_unless_it_is_done(answers: list[Any], outcome: str) -> None:
    world = FakeWorld()
    assert put_once(world, answers, retries=2).outcome == outcome
    assert len(world.asked) == len(answers)
    assert len({op.request for _, _, op in world.asked}) == 1, "a retry has the number of what it repeats"


def test_clients_send_once_unless_they_are_told_to_retry() -> None:
    world = FakeWorld()
    assert put_once(world, [UNKNOWN]).outcome == "info"


def test_a_retry_goes_to_the_same_door_or_to_the_next() -> None:
    for retry_at, doors in (("same", ["frontend-1"] * 3), ("next", ["frontend-1", "frontend-2", "frontend-1"])):
        world = FakeWorld()
        put_once(world, [UNKNOWN, UNKNOWN, "done"], retries=2, retry_at=retry_at)
        assert [door for _, door, _ in world.asked] == doors


def test_pauses_are_those_of_the_client_library_and_bound_an_operation() -> None:
    settings = Workload(mix=Mix(read=1.0), retries=7, timeout_ns=SECOND)
    pauses_ms = [50, 100, 200, 400, 800, 1000, 1000]
    assert settings.longest_ns == 8 * SECOND + sum(pauses_ms) * MILLISECOND
