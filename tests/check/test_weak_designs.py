"""Designs that are known to be too weak are found out by the judge of the promise that they break."""

from pathlib import Path

import pytest

import kvsim
from kvsim.check import Refuted, Verdict, durability
from kvsim.check.judges import JUDGES, Limited

EXPERIMENT = """
title = "a weak design"
[design]
{design}
[cluster]
nodes = 3
frontends = 3
[network]
latency = {{ distribution = "lognormal", median = "1ms", p99 = "30ms" }}
{machines}
[workload]
mix = "ycsb-a"
keys = {{ count = 3, distribution = "uniform" }}
clients = 8
duration = "600ms"
"""
ONE_ANSWER = """
topology = { strategy = "client_server", coordinator = "frontend" }
replication = { strategy = "quorum", n = 3, r = 1, w = 1 }
consistency = "eventual"
"""
FOLLOWERS = """
replication = { strategy = "raft", reads = "follower" }
consistency = "eventual"
"""
WALL_CLOCK = """
topology = { strategy = "client_server", coordinator = "frontend" }
replication = { strategy = "quorum", n = 3, r = 2, w = 2 }
conflict = { strategy = "last_writer_wins", clock = "wall" }
consistency = "eventual"
"""
SKEWED = '[[machines.clocks]]\nnode = "frontend-1"\noffset = "300ms"\n'


def judged(tmp_path: Path, judge: str, design: str, machines: str = "") -> Verdict:
    """Run the design once, and ask the judge."""
    path = tmp_path / "weak.toml"
    path.write_text(EXPERIMENT.format(design=design, machines=machines))
    [run] = kvsim.load(str(path)).run(seed=1).runs
    return JUDGES[judge].judge(run.seen.history, Limited())


@pytest.mark.parametrize("judge", ["linearizable", "sequential", "causal-convergence", "session-guarantees"])
def test_reading_one_replica_where_one_was_written(tmp_path: Path, judge: str) -> None:
    found = judged(tmp_path, judge, ONE_ANSWER)
    assert isinstance(found, Refuted)
    assert 2 <= len(found.witness.operations) <= 12


@pytest.mark.parametrize("judge", ["linearizable", "session-guarantees"])
def test_reading_followers(tmp_path: Path, judge: str) -> None:
    assert isinstance(judged(tmp_path, judge, FOLLOWERS), Refuted)


def test_the_last_writer_by_a_calendar_that_is_ahead_wins_too_long(tmp_path: Path) -> None:
    found = judged(tmp_path, "linearizable", WALL_CLOCK, SKEWED)
    assert isinstance(found, Refuted)
    assert "although" in found.witness.sentence


def test_the_same_with_calendars_that_agree_is_not_found_guilty(tmp_path: Path) -> None:
    assert not isinstance(judged(tmp_path, "session-guarantees", WALL_CLOCK), Refuted)


def test_asynchronous_backups_lose_acknowledged_writes_at_a_failover() -> None:
    runs = kvsim.load("primary-backup-failover", ["workload.duration=1200ms", "vary.seeds=1"]).run(seed=1).runs
    by_name = {run.setup.title: durability(run.seen.final_history()) for run in runs}
    [lost] = [verdict for name, verdict in by_name.items() if "async" in name]
    [kept] = [verdict for name, verdict in by_name.items() if "async" not in name]
    assert isinstance(lost, Refuted)
    assert "was acknowledged at" in lost.witness.sentence
    assert not isinstance(kept, Refuted)
