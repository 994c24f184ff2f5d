"""Retried operations that take effect twice are found out: by a run's trace, or by its session tables."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvsim.check import NotRefuted, Refuted, Verdict
from kvsim.check.exactly_once import Applications, remembered_twice
from kvsim.core.replica import Replica
from kvsim.lab.experiment import load
from kvsim.lab.run import simulate
from kvsim.strategies.replication.raft.machine import StateMachine

RETRIES = """
title = "clients that are impatient, and ask another node"
[design]
replication = {replication}
consistency = "{consistency}"
[cluster]
nodes = 3
[network]
latency = {{ distribution = "lognormal", median = "2ms", p99 = "60ms" }}
[workload]
mix = {{ read = 0.5, put = 0.5 }}
keys = {{ count = 3, distribution = "uniform" }}
clients = 8
duration = "400ms"
timeout = "40ms"
retries = 2
retry_at = "next"
"""


def verdict(tmp_path: Path, replication: str, consistency: str, traced: bool) -> Verdict | None:
    """What the judge of exactly once says at the end of a run."""
    path = tmp_path / "retries.toml"
    path.write_text(RETRIES.format(replication=replication, consistency=consistency))
    [setup] = load(path).setups
    return simulate(setup, 1, trace=io.BytesIO() if traced else None).verdicts.get("exactly-once")


@pytest.mark.parametrize("consistency", ["linearizable", "eventual"])
@pytest.mark.parametrize("replication", ['"raft"', '"primary_backup"', '"single_copy"'])
def test_designs_that_promise_it_keep_it_when_clients_retry(tmp_path: Path, replication: str, consistency: str) -> None:
    assert isinstance(verdict(tmp_path, replication, consistency, traced=True), NotRefuted)


def test_a_trace_shows_a_state_machine_that_does_what_the_log_says_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_what_was_applied(monkeypatch)
    found = verdict(tmp_path, '"raft"', "eventual", traced=True)
    assert isinstance(found, Refuted)
    assert " applied the request " in found.witness.sentence
    assert ", and again at " in found.witness.sentence


def forget_what_was_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant the classic mistake: a retried write stands in the log twice, and is done twice."""
    monkeypatch.setattr(StateMachine, "outcome", lambda machine, request: None)


def test_nobody_listens_to_replicas_of_a_run_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    begun = Replica.start
    monkeypatch.setattr(Replica, "start", lambda self, recovered: (heard.append(self.heard), begun(self, recovered)))
    verdict(tmp_path, '"raft"', "linearizable", traced=False)
    assert heard == [None, None, None]


def line(node: str, event: str, time_ns: int = 1, **fields: str) -> bytes:
    return msgspec.json.encode({"id": 1, "time_ns": time_ns, "node": node, "event": event, **fields}) + b"\n"


def applied(node: str, time_ns: int, version: str) -> bytes:
    return line(node, "replica.applied", time_ns, request="c1/7", key="x", version=version)


def test_the_same_request_at_two_nodes_or_in_two_lives_of_one_is_no_second_effect() -> None:
    watch = Applications()
    watch.read(applied("n1", 1, "1") + applied("n2", 2, "1") + line("n1", "world.crashed"))
    watch.read(applied("n1", 3, "1") + line("n1", "replica.replaced") + applied("n1", 4, "2"))
    assert watch.witness is None
    assert watch.seen == 4


def test_a_second_effect_in_one_life_is_told_with_both_times() -> None:
    watch = Applications()
    watch.read(applied("n1", 1_204_000_000, "3") + line("n2", "world.crashed"))
    watch.read(applied("n1", 1_310_000_000, "5"))
    assert watch.witness is not None
    assert watch.witness.sentence == (
        'n1 applied the request c1/7 to "x" at 1.204 s as version 3, and again at 1.310 s as version 5'
    )


def test_session_tables_that_differ_in_a_version_show_two_places_in_the_order() -> None:
    assert remembered_twice({"n1": {"c1/7": "3"}, "n2": {"c1/7": "3", "c2/1": "4"}}) is None
    witness = remembered_twice({"n1": {"c1/7": "3"}, "n2": {"c1/7": "5"}})
    assert witness is not None
    assert "c1/7" in witness.sentence
