"""A student's own strategy, in a file beside the experiment: it runs, its finding holds, and its mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

import kvsim
from kvsim.core.operation import Failure, Found, Put, Read, Scan, Update, Written
from tests.strategies.stepping import Running

FOLDER = Path(__file__).parents[2] / "examples" / "my_strategy"
MINE = "read_one_write_all.py:ReadOneWriteAll"


def running(**design: object) -> Running:
    return Running({"replication": MINE, "timeout": "200ms", **design}, folder=FOLDER)


def test_what_was_written_to_all_is_read_from_any() -> None:
    run = running()
    assert isinstance(run.ask(Put, b"k", b"v"), Written)
    for _ in range(3):  # a turn for each replica
        found = run.ask(Read, b"k")
        assert isinstance(found, Found)
        assert found.value == b"v"
        assert run.sent() == ["client.perform", "result.found"], "one node is asked, and asks nobody"


def test_a_condition_is_judged_by_the_owner() -> None:
    run = running()
    refused = run.ask(Update, b"k", b"v")
    assert isinstance(refused, Failure)
    assert refused.code == "not_found"


def test_a_scan_which_the_strategy_lacks_is_refused_and_hurts_nobody() -> None:
    run = running()
    refused = run.ask(Scan, b"a", b"z", 10)
    assert isinstance(refused, Failure)
    assert refused.code == "not_served"
    assert "ReadOneWriteAll has no scans" in refused.detail
    assert isinstance(run.ask(Put, b"k", b"v"), Written), "the nodes go on"


def test_one_replica_that_is_down_leaves_a_write_unknown() -> None:
    run = running()
    run.ask(Put, b"k", b"v")
    stores = [h.to for h in run.world.happened if getattr(h, "message", None).__class__.__name__ == "Keep"]
    run.world.crash(stores[0])
    answer = run.ask(Put, b"k", b"w")
    assert isinstance(answer, Failure)
    assert answer.code == "outcome_unknown"


def test_what_it_cannot_promise_is_refused() -> None:
    with pytest.raises(kvsim.SettingsError, match='claim "eventual", or use "quorum"'):
        running(consistency="linearizable")


def test_the_experiment_shows_what_it_expects() -> None:
    report = kvsim.load(FOLDER / "read-one-write-all.toml").run(seed=0)
    assert [finding for finding in report.findings if not finding.holds] == []
