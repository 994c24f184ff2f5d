"""The hunt as a user meets it: resumed, over processes, with his own code's mistakes named, and as regression tests."""

import json
import shutil
from pathlib import Path

import pytest

from kvsim.cli.app import run
from kvsim.core.settings import SettingsError
from kvsim.lab.hunt import watchdog
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.hunting import RUNS_FILE, Hunt, Hunted, hunt_one
from kvsim.lab.hunt.same_twice import first_difference
from kvsim.lab.hunt.shrink import fewest
from kvsim.lab.hunt.target import read_target

HERE = Path(__file__).parent
MINE = HERE / "student" / "mine.py"
WEAK = HERE / "weak" / "primary_async.py"
WEAKLY = [
    f"{WEAK}:ClaimsTooMuch", "--set", "workload.mix={read=0.2,insert=0.8}", "--set", "nemesis.kinds={partition=1}",
]  # fmt: skip


def seeds_in(folder: Path) -> list[int]:
    return [json.loads(line)["seed"] for line in (folder / RUNS_FILE).read_bytes().splitlines()[1:]]


def test_a_hunt_goes_on_where_it_was_even_if_its_last_line_was_cut(tmp_path: Path) -> None:
    target = f"{MINE}:Good"
    Hunt(target, (), tmp_path, 5).run(runs=3)
    file = tmp_path / RUNS_FILE
    file.write_bytes(file.read_bytes()[:-9])
    again = Hunt(target, (), tmp_path, 5)
    assert again.resumed == 2
    assert again.run(runs=4).runs == 4
    assert Hunt(target, (), tmp_path, 5).resumed >= 3
    assert Hunt(target, ("cluster.nodes=4",), tmp_path, 5).resumed == 0, "another design is another hunt"


def test_processes_find_what_one_process_finds(tmp_path: Path) -> None:
    target = f"{MINE}:Good"
    here, there = (Hunt(target, (), tmp_path / name, 0) for name in ("here", "there"))
    one, two = here.run(runs=4), there.run(runs=4, jobs=2)
    assert (one.operations, one.faults, one.coverage) == (two.operations, two.faults, two.coverage)
    assert sorted(seeds_in(tmp_path / "there")) == [0, 1, 2, 3]


def test_coverage_says_which_fault_struck_whom() -> None:
    experiment = read_target("raft-election")
    seen = [hunt_one(experiment, seed) for seed in range(6)]
    pairs = {pair for hunted in seen for pair in hunted.coverage}
    assert {pair.partition(" × ")[2] for pair in pairs} & {"leader", "follower", "candidate"}
    assert all(hunted.refuted == {} for hunted in seen)


@pytest.mark.parametrize("name", ["Throws", "Remembers"])
def test_code_that_is_not_deterministic_is_named_with_the_first_event_that_differs(name: str) -> None:
    difference = first_difference(draw_case(read_target(f"{MINE}:{name}"), 0))
    assert difference.startswith("event ")
    assert "world.timer" in difference


def test_deterministic_code_passes_under_another_hash_seed_too() -> None:
    assert first_difference(draw_case(read_target(f"{MINE}:Good"), 0)) == ""


def test_code_that_never_comes_back_is_stopped_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.5)
    hunted = hunt_one(read_target(f"{MINE}:Loops"), 0)
    [(kind, sentence)] = hunted.refuted.items()
    assert kind.startswith("stuck: mine.py, line ")
    assert kind.endswith("in read_any")
    assert "time stands still" in sentence


def test_an_error_inside_a_node_is_the_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["hunt", f"{MINE}:Fails", "--runs", "3", "--jobs", "1", "--out", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == told["exit_code"] == 1
    [found] = told["found"]
    assert found["kind"].startswith("defect: KeyError at mine.py, line ")
    assert "failed with KeyError" in found["sentence"]
    assert len(found["steps"]) <= 12


def test_kept_failures_are_regression_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hunt", *WEAKLY, "--runs", "60", "--jobs", "1", "--out", str(tmp_path / "hunt"), "--json"]) == 1
    [found] = json.loads(capsys.readouterr().out)["found"]
    assert found["repeat"].startswith("kvsim simulate ")
    shutil.copytree(found["folder"], tmp_path / "kept" / "lost-write")
    assert run(["hunt", "--regress", str(tmp_path / "kept")]) == 1
    assert "FAILS" in capsys.readouterr().out
    cured = tmp_path / "primary_async.py"
    cured.write_text(WEAK.read_text().replace("self.is_sync = False", "pass"))
    assert run(["hunt", f"{cured}:ClaimsTooMuch", "--regress", str(tmp_path / "kept")]) == 0
    assert "passes" in capsys.readouterr().out


def test_nothing_found_is_said_to_be_no_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hunt", f"{MINE}:Good", "--runs", "2", "--jobs", "1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "2 runs" in out
    assert "no proof" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name what to hunt"),
        (["nowhere.py:Mine"], "there is no file nowhere.py"),
        ([f"{MINE}:Gooood"], "did you mean 'Good'"),
        ([f"{MINE}:Good", "--for", "a while"], "--for: expected a quantity"),
        ([f"{MINE}:Good", "--set", "nemesis.kinds={crsh=1}"], "no fault 'crsh' can be drawn"),
        (["--regress", str(HERE)], "holds no kept failures"),
        (["no-such-experiment"], "no-such-experiment"),
    ],
)
def test_bad_input_is_explained(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hunt", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_class_that_is_no_strategy_is_refused() -> None:
    with pytest.raises(SettingsError, match="is no strategy"):
        read_target(f"{MINE}:Site")


def test_the_fewest_are_those_that_are_needed() -> None:
    assert fewest(range(50), lambda kept: {7, 31} <= set(kept)) == [7, 31]
    assert fewest(range(9), lambda kept: True) == []
    assert fewest([1, 2, 3], lambda kept: len(kept) > 1) == [2, 3]


def test_a_line_of_a_hunt_reads_back() -> None:
    import msgspec

    hunted = Hunted(3, 5, 7, {"crash": 1}, {"crash × leader": 1}, {"durability": "lost"}, ("linearizable",))
    assert msgspec.json.decode(msgspec.json.encode(hunted), type=Hunted) == hunted
