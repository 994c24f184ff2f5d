"""The hunt finds what is weak, shrinks it to a story that repeats from its folder alone, and spares what is correct."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvsim.core.history import read_history
from kvsim.lab.experiment import Experiment
from kvsim.lab.hunt.case import Case, draw_case
from kvsim.lab.hunt.folder import case_in, keep, replays
from kvsim.lab.hunt.shrink import shrink
from kvsim.lab.hunt.story import STEPS_AIMED_AT
from kvsim.lab.hunt.trial import Finding, play
from tests.hunt.targets import CORRECT, WEAK_DESIGNS, Weak, correct

RUNS = 120


def first_refuted(experiment: Experiment) -> tuple[Case, Finding]:
    for seed in range(RUNS):
        case = draw_case(experiment, seed)
        if findings := play(case).findings:
            return case, findings[0]
    pytest.fail(f"not found in {RUNS} runs")


@pytest.mark.parametrize("weak", WEAK_DESIGNS, ids=lambda weak: weak.strategy.partition(":")[0])
def test_a_weak_design_is_found_and_told_in_a_few_steps_from_a_folder_of_its_own(weak: Weak, tmp_path: Path) -> None:
    case, finding = first_refuted(weak.experiment())
    assert finding.judge in weak.refuted
    shrunk = shrink(case, finding, limit_tries=150)
    assert shrunk.finding.kind == finding.kind
    assert len(shrunk.case.faults) <= 4
    assert len(shrunk.case.script) <= 8
    kept = keep(shrunk.case, shrunk.finding, tmp_path / "found", weak.strategy, "Found by a test.")
    assert 3 <= len(kept.steps) <= STEPS_AIMED_AT + 2
    moved = shutil.move(tmp_path / "found", tmp_path / "moved")
    assert replays(Path(moved))
    told = (Path(moved) / "story.md").read_text(encoding="utf-8")
    assert kept.steps[0] in told


def test_the_story_of_an_early_answer_names_answer_power_cut_and_loss(tmp_path: Path) -> None:
    case, finding = first_refuted(WEAK_DESIGNS[0].experiment())
    shrunk = shrink(case, finding)
    kept = keep(shrunk.case, shrunk.finding, tmp_path / "found", "quorum", "")
    story = "\n".join(kept.steps)
    order = [
        story.index(part) for part in ("before its disk has", "lose power", "back, with what", "finds nothing there")
    ]
    assert order == sorted(order)
    files = {path.name for path in (tmp_path / "found").rglob("*")}
    assert files >= {
        "run.json", "trace.jsonl", "history.jsonl", "metrics.json", "schedule.toml", "story.md", "timeline.png",
        "witness.png", "quorum_early.py",
    }  # fmt: skip


def test_a_kept_run_is_run_again_by_simulate_with_the_same_history(tmp_path: Path) -> None:
    case, finding = first_refuted(WEAK_DESIGNS[2].experiment())
    keep(case, finding, tmp_path / "found", "primary", "")
    code = "import sys; from kvsim.cli.app import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "simulate", "found/run.json", "--out", "again", "--json"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    [again] = (tmp_path / "again" / "runs").rglob("history.jsonl")
    assert read_history(again).events == read_history(tmp_path / "found" / "history.jsonl").events


def test_operations_as_data_give_the_run_that_drew_them() -> None:
    for seed in range(4):
        case = draw_case(correct("raft"), seed)
        drew = play(case)
        again = play(case.with_script(list(drew.script)))
        assert drew.run is not None and again.run is not None
        assert again.run.seen.history.dumps() == drew.run.seen.history.dumps()


def test_a_case_is_data_that_names_all_that_decides_it() -> None:
    case = draw_case(correct("eventual quorum"), 3)
    again = Case(json.loads(json.dumps(case.tables)), case.seed, case.path)
    assert play(again).run.seen.history.dumps() == play(case).run.seen.history.dumps()  # type: ignore[union-attr]


def test_a_run_that_is_not_refuted_is_never_given_back() -> None:
    case, finding = first_refuted(WEAK_DESIGNS[2].experiment())
    other = Finding("linearizable", "no such refutation")
    assert shrink(case, other).case == case
    shrunk = shrink(case, finding, limit_tries=3)
    assert finding.kind in [found.kind for found in play(shrunk.case).findings]


def test_a_folder_whose_run_is_cured_no_longer_replays(tmp_path: Path) -> None:
    case, finding = first_refuted(WEAK_DESIGNS[2].experiment())
    keep(case, finding, tmp_path / "found", "primary", "")
    file = tmp_path / "found" / "primary_async.py"
    file.write_text(file.read_text().replace("self.is_sync = False", "pass"))
    assert not replays(tmp_path / "found")
    assert case_in(tmp_path / "found")[1]["refuted"]["kind"] == finding.kind


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_design_survives(name: str) -> None:
    experiment = correct(name)
    for seed in range(12):
        assert play(draw_case(experiment, seed)).findings == (), f"seed {seed}"
