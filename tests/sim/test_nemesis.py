"""Nemesis: schedules are data that read back as faults, the same for a seed, healed in time, and drawn as was asked."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND, SECOND
from kvsim.core.settings import SettingsError, duration_ns, read_settings
from kvsim.lab.experiment import read_setup
from kvsim.lab.nemesis import with_faults_drawn
from kvsim.sim.faults import ROLES, Fault, read_faults
from kvsim.sim.nemesis import KINDS, NemesisSettings, Whom, draw_faults, schedule_toml

NOT_DRAWN: dict[str, str] = {}
"""Kinds of faults that the nemesis cannot draw, and why. There is none."""
CLUSTER = Cluster(("data-1", "data-2", "data-3"), ("frontend-1", "frontend-2"), ("view-1",))
ALONE = Cluster(("node-1",))
FIVE = Cluster(tuple(f"node-{number}" for number in range(1, 6)))
ZONES = ("zone-1", "zone-2")


def drawn(seed: int, cluster: Cluster = CLUSTER, **settings: object) -> list[dict[str, object]]:
    nemesis = read_settings(NemesisSettings, {"mean_interval": "50ms", **settings}, "file: nemesis")
    return draw_faults(nemesis, whom(seed, cluster), 6 * SECOND)


def whom(seed: int = 0, cluster: Cluster = CLUSTER, zones: tuple[str, ...] = ZONES, *, disks: bool = True) -> Whom:
    return Whom(Chance(seed, "nemesis"), cluster, ("leader", "a follower"), zones, disks)


def test_every_kind_of_fault_is_drawn_or_named_with_the_reason_why_not() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(Fault)}
    assert len(kinds) > 20
    assert kinds == KINDS.keys() | NOT_DRAWN.keys()
    assert not KINDS.keys() & NOT_DRAWN.keys()
    for kind in KINDS:
        drawn_kinds = {str(table["kind"]) for seed in range(3) for table in drawn(seed, FIVE, kinds={kind: 1})}
        assert drawn_kinds == {kind}


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("zone_outage", whom(zones=())),
        ("zone_partition", whom(zones=("zone-1",))),
        ("bridge", whom(cluster=Cluster(("node-1", "node-2")))),
        ("majorities_ring", whom(cluster=CLUSTER)),
        ("slow_disk", whom(disks=False)),
        ("failing_sync", whom(disks=False)),
    ],
)
def test_a_kind_that_makes_no_sense_here_is_not_drawn_and_refused_where_it_is_named(kind: str, where: Whom) -> None:
    named = NemesisSettings(kinds={kind: 1.0, "crash": 1.0})
    [problem] = named.problems(where)
    assert problem.startswith(f"kinds.{kind}: needs ")
    assert draw_faults(NemesisSettings(kinds={kind: 1.0}), where, 60 * SECOND) == []
    everything = draw_faults(NemesisSettings(swarm=False), where, 60 * SECOND)
    assert len(everything) > 50
    assert kind not in {table["kind"] for table in everything}


def test_an_experiment_that_names_such_a_kind_is_refused() -> None:
    table = {"design": {"replication": "quorum"}, "nemesis": {"kinds": {"zone_outage": 1}}}
    with pytest.raises(SettingsError, match=r"x.toml: nemesis.kinds.zone_outage: needs two zones"):
        read_setup((), table, Path("x.toml"))
    in_zones = read_setup((), {**table, "network": {"graph": "three_zones"}}, Path("x.toml"))
    assert {fault.kind for fault in with_faults_drawn(in_zones, 1).faults} == {"zone_outage"}


def test_what_waits_for_a_moment_or_a_role_gives_up_before_the_healed_phase() -> None:
    tables = [table for seed in range(20) for table in drawn(seed)]
    waiting = [t for t in tables if "when" in t or any(f"'{role}'" in str(t) for role in ROLES)]
    assert len(waiting) > 50
    for table in waiting:
        assert duration_ns(str(table["until"])) + duration_ns(str(table["lasts"])) <= 3 * SECOND + MILLISECOND


@given(st.integers(0, 10_000), st.sampled_from([CLUSTER, ALONE, FIVE]), st.sampled_from(sorted(KINDS)))
def test_whatever_is_drawn_reads_as_faults_that_are_healed_before_the_last_phase(
    seed: int, cluster: Cluster, kind: str
) -> None:
    tables = drawn(seed, cluster, kinds={kind: 1})
    faults = read_faults(tables, "faults", cluster)
    assert {fault.kind for fault in faults} <= {kind}
    assert all(fault.at_ns + (fault.lasts_ns or 0) <= 3 * SECOND + MILLISECOND for fault in faults)
    assert all(fault.lasts_ns for fault in faults)


def test_a_seed_is_a_schedule() -> None:
    assert drawn(1) == drawn(1) != drawn(2)


def test_a_schedule_is_written_as_toml_that_gives_it_again() -> None:
    tables = drawn(3)
    assert len(tables) > 5
    assert tomllib.loads(schedule_toml(tables, "drawn")) == {"faults": tables}


def test_a_swarm_leaves_out_kinds_and_without_it_all_come() -> None:
    kinds = {"crash": 1, "partition": 1, "pause": 1}
    subsets = {frozenset(table["kind"] for table in drawn(seed, kinds=kinds)) for seed in range(20)}
    assert len(subsets) > 3
    for seed in range(5):
        assert {table["kind"] for table in drawn(seed, kinds=kinds, swarm=False)} == set(kinds)


def test_weights_and_shortest_durations_are_obeyed() -> None:
    tables = drawn(4, kinds={"crash": 9, "pause": 1, "loss": 0}, shortest={"pause": "300ms"}, swarm=False)
    kinds = [table["kind"] for table in tables]
    assert kinds.count("crash") > kinds.count("pause") > 0 == kinds.count("loss")
    assert all(duration_ns(str(table["lasts"])) >= 300 * MILLISECOND for table in tables if table["kind"] == "pause")


def test_what_no_design_promises_to_bear_is_drawn_only_when_it_is_named() -> None:
    beyond = {name for name, kind in KINDS.items() if kind.weight == 0}
    assert "disk_lost" in beyond
    assert not beyond & {table["kind"] for seed in range(30) for table in drawn(seed)}
    assert {table["kind"] for table in drawn(0, kinds={"disk_lost": 1})} == {"disk_lost"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kinds": {"crsh": 1}}, "no fault 'crsh' can be drawn; did you mean 'crash'"),
        ({"kinds": {"crash": 0}}, "all weights are 0"),
        ({"kinds": {"crash": -1}}, "kinds"),
        ({"shortest": {"crash": "5 parsecs"}}, "expected a quantity"),
        ({"swam": True}, "unknown key; did you mean 'swarm'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        drawn(0, **settings)
