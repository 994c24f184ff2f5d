"""The engine keeps SimPy's promises, in whole nanoseconds."""

import pytest
import simpy

from kvsim.sim.engine import FEW_CANCELLED, Engine, Timer


def test_what_is_due_at_once_happens_in_the_order_of_issue() -> None:
    engine, happened = Engine(), list[int]()
    for number in range(5):
        engine.call_at(10, happened.append, number)
    engine.call_at(5, happened.append, -1)
    engine.advance(10)
    assert happened == [-1, 0, 1, 2, 3, 4]
    assert engine.now == 10


def test_time_stops_after_what_is_due_then() -> None:
    engine, happened = Engine(), list[str]()
    engine.call_at(10, lambda _: engine.call_at(10, happened.append, "issued at the last moment"), None)
    engine.call_at(11, happened.append, "later")
    engine.advance(10)
    assert happened == ["issued at the last moment"]
    engine.advance(20)
    assert happened[1:] == ["later"]
    assert engine.now == 20


def test_simpy_processes_resources_and_conditions_work() -> None:
    engine, log = Engine(), list[tuple[str, int]]()
    store: simpy.Store = simpy.Store(engine)
    desk = simpy.Resource(engine, capacity=1)

    def producer(name: str, pause: int):  # type: ignore[no-untyped-def]
        for number in range(2):
            yield engine.timeout(pause)
            with desk.request() as turn:
                yield turn
                yield engine.timeout(1)
            yield store.put(f"{name}{number}")

    def consumer():  # type: ignore[no-untyped-def]
        for _ in range(4):
            item = yield store.get()
            log.append((item, engine.now))

    both = engine.all_of([engine.process(producer("x", 3)), engine.process(producer("y", 5))])
    engine.process(consumer())
    engine.run(until=both)
    engine.advance(100)
    assert log == [("x0", 4), ("y0", 6), ("x1", 8), ("y1", 12)]


def test_a_failing_simpy_process_is_seen() -> None:
    engine = Engine()

    def defect():  # type: ignore[no-untyped-def]
        yield engine.timeout(1)
        raise ZeroDivisionError("a defect")

    engine.process(defect())
    with pytest.raises(ZeroDivisionError):
        engine.advance(10)


def test_parts_of_a_nanosecond_are_refused() -> None:
    with pytest.raises(TypeError, match="whole nanoseconds"):
        Engine().timeout(0.5)


def test_an_exception_leaves_the_engine_usable() -> None:
    engine, happened = Engine(), list[str]()

    def defect(_: None) -> None:
        raise ZeroDivisionError

    engine.call_at(1, defect, None)
    engine.call_at(2, happened.append, "next")
    with pytest.raises(ZeroDivisionError):
        engine.advance(10)
    engine.advance(10)
    assert happened == ["next"]


def test_after_a_sweep_the_earliest_still_comes_first() -> None:
    engine, happened, timers = Engine(), list[int](), list[Timer]()
    times = [number * 7919 % 1_000 for number in range(1_000)]
    for time in times:
        timer = Timer(engine, lambda: None)
        timers.append(timer)
        engine.call_at(time, lambda timer, time=time: timer.call and happened.append(time), timer)  # type: ignore[misc]
    for timer in timers[::3] + timers[1::3]:
        timer.cancel()
    engine.advance(1_000)
    assert happened == sorted(times[2::3])


def test_cancelled_timers_are_swept_out_and_the_others_keep_their_order() -> None:
    engine, happened = Engine(), list[int]()

    def fire(timer: Timer) -> None:
        if timer.call is not None:
            timer.call()

    timers = []
    for number in range(20 * FEW_CANCELLED):
        timer = Timer(engine, lambda number=number: happened.append(number))  # type: ignore[misc]
        timers.append(timer)
        engine.call_at(10, fire, timer)
    for number, timer in enumerate(timers):
        if number % 10:
            timer.cancel()
            timer.cancel()
    assert len(engine._queue) < 5 * FEW_CANCELLED
    engine.advance(10)
    assert happened == list(range(0, 20 * FEW_CANCELLED, 10))
