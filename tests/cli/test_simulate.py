"""kvsim simulate and kvsim new, as a user meets them: output, exit codes, and short errors instead of tracebacks."""

import re
from pathlib import Path

import msgspec
import pytest

from kvsim.cli.app import run
from kvsim.lab.experiment import load
from kvsim.lab.real_run import on_own_clusters
from tests.lab.conftest import SMALL

Output = pytest.CaptureFixture[str]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def simulate(path: Path | str, *options: str) -> int:
    out = [] if "--dry-run" in options else ["--out", str(Path(path).parent / "out")]
    return run(["simulate", str(path), *out, *options])


def test_a_run_ends_with_numbers_promises_and_the_way_to_the_report(small: Path, capsys: Output) -> None:
    assert simulate(small) == 0
    shown = capsys.readouterr().out
    for part in (
        "A small experiment",
        "throughput_ops_per_s",
        "Promises",
        "report.html",
        "latency.png",
        "One seed (0)",
    ):
        assert part in shown
    assert max(len(line) for line in shown.splitlines() if "/" not in line) <= 100


def test_json_holds_everything_and_nothing_else_is_printed(small: Path, capsys: Output) -> None:
    assert simulate(small, "--json", "--seed", "5") == 0
    printed = capsys.readouterr()
    report = msgspec.json.decode(printed.out)
    assert report["seeds"] == [5]
    assert report["metrics"]["availability_share"]["mean"] == 1.0
    assert {promise["verdict"] for promise in report["promises"]} <= {"refuted", "not_refuted", "unknown", "not_judged"}
    assert printed.err == ""


def test_a_finding_that_does_not_hold_is_exit_code_1(small: Path, capsys: Output) -> None:
    small.write_text(SMALL + '[expect]\navailability_share = "< 0.5"\n')
    assert simulate(small) == 1
    assert "fails" in capsys.readouterr().out


def test_wrong_input_is_exit_code_2_with_every_problem_and_no_traceback(small: Path, capsys: Output) -> None:
    assert simulate(small, "--set", "workload.client=3", "--set", "cluster.nodes=two") == 2
    error = capsys.readouterr().err
    assert "workload.client: unknown key; did you mean 'clients'?" in error
    assert "cluster.nodes" in error
    assert "Traceback" not in error
    assert not (small.parent / "out").exists()


def test_a_dry_run_shows_the_whole_design_and_runs_nothing(small: Path, capsys: Output) -> None:
    assert simulate(small, "--dry-run") == 0
    shown = capsys.readouterr().out
    for part in ("design.replication.r = 1", "design.partitioning.strategy", "network.latency", "durability"):
        assert part in shown
    assert not (small.parent / "out").exists()


def test_a_dry_run_names_moot_axes(small: Path, capsys: Output) -> None:
    assert simulate(small, "--dry-run", "--json", "--set", 'design={replication="raft"}') == 0
    [point] = msgspec.json.decode(capsys.readouterr().out)["points"]
    assert "partitioning" in point["moot"]
    assert "partitioning" not in point["design"]
    assert point["promises"]


def test_a_trace_is_written_on_demand_and_named(small: Path, capsys: Output) -> None:
    assert simulate(small, "--trace") == 0
    [trace] = (small.parent / "out").rglob("trace.jsonl")
    first = msgspec.json.decode(trace.read_bytes().splitlines()[0])
    assert first["id"] == 1
    assert f"trace     {trace}\n" in capsys.readouterr().out


def test_of_many_traces_the_first_is_named_and_the_others_are_counted(small: Path, capsys: Output) -> None:
    assert simulate(small, "--trace-all", "--set", "vary.seeds=3") == 0
    runs = small.parent / "out" / "runs"
    assert f"trace     {runs / 'seed=0' / 'trace.jsonl'} and 2 more in {runs}\n" in capsys.readouterr().out


def test_what_a_reader_must_know_stands_above_the_findings_and_in_json(small: Path, capsys: Output) -> None:
    crash = '[[faults]]\nkind = "crash"\nnode = "leader"\nat = "20ms"\nlasts = "30ms"\n'
    small.write_text(SMALL + crash + '[expect]\navailability_share = "> 0"\n')
    assert simulate(small) == 0
    above, findings, _ = capsys.readouterr().out.partition("Findings")
    assert findings and "Mind: seed=0: the fault crash never struck" in above
    assert simulate(small, "--json") == 0
    [note] = msgspec.json.decode(capsys.readouterr().out)["notes"]
    assert "the fault crash never struck" in note


def test_what_held_beyond_the_claims_is_told_with_the_number_of_histories(small: Path, capsys: Output) -> None:
    assert simulate(small, "--set", 'design.consistency="eventual"', "--set", "vary.seeds=2") == 0
    beyond = " ".join(capsys.readouterr().out.partition("Beyond the claims, not refuted: ")[2].split())
    assert re.match(r"[a-z, -]+ \(in [12] histor(y|ies)\)", beyond), beyond


def test_the_notes_of_a_real_cluster_name_what_of_the_file_it_lacks(small: Path) -> None:
    small.write_text(SMALL)
    plain = on_own_clusters(load(small))
    assert not [note for note in plain.notes if "machines" in note]
    slow = on_own_clusters(load(small, ["machines.slower={data-2=10}", "vary.machines.memory=['1GiB','2GiB']"]))
    told = "\n".join(slow.notes)
    assert "without [machines]: machines.slower.data-2 = 10, machines.memory = 1GiB, machines.memory = 2GiB" in told
    assert "points that differ in [machines] alone are the same" in told


def test_a_run_is_repeated_from_its_description(small: Path, capsys: Output) -> None:
    assert simulate(small, "--json", "--seed", "9") == 0
    first = msgspec.json.decode(capsys.readouterr().out)
    described = small.parent / "out" / "runs" / "seed=9" / "run.json"
    assert run(["simulate", str(described), "--out", str(small.parent / "again"), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["metrics"] == first["metrics"]


def test_a_new_experiment_runs_as_it_is(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "mine.toml"
    assert run(["new", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    assert simulate(path) == 0


def test_new_does_not_overwrite(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("my own")
    assert run(["new", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "my own"
