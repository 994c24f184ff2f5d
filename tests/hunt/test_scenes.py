"""Scenes are schedules like any others: valid, healed in time, the same for a seed, and each fault meets each event."""

import pytest

from kvsim.core.chance import Chance
from kvsim.core.message import MILLISECOND
from kvsim.core.settings import duration_ns
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.scenes import AT_EVENTS, Aim, draw_scenes, events_of
from kvsim.lab.nemesis import roles_of
from kvsim.sim.faults import read_faults
from kvsim.sim.nemesis import Whom
from tests.hunt.targets import CORRECT, correct

UNTIL_NS = 2_000 * MILLISECOND


@pytest.mark.parametrize("name", CORRECT)
def test_every_scene_is_a_schedule_that_can_be_read_and_is_healed_in_time(name: str) -> None:
    setup = correct(name).setups[0]
    roles, events = roles_of(setup), events_of(setup.design)
    kinds: set[str] = set()
    for seed in range(120):
        whom = Whom(Chance(seed, "scenes"), setup.cluster, roles)
        tables = draw_scenes(whom, Aim(seed, events), UNTIL_NS, retries=seed % 2 == 0)
        read_faults(tables, "scenes", setup.cluster)
        kinds.update(table["kind"] for table in tables)
        for table in tables:
            assert duration_ns(table["at"]) + duration_ns(table["lasts"]) <= UNTIL_NS
    assert kinds >= {"crash", "pause", "isolate", "partition", "delay"}


def test_seeds_in_turn_let_each_fault_meet_each_event() -> None:
    events = events_of(correct("raft").setups[0].design)
    assert {"raft.elected", "raft.stepped_down", "raft.committed"} <= set(events)
    pairs = {(aim.fault, aim.when) for aim in (Aim(seed, events) for seed in range(2 * 4 * (len(events) + 1)))}
    assert pairs == {(fault, when) for fault in AT_EVENTS for when in (*events, "write acknowledged")}


def test_retries_are_drawn_for_quorum_only_where_the_coordinator_cannot_change_or_forget() -> None:
    experiment = correct("linearizable quorum")
    cases = [draw_case(experiment, seed) for seed in range(60)]
    retrying = [case for case in cases if case.tables["workload"].get("retries")]
    assert retrying
    doors = set(experiment.setups[0].cluster.frontends)
    for case in retrying:
        assert case.tables["workload"].get("retry_at", "same") == "same"
        assert not [fault for fault in case.faults if fault["kind"] == "crash" and fault["node"] in doors]
    elsewhere = [draw_case(correct("eventual quorum"), seed) for seed in range(30)]
    assert not [case for case in elsewhere if case.tables["workload"].get("retries")]
