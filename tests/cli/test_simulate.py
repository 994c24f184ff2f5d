"""kvsim simulate and kvsim new, as a user meets them: output, exit codes, and short errors instead of tracebacks."""

from pathlib import Path

import msgspec
import pytest

from kvsim.cli.app import run
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


def test_a_trace_is_written_on_demand(small: Path) -> None:
    assert simulate(small, "--trace", "--json") == 0
    [trace] = (small.parent / "out").rglob("trace.jsonl")
    first = msgspec.json.decode(trace.read_bytes().splitlines()[0])
    assert first["id"] == 1


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
