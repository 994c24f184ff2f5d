"""Sweeps: the same bytes as one run after the other, nothing finished run again, and no run lost with another."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, TooManyRuns, load
from kvsim.lab.runner import Answer, Processes, Task, perform
from kvsim.lab.sweep import Sweep

Small = Callable[..., Path]
GRID = '[vary]\n"design.replication.r" = [1, 2]\nseeds = 2\n'
TINY = """
[design]
replication = { strategy = "quorum", n = 3, r = 1, w = 2 }
consistency = "eventual"
[cluster]
nodes = 3
[workload]
keys = { count = 3, distribution = "uniform" }
clients = 1
duration = "10ms"
settle = "1ms"
timeout = "10ms"
[vary]
"design.replication.r" = [1, 2]
"""
BOOM = """
import os, signal
from kvsim.strategies.replication.single_copy import SingleCopy

class Boom(SingleCopy):
    def __init__(self, *given, **named):
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Here:
    """A runner that does all in this process, but what is to fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.done: list[Task] = []

    def run(self, tasks: list[Task]) -> Iterator[tuple[Task, Answer]]:
        for task in tasks:
            self.done.append(task)
            label = ",".join(f"{name}={value}" for name, value in task.where) + f",seed={task.seed}"
            yield task, Answer(problem="on purpose") if label == self.failing else perform(task)


def swept(experiment: Experiment, out: Path, failing: str = "") -> tuple[Sweep, list[Task]]:
    sweep, runner = Sweep(experiment, out), Here(failing)
    sweep.run(runner)  # type: ignore[arg-type]
    sweep.release()
    return sweep, runner.done


def artefacts(out: Path) -> dict[str, bytes]:
    files = (file for file in out.rglob("*") if file.is_file() and "finished" not in file.parts)
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def test_a_sweep_over_processes_gives_the_bytes_of_one_run_after_the_other(small: Small, tmp_path: Path) -> None:
    experiment = load(small(GRID))
    in_turn = experiment.run(out=tmp_path / "in-turn", trace="first")
    sweep = Sweep(experiment, tmp_path / "swept", trace="first")
    sweep.run(Processes(2))
    report = sweep.finish()
    assert report is not None
    assert report.as_json() == in_turn.as_json()
    one, other = artefacts(tmp_path / "in-turn"), artefacts(tmp_path / "swept")
    assert {"results.csv", "report.html", "runs/r=1,seed=0/trace.jsonl", "runs/r=2,seed=1/history.jsonl"} <= one.keys()
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from kvsim.cli import main; main()", "sweep", *arguments]


def finished(out: Path) -> dict[str, int]:
    """The finished runs, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / "finished").glob("*.run")}


@pytest.mark.timeout(240)
def test_a_sweep_of_200_points_survives_ctrl_c_and_kill_9(small: Small, tmp_path: Path) -> None:
    path, out = small("seeds = 100\n", text=TINY), tmp_path / "out"
    arguments = (str(path), "--out", str(out), "--jobs", "2")
    before: dict[str, int] = {}
    for signal_, wanted, code in ((signal.SIGINT, 20, 130), (signal.SIGKILL, 60, -signal.SIGKILL)):
        process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(finished(out)) < wanted:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal_)
        _, said = process.communicate()
        assert process.returncode == code, said
        if signal_ == signal.SIGINT:
            assert "stopped; " in said
            assert "Traceback" not in said
        now = finished(out)
        assert before.items() <= now.items(), "no finished run was run again"
        assert len(now) < 200
        before = now
    ended = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert f"{len(before)} of 200 runs are finished already" in ended.stderr
    now = finished(out)
    assert before.items() <= now.items()
    assert len(now) == 200
    with open(out / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["r"], row["seed"]) for row in rows] == [(r, str(seed)) for r in "12" for seed in range(100)]


