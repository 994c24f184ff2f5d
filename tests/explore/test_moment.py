"""Exploring from a moment of a simulated run: what the run did not meet is met there, and nothing else is made up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvsim.check.verdict import Refuted
from kvsim.core.message import MILLISECOND, SECOND
from kvsim.core.settings import SettingsError
from kvsim.explore.beginning import begin
from kvsim.explore.search import Search, Watch
from kvsim.explore.session import Session
from kvsim.explore.told import story
from kvsim.explore.walks import Walks
from kvsim.explore.world import World
from kvsim.lab.experiment import load
from kvsim.lab.moment import scenario_at
from kvsim.lab.run import simulate
from tests.explore.worlds import EARLY, QUORUM

WORKLOAD = {
    "clients": 1, "mix": {"read": 0.3, "update": 0.7}, "duration": "60ms",
    "keys": {"count": 1, "distribution": "uniform"},
}  # fmt: skip


def run_of(folder: Path, replication: dict[str, Any] | str, **tables: Any) -> Path:
    """The folder of a run, with what it takes to repeat it."""
    design = {"topology": "peer_to_peer", "replication": replication}
    all_tables = {"design": design, "workload": WORKLOAD, **tables}
    run = {"title": "a run", "seed": 0, "again": {"folder": str(folder), "tables": all_tables}}
    (folder / "run.json").write_bytes(msgspec.json.encode(run))
    return folder


def is_fine(run: Path) -> bool:
    """Whether the run as it was broke nothing."""
    experiment = load(run / "run.json")
    done = simulate(experiment.setups[0], experiment.first_seed)
    return not done.failures and not any(isinstance(verdict, Refuted) for verdict in done.verdicts.values())


@pytest.fixture
def early(tmp_path: Path) -> Path:
    """A run, in which nothing went wrong, of nodes that answer before their disks."""
    (tmp_path / "early.py").write_text(EARLY, encoding="utf-8")
    run = run_of(tmp_path, {**QUORUM, "strategy": "early.py:Early"})
    assert is_fine(run)
    return run


def first_write(run: Path) -> int:
    """A moment at which somebody waits for a write."""
    return next(ns for ns in range(20 * MILLISECOND, 40 * MILLISECOND, MILLISECOND // 2) if "put" in asked_at(run, ns))


def asked_at(run: Path, at_ns: int) -> list[str]:
    """What clients are in the middle of."""
    scenario = scenario_at(run, at_ns)
    assert scenario.past is not None
    return [line[0].words.split()[0] for line, _ in zip(scenario.asks, scenario.past.opens, strict=False)]


def test_a_run_that_was_fine_has_a_branch_in_which_an_acknowledged_write_is_lost(early: Path) -> None:
    scenario = scenario_at(early, first_write(early), ["explore.bounds.crashes=2"])
    world, watch = World(scenario, merge=False), Watch(scenario)
    Walks(world, watch, 0).run(begin(world).state, lambda: watch.counts.schedules < 500)
    assert watch.finding is not None
    assert re.search(r"reader1 (read|found)|acknowledged write", watch.finding.sentence)
    told = story(world, begin(world), watch.finding.path, watch.finding.sentence, "told")
    assert "Before this" in told and "loses power" in told


def test_the_protocol_as_it_is_survives_the_same_branches(tmp_path: Path) -> None:
    run = run_of(tmp_path, QUORUM)
    scenario = scenario_at(run, first_write(run), ["explore.bounds.crashes=2"])
    world, watch = World(scenario), Watch(scenario)
    Walks(world, watch, 0).run(begin(world).state, lambda: watch.counts.schedules < 30)
    Search(world, watch, begin(world).state).run(lambda: watch.counts.steps < 1_000)
    assert watch.finding is None, watch.finding
    assert watch.counts.steps > 1_000 and watch.sometimes.is_met


FAULTS = [
    {"kind": "crash", "node": "random", "at": "5ms", "lasts": "20ms"},
    {"kind": "loss", "share": 0.1, "at": "0ms", "lasts": "60ms"},
    {"kind": "clock_drift", "node": "node-2", "ppm": 500, "at": "1ms", "lasts": "50ms"},
]


@pytest.mark.parametrize(
    "replication", ["raft", "quorum", "primary_backup", {"strategy": "raft", "pre_vote": False}], ids=str
)
def test_nodes_do_at_any_moment_what_they_did_in_the_run(replication: Any, tmp_path: Path) -> None:
    network = {"latency": {"distribution": "exponential", "mean": "300us"}}
    run = run_of(tmp_path, replication, faults=FAULTS, network=network, workload=WORKLOAD | {"clients": 4})
    open_ones = 0
    for at_ns in range(0, 400 * MILLISECOND, 37 * MILLISECOND):
        scenario = scenario_at(run, at_ns)
        assert scenario.past is not None
        open_ones += len(scenario.past.opens)
        world = World(scenario, merge=False)
        state = begin(world).state  # compares all that nodes send with what they sent
        assert [local.is_up for local in state.locals] == [bool(scenario.past.lives[n].given) for n in world.nodes]
    assert open_ones


def test_a_node_that_does_not_do_the_same_again_is_named_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(MOODY, encoding="utf-8")
    run = run_of(tmp_path, {**QUORUM, "strategy": "moody.py:Moody"})
    with pytest.raises(SettingsError) as refused:
        begin(World(scenario_at(run, 20 * MILLISECOND)))
    [problem] = refused.value.problems
    assert re.search(
        r"node-\d does not do again what it did in the run: at input \d+ .* sends quorum.stored", problem
    ), problem
    assert "then [" in problem and "now [" in problem


MOODY = '''
"""Quorum replication that counts in a global."""
import itertools
from kvsim.core.node import answers
from kvsim.core.version import Version
from kvsim.strategies.replication.quorum import Quorum, Store, Stored

COUNT = itertools.count()


class Moody(Quorum):
    """Answers with a version of its own."""

    @answers(Store)
    async def store(self, sender, m):
        await super().store(sender, m)
        return Stored(Version(next(COUNT), "moody"))
'''


def test_a_person_goes_on_from_there_by_hand(early: Path) -> None:
    session = Session(scenario_at(early, first_write(early)))
    before = session.state
    for _ in range(4):
        session.take(session.choices()[0])
    assert session.state is not before and not session.verdict()
    while session.undo():
        pass
    assert session.state is before


@pytest.mark.parametrize(
    ("at_ns", "settings", "said"),
    [
        (60 * SECOND, [], "the run is over at"),
        (20 * MILLISECOND, ["design.replication=raft"], "only keys of explore can be set"),
        (20 * MILLISECOND, ["explore.operations=['client-1: get x at nowhere']"], "explore.operations"),
        (20 * MILLISECOND, ["explore.bounds.crashs=1"], "did you mean 'crashes'?"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(at_ns: int, settings: list[str], said: str, early: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        scenario_at(early, at_ns, settings)
    assert said in str(refused.value)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name the folder of one"):
        scenario_at(tmp_path, SECOND)
