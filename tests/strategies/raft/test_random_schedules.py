"""Whatever is lost, late, crashed or cut off, Raft keeps what figure 3 promises, and clients see one register a key."""

import pytest

from kvsim.check import NotRefuted, linearizable
from tests.strategies.raft.schedules import Schedule
from tests.strategies.raft.simulated import SimulatedRun

SHAPES: list[dict[str, object]] = [
    {},
    {"servers": 5},
    {"pre_vote": False},
    {"servers": 4, "max_batches_in_flight": 1},
    {"servers": 2, "max_batch_entries": 1},
    {"servers": 1},
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: ",".join(f"{k}={v}" for k, v in shape.items()) or "usual")
@pytest.mark.parametrize("first_seed", range(0, 20, 5))
def test_every_order_of_events_is_safe_and_ends_well(shape: dict[str, object], first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 5):
        history = Schedule(seed, **shape).run(steps=1_500)  # type: ignore[arg-type]
        assert isinstance(verdict := linearizable(history), NotRefuted), f"seed {seed}: {verdict}"


def test_the_schedules_are_worth_their_time() -> None:
    """Sometimes, lest nothing happens: leaders follow each other, logs are overwritten, clients are left in doubt."""
    runs = [Schedule(seed, pre_vote=False) for seed in range(16)]
    ends = [event.type for run in runs for event in run.run(steps=1_500).events]
    led = sum(len(run.invariants.leaders) for run in runs)
    overwritten = sum(len(run.invariants.entries) - len({index for index, _ in run.invariants.entries}) for run in runs)
    assert led > 60 and overwritten > 10, (led, overwritten)
    assert min(ends.count(end) for end in ("ok", "fail", "info")) > 80


@pytest.mark.parametrize(("seed", "servers"), [(0, 3), (1, 3), (2, 3), (3, 3), (4, 5), (5, 5), (6, 4), (7, 1)])
def test_the_simulated_world_is_safe_and_ends_well(seed: int, servers: int) -> None:
    run = SimulatedRun(seed, servers)
    history = run.run()
    assert isinstance(verdict := linearizable(history), NotRefuted), verdict
    assert sum(event.type == "ok" for event in history.events) > 20


def test_one_seed_is_one_run_on_the_wire_as_well() -> None:
    first, again, on_the_wire = (SimulatedRun(1, wire=wire).run().dumps() for wire in (False, False, True))
    assert first == again == on_the_wire
