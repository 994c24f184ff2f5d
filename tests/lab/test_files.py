"""Files that an experiment names lie beside it, wherever it is run from; a run's folder has copies of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, load, read_experiment
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.replay import replay
from kvsim.lab.runner import Processes
from kvsim.lab.sweep import Sweep
from kvsim.sim.distributions import measured_ns

REGIONS = "region,a,b,c\na,1,{ms},{ms}\nb,{ms},1,{ms}\nc,{ms},{ms},1\n"
MINE = "from kvsim.strategies.replication.single_copy import SingleCopy\nclass Mine(SingleCopy):\n    pass\n"
TEXT = """
[design]
replication = "../strategies/mine.py:Mine"
[network]
graph = "data/net.csv"
place = { client-1 = "a" }
[network.kinds]
"result.written" = { distribution = "mixture", parts = [{ weight = 1, of = { distribution = "empirical", file = "data/ms.txt" } }] }
[machines.disk]
sync = { distribution = "empirical", file = "syncs/ms.txt" }
[workload]
keys = { count = 3, distribution = "uniform" }
clients = 4
duration = "1s"
settle = "10ms"
"""  # noqa: E501


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of an experiment with its files; the working directory is another one, where files have the same names
    and say other things."""
    for folder, ms in (("home/experiments", 20), ("elsewhere", 900)):
        for name, text in {
            "data/net.csv": REGIONS.format(ms=ms),
            "data/ms.txt": f"{ms}\n",
            "syncs/ms.txt": f"{ms / 10}ms\n",
        }.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(text)
    (tmp_path / "home" / "strategies").mkdir()
    (tmp_path / "home" / "strategies" / "mine.py").write_text(MINE)
    (tmp_path / "home" / "experiments" / "x.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home" / "experiments"


def network(experiment: Experiment) -> Any:
    world = experiment.setups[0].world
    assert world is not None
    return world.network


def test_files_are_those_beside_the_experiment_not_those_in_the_working_directory(home: Path) -> None:
    [run] = load(home / "x.toml").run().runs
    assert 0.0 < run.metrics["read_latency_p50_s"] < 0.1
    assert 0.02 < run.metrics["write_latency_p50_s"] < 0.1, "written takes 20 ms, and a sync 2 ms"


def test_a_sweep_and_a_hunt_find_the_same_files(home: Path, tmp_path: Path) -> None:
    experiment = load("../home/experiments/x.toml")
    sweep = Sweep(experiment, tmp_path / "out")
    sweep.run(Processes(1))
    assert sweep.problems == {}
    assert sweep.finish().runs[0].metrics == experiment.run().runs[0].metrics  # type: ignore[union-attr]
    assert draw_case(experiment, 1).setup().world.network.graph == str(home / "data" / "net.csv")  # type: ignore[union-attr]


def test_a_run_is_repeated_from_its_folder_alone_wherever_that_is_moved(home: Path, tmp_path: Path) -> None:
    load(home / "x.toml").run(out=tmp_path / "out", trace="first")
    shutil.move(tmp_path / "out" / "runs" / "seed=0", tmp_path / "moved")
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path / "home")
    replayed = replay(tmp_path / "moved")
    assert (replayed.difference, replayed.changed) == (None, ())
    copies = sorted(file.name.partition("_")[0].partition(".")[0] for file in (tmp_path / "moved" / "files").iterdir())
    assert copies == ["mine", "ms", "ms", "net"], "two files of one name, each with what it says"
    (tmp_path / "moved" / "files" / "net.csv").write_text(REGIONS.format(ms=30))
    [change] = replay(tmp_path / "moved").changed
    assert change.startswith("outside.files.files/net.csv was ")


def test_a_repeated_run_leaves_a_folder_that_can_be_repeated_too(home: Path, tmp_path: Path) -> None:
    load(home / "x.toml").run(out=tmp_path / "one")
    load(tmp_path / "one" / "runs" / "seed=0" / "run.json").run(out=tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    assert replay(tmp_path / "two" / "runs" / "seed=0").difference is None


def test_what_the_command_line_sets_is_relative_to_the_working_directory(home: Path, tmp_path: Path) -> None:
    set_here = ["network.graph=data/net.csv", 'network.inside={ distribution = "empirical", file = "data/ms.txt" }']
    found = network(load(home / "x.toml", set_here))
    assert found.graph == str(tmp_path / "elsewhere" / "data" / "net.csv")
    assert found.inside.file == str(tmp_path / "elsewhere" / "data" / "ms.txt")
    bundled = load(home / "x.toml", ["network.graph=aws-2017-rtt-ms", "network.place={}"])
    assert network(bundled).graph == "aws-2017-rtt-ms"


def test_a_file_that_is_not_there_is_told_with_its_whole_path(home: Path) -> None:
    table = {"design": {"replication": "single_copy"}, "network": {"graph": "nowhere.csv"}}
    with pytest.raises(SettingsError, match=rf"x.toml: network.graph: cannot read {home}/nowhere.csv: No such file"):
        read_experiment(table, home / "x.toml")
    times = {"design": table["design"], "network": {"inside": {"distribution": "empirical", "file": "nowhere.txt"}}}
    with pytest.raises(SettingsError, match=rf"cannot read {home}/nowhere.txt: No such file"):
        read_experiment(times, home / "x.toml")


def test_measured_times_that_changed_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ms.txt"
    file.write_text("1\n")
    assert measured_ns(str(file)) == (1_000_000,)
    file.write_text("10\n20\n")
    assert measured_ns(str(file)) == (10_000_000, 20_000_000)


def test_the_folder_says_that_it_needs_nothing_else(home: Path, tmp_path: Path) -> None:
    load(home / "x.toml").run(out=tmp_path / "out")
    described = msgspec.json.decode((tmp_path / "out" / "runs" / "seed=0" / "run.json").read_bytes())
    assert described["again"]["folder"] == "."
    assert described["again"]["tables"]["network"]["graph"] == "files/net.csv"
    assert described["outside"]["strategies"]["replication"]["strategy"] == "files/mine.py:Mine"