def test_no_process_is_given_a_task_before_its_last_one_is_done(small: Small) -> None:
    setup = load(small(text=TINY)).setups[0]
    taken = 0

    def tasks() -> Iterator[Task]:
        nonlocal taken
        for seed in range(6):
            taken += 1
            yield Task("tiny.toml", setup.where, setup.table, seed)

    answers = 0
    for _, answer in Processes(2).run(tasks()):
        answers += 1
        assert answer.problem == ""
        assert taken <= answers + 2, "so a kill leaves at most one a process to be begun again"
    assert answers == 6


def test_a_process_that_dies_loses_its_own_run_alone(small: Small, tmp_path: Path) -> None:
    (tmp_path / "boom.py").write_text(BOOM)
    variants = """
        [[variant]]
        name = "well"
        design = { replication = "single_copy" }
        [[variant]]
        name = "ill"
        design = { replication = "boom.py:Boom" }
        """.replace("        ", "")
    text = TINY.partition("[vary]")[0]
    sweep = Sweep(load(small(variants, text=text)), tmp_path / "out")
    sweep.run(Processes(1))
    assert sweep.problems == {
        "variant=ill,seed=0": "its process ended (by SIGKILL; if memory ran out, use fewer --jobs)"
    }
    report = sweep.finish()
    assert report is not None
    assert [point.label for point in report.points] == ["variant=well"]
    assert report.exit_code == 1


def test_one_failed_run_does_not_lose_the_others_and_is_tried_again(small: Small, tmp_path: Path) -> None:
    more = '[expect]\n"throughput_ops_per_s[r=1]" = "> throughput_ops_per_s[r=2]"\n'
    experiment = load(small("seeds = 2\n" + more, text=TINY))
    sweep, _ = swept(experiment, tmp_path / "out", failing="r=2,seed=1")
    report = sweep.finish()
    assert report is not None
    assert report.failures == ["r=2,seed=1: could not be run: on purpose"]
    assert [point.label for point in report.points] == ["r=1"]
    [finding] = report.findings
    assert not finding.holds
    assert "a run of r=2 is missing" in finding.seen
    again, done = swept(experiment, tmp_path / "out")
    assert [(task.where, task.seed) for task in done] == [((("r", "2"),), 1)]
    assert again.problems == {}


def test_a_folder_that_a_running_sweep_uses_is_refused_and_left_as_it_is(small: Small, tmp_path: Path) -> None:
    path, out = small("seeds = 100\n", text=TINY), tmp_path / "out"
    with subprocess.Popen(command(str(path), "--out", str(out), "--jobs", "1"), stderr=subprocess.PIPE) as process:
        while len(finished(out)) < 3:
            assert process.poll() is None
        for second in (lambda: Sweep(load(path), out), lambda: load(path).run(out=out)):
            with pytest.raises(SettingsError, match=rf"in use by .* \(process {process.pid}\); wait for it, or name"):
                second()
        before = finished(out)
        process.kill()
    sweep = Sweep(load(path), out)
    assert sweep.reused >= len(before) >= 3, "the lock of a dead process is taken over"
    with pytest.raises(SettingsError, match="in use"):
        Sweep(load(path), out)
    sweep.release()
    assert not (out / "kvsim.lock").exists()
    del sweep
    dropped = Sweep(load(path), out)
    del dropped
    load(small(text=TINY)).run(out=out)


def test_a_wider_grid_runs_only_what_is_new(small: Small, tmp_path: Path) -> None:
    swept(load(small("seeds = 2\n", text=TINY)), tmp_path / "out")
    _, done = swept(load(small("seeds = 3\n", text=TINY)), tmp_path / "out")
    assert [task.seed for task in done] == [2, 2]


def test_points_alike_but_in_name_share_one_run(small: Small, tmp_path: Path) -> None:
    variants = '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\n'
    sweep, done = swept(load(small(variants, text=TINY)), tmp_path / "out")
    assert len(done) == 2
    assert sweep.done == 4


def test_a_damaged_file_is_run_again(small: Small, tmp_path: Path) -> None:
    experiment = load(small(text=TINY))
    swept(experiment, tmp_path / "out")
    [one, _] = sorted((tmp_path / "out" / "finished").iterdir())
    one.write_bytes(one.read_bytes()[:100])
    _, done = swept(experiment, tmp_path / "out")
    assert len(done) == 1


