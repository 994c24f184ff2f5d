"""Clients against a store that answers as it is told: one operation open a process, honest outcomes, exact times."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from kvsim.core.chance import Chance
from kvsim.core.history import operations
from kvsim.core.message import MILLISECOND, SECOND, Failure
from kvsim.core.operation import Absent, AnyOperation, Found, Page, Put, Read, Scan, Written
from kvsim.core.version import Version
from kvsim.workload.clients import Clients
from kvsim.workload.settings import Mix, Uniform, Workload

Reply = Callable[[AnyOperation, int], tuple[int, Any]]
"""From the operation and its number: after how long which answer comes; None for none."""


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeWorld:
    """A driver with a clock of its own and a dictionary for a store."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.time = 0
        self.queue: list[tuple[int, int, Timer, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.store: dict[bytes, bytes] = {}
        self.asked: list[tuple[str, str, AnyOperation]] = []
        self.reply = reply or (lambda op, _: (MILLISECOND, self.done(op)))

    def done(self, op: AnyOperation) -> Any:
        if isinstance(op, Put):
            self.store[op.key] = op.value
            return Written(Version(1))
        if isinstance(op, Read):
            return Found(self.store[op.key], Version(1)) if op.key in self.store else Absent()
        assert isinstance(op, Scan)
        return Page(())

    def now(self) -> int:
        return self.time

    def after(self, delay_ns: int, call: Callable[[], None]) -> Timer:
        timer = Timer()
        heapq.heappush(self.queue, (self.time + delay_ns, next(self.numbers), timer, call))
        return timer

    def doors(self) -> tuple[str, ...]:
        return ("frontend-1", "frontend-2")

    def perform(self, client: str, door: str, operation: AnyOperation, answered: Any) -> Callable[[], None]:
        self.asked.append((client, door, operation))
        delay_ns, answer = self.reply(operation, len(self.asked))
        if answer is None:
            return lambda: None
        return self.after(delay_ns, lambda: answered(answer)).cancel

    def run(self, until_ns: int) -> None:
        while self.queue and self.queue[0][0] <= until_ns:
            self.time, _, timer, call = heapq.heappop(self.queue)
            if not timer.cancelled:
                call()
        self.time = until_ns


def workload(**settings: Any) -> Workload:
    return Workload(**{"keys": Uniform(count=10), "mix": Mix(read=0.5, update=0.5), "clients": 3, **settings})


def loaded(world: FakeWorld, settings: Workload) -> Clients:
    clients = Clients(world, settings, Chance(0, "workload"))
    done: list[int] = []
    clients.load(lambda: done.append(world.now()))
    world.run(SECOND)
    assert done, "every key is put, however long it takes"
    return clients


def test_loading_puts_every_key_once() -> None:
    world = FakeWorld()
    loaded(world, workload())
    assert len(world.asked) == len(world.store) == 10


def test_loading_tries_again_while_the_store_refuses_and_the_history_shows_it() -> None:
    world = FakeWorld()
    world.reply = lambda op, number: (0, Failure("unavailable", "") if number < 10 else world.done(op))
    clients = loaded(world, workload())
    outcomes = [op.outcome for op in operations(clients.recorder.history)]
    assert outcomes.count("fail") == 9
    assert len(world.store) == 10


def test_a_closed_loop_keeps_each_client_at_one_operation() -> None:
    world = FakeWorld()
    clients = loaded(world, workload())
    clients.begin()
    world.run(2 * SECOND)
    assert clients.open == 3
    clients.stop()
    world.run(3 * SECOND)
    assert clients.open == 0
    asked = len(world.asked) - 10
    assert asked == pytest.approx(3 * 1_000, rel=0.01), "an answer takes a millisecond, and the next question follows"


def test_clients_use_the_doors_in_turn() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(clients=1))
    clients.begin()
    world.run(world.now() + 100 * MILLISECOND)
    doors = [door for client, door, _ in world.asked if client == "client-1"]
    assert all(one != other for one, other in itertools.pairwise(doors))


def test_thinking_slows_a_closed_loop() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(clients=1, think_time_ns=9 * MILLISECOND))
    before = len(world.asked)
    clients.begin()
    world.run(world.now() + 10 * SECOND)
    assert len(world.asked) - before == pytest.approx(1_000, rel=0.15)


def test_an_operation_without_an_answer_is_unknown_and_its_client_goes_on_as_another_process() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(clients=1, timeout_ns=50 * MILLISECOND))
    world.reply = lambda op, number: (MILLISECOND, None if number == 11 else world.done(op))
    clients.begin()
    world.run(world.now() + SECOND)
    [lost] = [op for op in operations(clients.recorder.history) if op.outcome == "info" and op.completed_ns is not None]
    assert lost.completed_ns == lost.invoked_ns + 50 * MILLISECOND
    assert clients.told.errors[lost.invoked] == "timeout"
    later = [op for op in operations(clients.recorder.history) if op.invoked_ns > lost.invoked_ns]
    assert later
    assert all(op.process != lost.process for op in later)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("unavailable", "fail"), ("mismatch", "fail"), ("outcome_unknown", "info"), ("a code of the future", "info")],
)
def test_the_table_of_errors_decides_what_a_refusal_is(code: str, outcome: str) -> None:
    world = FakeWorld()
    clients = loaded(world, workload(clients=1))
    world.reply = lambda op, number: (MILLISECOND, Failure(code, "why") if number == 11 else world.done(op))
    clients.begin()
    world.run(world.now() + 20 * MILLISECOND)
    refused = operations(clients.recorder.history)[10]
    assert refused.outcome == outcome
    assert clients.told.errors[refused.invoked] == code


def test_an_open_loop_does_not_wait_for_answers() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(clients=None, rate=200.0))
    world.reply = lambda op, _: (SECOND, world.done(op))
    before, start = len(world.asked), world.now()
    clients.begin()
    world.run(start + 5 * SECOND)
    assert len(world.asked) - before == pytest.approx(1_000, rel=0.1)
    assert clients.open == pytest.approx(200, rel=0.3)


def test_an_open_loop_that_may_not_open_more_counts_latency_from_when_operations_were_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kvsim.workload.clients.OPEN_LIMIT", 2)
    world = FakeWorld()
    clients = loaded(world, workload(clients=None, rate=1_000.0))
    world.reply = lambda op, _: (10 * MILLISECOND, world.done(op))
    clients.begin()
    world.run(world.now() + SECOND)
    late = [op for op in operations(clients.recorder.history) if op.invoked in clients.told.intended_ns]
    assert late
    assert all(clients.told.intended_ns[op.invoked] < op.invoked_ns for op in late)
    assert clients.open <= 2


def test_at_the_end_every_written_key_is_read_those_written_last_first() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(mix=Mix(insert=1.0), clients=1, final_reads=7))
    clients.begin()
    world.run(world.now() + 20 * MILLISECOND)
    clients.stop()
    world.run(world.now() + SECOND)
    before, ended = len(world.asked), []
    clients.read_all(lambda: ended.append(True))
    world.run(world.now() + SECOND)
    final = [op for _, _, op in world.asked[before:]]
    assert ended == [True]
    assert all(isinstance(op, Read) for op in final)
    newest = sorted(world.store, reverse=True)[:7]
    assert {op.key for op in final} == set(newest)  # type: ignore[union-attr]


def test_the_history_holds_tokens_not_padding() -> None:
    world = FakeWorld()
    clients = loaded(world, workload(value_size_bytes=500))
    values = {event.value for event in clients.recorder.history.events}
    assert all(isinstance(value, str) and len(value) < 8 for value in values)
