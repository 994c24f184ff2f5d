"""The worlds that `make explore` sees whole, here for as many steps as a test may take; small ones to their end."""

from __future__ import annotations

import pytest

from kvsim.explore.beginning import begin
from kvsim.explore.search import Search, Watch
from kvsim.explore.world import World
from tests.explore.__main__ import PAGE
from tests.explore.worlds import whole, whole_names

STEPS = {"quorum_any_replica": 50_000}
"""Enough to see it whole; others for a few thousand."""


@pytest.mark.parametrize("name", whole_names())
def test_the_correct_protocols_survive_their_small_worlds(name: str) -> None:
    world, watch = World(whole(name)), Watch(whole(name))
    search = Search(world, watch, begin(world).state)
    most = STEPS.get(name, 5_000)
    search.run(lambda: watch.counts.steps < most)
    assert watch.finding is None, watch.finding
    assert search.is_complete or watch.counts.steps >= most
    assert search.is_complete == (name in STEPS)


def test_each_world_has_its_row_which_says_that_everything_was_seen() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| [`")]
    assert [line.split("`")[1] for line in rows] == whole_names()
    assert all("everything, not refuted" in line for line in rows)