def test_a_strategy_from_outside_that_changed_is_run_again(small: Small, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    text = '[design]\nreplication = "mine.py:Mine"\n' + TINY[TINY.index("[cluster]") : TINY.index("[vary]")]
    path = small(text=text)
    mine.write_text(
        "from kvsim.strategies.replication.single_copy import SingleCopy\nclass Mine(SingleCopy):\n    pass\n"
    )
    assert len(swept(load(path), tmp_path / "out")[1]) == 1
    assert len(swept(load(path), tmp_path / "out")[1]) == 0
    mine.write_text(mine.read_text() + "# changed\n")
    assert len(swept(load(path), tmp_path / "out")[1]) == 1


def test_a_huge_grid_is_refused_before_its_points_are_made(small: Small, capfd: pytest.CaptureFixture[str]) -> None:
    from kvsim.cli.app import run

    huge = f'"workload.clients" = {list(range(1, 501))}\nseeds = 1000\n'
    with pytest.raises(TooManyRuns, match="1,000,000 runs"):
        load(small(huge, text=TINY))
    assert run(["sweep", str(small(huge, text=TINY)), "--jobs", "2"]) == 2
    assert "1,000,000 runs would take about " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--on", "slurm:x"], "--on slurm:x: expected dask:ADDRESS"),
        (["--on", "dask:tcp://127.0.0.1:1"], "no Dask scheduler answers at tcp://127.0.0.1:1"),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    options: list[str], reason: str,
) -> None:  # fmt: skip
    from kvsim.cli.app import run

    pytest.importorskip("distributed")
    monkeypatch.setattr("kvsim.lab.on_dask.CONNECTING_S", 1)
    assert run(["sweep", str(small(text=TINY)), "--out", str(tmp_path / "out"), *options]) == 2
    assert reason in capfd.readouterr().err


def test_parquet_has_what_the_csv_has(small: Small, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    sweep, _ = swept(load(small("seeds = 2\n", text=TINY)), tmp_path / "out")
    sweep.write_parquet()
    table = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    with open(tmp_path / "out" / "results.csv", encoding="utf-8") as file:
        for row, line in zip(table, csv.DictReader(file), strict=True):
            assert list(row) == list(line)
            assert (row["r"], str(row["seed"]), row["verdict_linearizable"]) == (
                line["r"], line["seed"], line["verdict_linearizable"],
            )  # fmt: skip
            assert row["throughput_ops_per_s"] == float(line["throughput_ops_per_s"])


@pytest.mark.filterwarnings("default")
def test_a_dask_cluster_gives_the_same_bytes(small: Small, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    from kvsim.lab.on_dask import Dask

    experiment = load(small("seeds = 3\n", text=TINY))
    experiment.run(out=tmp_path / "in-turn")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    )
    with cluster:
        sweep = Sweep(experiment, tmp_path / "on-dask")
        sweep.run(Dask(cluster.scheduler_address))
    sweep.finish()
    assert artefacts(tmp_path / "in-turn") == artefacts(tmp_path / "on-dask")


def test_the_extras_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvsim.lab.on_dask import Dask
    from kvsim.lab.results import require_parquet

    for missing in ("distributed", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError, match=r"pip install 'kvsim\[dask\]'"):
        Dask("tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"pip install 'kvsim\[parquet\]'"):
        require_parquet()


def test_workers_end_when_their_sweep_is_killed(small: Small, tmp_path: Path) -> None:
    path, out = small("seeds = 100\n", text=TINY), tmp_path / "out"
    with subprocess.Popen(command(str(path), "--out", str(out), "--jobs", "2"), stderr=subprocess.PIPE) as process:
        while len(finished(out)) < 4:
            assert process.poll() is None
        process.kill()
        assert process.stderr is not None
        process.stderr.read()  # it ends only when the last process that holds it has ended
