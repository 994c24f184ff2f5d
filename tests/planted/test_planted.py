"""Planted bugs are found, and the same worlds with the protocols as they are hold nothing against them.

A shortened form: `make planted` looks for every mistake for a minute of a core, and writes docs/planted-bugs.md.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kvsim.core.message import SECOND
from kvsim.explore.beginning import begin
from kvsim.explore.explore import explore
from kvsim.explore.search import Search, Watch
from kvsim.explore.walks import Walks
from kvsim.explore.world import World
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.trial import play
from tests.planted.planting import PROTOCOLS, Planted, all_planted, explored, hunted, sound, worlds

AT_ONCE = {
    "answer_before_sync", "one_answer_too_few",
    "backup_answers_before_sync", "backups_not_waited_for", "primary_counts_unsynced", "gap_not_noticed",
    "follower_answers_before_sync", "half_is_enough", "leader_counts_unsynced",
}  # fmt: skip
"""Found within a second of a core or two."""
BUGS = all_planted()


def name_of(bug: Planted) -> str:
    return f"{bug.protocol}/{bug.name}"


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in AT_ONCE], ids=name_of)
def test_a_planted_bug_is_found(bug: Planted, tmp_path: Path) -> None:
    scenario = explored(bug, tmp_path)
    begun_s = time.process_time()

    def go_on() -> bool:
        return time.process_time() - begun_s < 40

    world, watch = World(scenario), Watch(scenario)
    Search(world, watch, begin(world).state).run(lambda: watch.counts.steps < 20_000)
    if watch.finding is None:
        Walks(world, watch, 0).run(begin(world).state, go_on)
    assert watch.finding is not None, f"{bug.story} It was not found."


@pytest.mark.parametrize("bug", BUGS, ids=name_of)
def test_every_patch_fits_the_protocol_and_runs(bug: Planted, tmp_path: Path) -> None:
    assert bug.story and bug.hunks
    assert begin(World(explored(bug, tmp_path))).state.locals


@pytest.mark.parametrize(("protocol", "name"), worlds())
def test_the_protocol_as_it_is_survives_the_world_in_which_its_mistakes_are_found(protocol: str, name: str) -> None:
    found = explore(sound(protocol, name), SECOND // 2, clock=time.process_time)
    assert found.finding is None, found.finding
    assert found.counts.steps > 200


def test_there_are_six_mistakes_for_each_protocol() -> None:
    counts = {protocol: sum(bug.protocol == protocol for bug in BUGS) for protocol in PROTOCOLS}
    assert min(counts.values()) >= 6, counts


SOON_HUNTED = {"answer_before_sync", "retry_ordered_twice", "half_is_enough"}
"""Refuted in one of the first runs of a hunt."""


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in SOON_HUNTED], ids=name_of)
def test_a_planted_bug_is_hunted_down_within_a_few_runs(bug: Planted, tmp_path: Path) -> None:
    experiment = hunted(bug, tmp_path)
    found = (play(draw_case(experiment, seed)).findings for seed in range(40))
    assert any(found), f"{bug.story} It was not found."
