"""What clients see of primary-backup under faults, judged from their histories; and what holds inside, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from kvsim.check.durability import lost_writes
from kvsim.check.linearizable import linearizable
from kvsim.check.verdict import NotRefuted, Refuted
from tests.strategies.primary_backup.failover import acknowledged_and_lost
from tests.strategies.primary_backup.schedules import Schedule
from tests.strategies.primary_backup.storms import KEYS, storm

SYNC: list[Any] = [
    pytest.param({}, {}, id="leases"),
    pytest.param({"reads": "round"}, {}, id="rounds"),
    pytest.param({"copies": 2}, {"nodes": 4}, id="spares"),
    pytest.param({}, {"durability": "memory"}, id="memory"),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("replication", "others"), SYNC)
def test_synchronous_histories_are_linearizable(seed: int, replication: dict[str, Any], others: dict[str, Any]) -> None:
    _, history = storm(seed, replication, **others)
    assert linearizable(history) == NotRefuted()
    assert lost_writes(history) == []


def test_a_run_is_the_same_whether_its_messages_are_encoded_or_not() -> None:
    assert storm(1, {"copies": 2})[1].dumps() == storm(1, {"copies": 2}, wire=True)[1].dumps()


@pytest.mark.parametrize("seed", range(10, 14))
def test_with_disks_the_store_serves_again_when_the_storm_is_over(seed: int) -> None:
    world, history = storm(seed, {})
    last = [event for event in history.events if event.op == "read"][-2 * len(KEYS) :]
    assert [event.type for event in last].count("ok") == len(KEYS)
    assert world.role("primary") is not None


def test_asynchronous_histories_are_found_not_linearizable() -> None:
    verdicts = [linearizable(storm(seed, {"mode": "async"})[1]) for seed in range(3)]
    assert any(isinstance(verdict, Refuted) for verdict in verdicts)


def test_a_primary_that_dies_takes_acknowledged_writes_along_only_if_asynchronous() -> None:
    assert sum(acknowledged_and_lost(seed, "async") for seed in range(6)) > 0
    assert sum(acknowledged_and_lost(seed, "sync") for seed in range(6)) == 0


@pytest.mark.parametrize("seed", range(12))
def test_at_every_step_of_a_random_schedule_whoever_may_be_promoted_has_what_was_acknowledged(seed: int) -> None:
    history = Schedule(seed).run(1_500)
    assert linearizable(history) == NotRefuted()


@pytest.mark.parametrize("seed", range(4))
def test_random_schedules_with_a_spare(seed: int) -> None:
    history = Schedule(seed, nodes=3, copies=2).run(1_500)
    assert linearizable(history) == NotRefuted()


def test_random_schedules_get_somewhere() -> None:
    schedules = [Schedule(seed) for seed in range(4)]
    for schedule in schedules:
        schedule.run(1_500)
    assert all(len(schedule.acknowledged) > 3 for schedule in schedules)
    assert max(schedule.views_granted for schedule in schedules) > 10
