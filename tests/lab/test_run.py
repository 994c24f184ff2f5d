"""One run in the simulated world: its phases, what it counts, and that one seed is one run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.core.history import read_history
from kvsim.lab.experiment import load
from kvsim.lab.run import simulate

Small = Callable[..., Path]

RUN = """
import sys
from kvsim.lab.experiment import load
load(sys.argv[1]).run(seed=7, out=sys.argv[2], trace="first")
"""


def test_a_run_loads_measures_heals_and_reads_all_at_the_end(small: Small) -> None:
    run = simulate(load(small()).setups[0], seed=0)
    phases = run.seen.phases
    assert 0 < phases.workload_ns <= phases.measured_ns < phases.ended_ns < phases.checked_ns < phases.finished_ns
    assert phases.ended_ns - phases.workload_ns == 100_000_000
    loads = [op for op in run.seen.operations if op.invoked_ns < phases.workload_ns]
    final = [op for op in run.seen.operations if op.invoked_ns >= phases.checked_ns]
    assert {op.op for op in loads} == {"put"}
    assert len({op.key for op in loads}) == 10
    assert {op.op for op in final} == {"read"}
    assert {op.key for op in final} == {op.key for op in loads}
    assert run.failures == ()


def test_replicas_of_a_healthy_run_come_to_agree(small: Small) -> None:
    run = simulate(load(small()).setups[0], seed=0)
    assert run.metrics["diverged_keys"] == 0
    assert run.metrics["stored_bytes_over_data"] == 3.0
    assert run.metrics["availability_share"] == 1.0


def test_adding_a_fault_leaves_the_clients_draws_as_they_were(small: Small) -> None:
    fault = '[[faults]]\nkind = "delay"\nat = "50ms"\nlasts = "20ms"\ndelay = "5ms"\n'
    plain, hurt = (simulate(load(small(more)).setups[0], seed=0) for more in ("", fault))
    before = plain.seen.phases.workload_ns + 40_000_000
    assert hurt.seen.phases.workload_ns == plain.seen.phases.workload_ns
    assert [e for e in hurt.seen.history.events if e.time_ns < before] == [
        e for e in plain.seen.history.events if e.time_ns < before
    ]


def test_points_of_a_grid_meet_the_same_operations(small: Small) -> None:
    experiment = load(small('[vary]\n"design.replication.r" = [1, 3]\n'))
    asked = []
    for setup in experiment.setups:
        seen = simulate(setup, seed=0).seen
        by_process: dict[int, list[tuple[str, object, object]]] = {}
        for op in seen.measured:
            by_process.setdefault(op.process, []).append((op.op, op.key, op.value if op.op == "put" else None))
        asked.append(by_process)
    for process in asked[0].keys() & asked[1].keys():
        shorter = min(len(asked[0][process]), len(asked[1][process]))
        assert asked[0][process][:shorter] == asked[1][process][:shorter]


def test_a_crash_shows_in_the_windows_of_the_run(small: Small) -> None:
    crash = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "20ms"\nlasts = "30ms"\n'
    [fault] = simulate(load(small(crash)).setups[0], seed=0).seen.faults
    assert (fault.name, fault.nodes) == ("crash", ("data-1",))
    assert fault.end_ns - fault.start_ns == 30_000_000


def test_measures_that_are_asked_for_are_added(small: Small) -> None:
    report = load(small('[measure]\nuse = ["pbs"]\n')).run()
    shares = [value for name, value in report.metrics.items() if name.startswith("pbs_consistent_share[")]
    assert shares
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.timeout(240)
def test_one_seed_gives_the_same_bytes_whatever_the_hash_seed(small: Small, tmp_path: Path) -> None:
    more = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "30ms"\nlasts = "30ms"\n'
    path = small(more)
    left = []
    for hash_seed in ("1", "4242"):
        out = tmp_path / f"out-{hash_seed}"
        subprocess.run(
            [sys.executable, "-c", RUN, str(path), str(out)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
        )
        files = sorted(file.relative_to(out) for file in out.rglob("*") if file.is_file())
        left.append({str(file): (out / file).read_bytes() for file in files})
    one, other = left
    assert one.keys() == other.keys()
    assert {"metrics.json", "runs/seed=7/history.jsonl", "runs/seed=7/trace.jsonl", "plots/latency.svg"} <= one.keys()
    assert [name for name in one if one[name] != other[name]] == []
    assert len(read_history(tmp_path / "out-1" / "runs" / "seed=7" / "history.jsonl")) > 100


def test_a_fault_that_finds_nobody_is_told(small: Small) -> None:
    crash = '[[faults]]\nkind = "crash"\nnode = "leader"\nat = "20ms"\nlasts = "30ms"\n'
    report = load(small(crash)).run()
    assert report.runs[0].seen.faults == []
    assert report.notes == ["seed=0: the fault crash never struck: its moment did not come, or nobody had the role"]


def test_a_fault_after_the_end_of_the_workload_is_noted_once_for_all_seeds(small: Small) -> None:
    fault = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "1s"\nlasts = "100ms"\n[vary]\nseeds = 2\n'
    [note] = load(small(fault)).run().notes
    assert "the fault crash struck at 1 s, after the workload's end at 100 ms" in note
    assert note.endswith("(and 1 more like it)")


def test_keys_that_cannot_be_loaded_are_told(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvsim.workload.clients.LOADING_LIMIT_NS", 0)
    # More data than one of the disks holds: the store refuses.
    report = load(small(), ['machines.disk={size="100B"}']).run()
    assert report.runs[0].seen.not_loaded > 0
    assert "could not be loaded" in report.notes[0]
