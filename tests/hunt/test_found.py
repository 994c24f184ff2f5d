"""The hunt finds what is weak, shrinks it to a story that repeats from its folder alone, and spares what is correct."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from kvsim.core.history import read_history
from kvsim.lab.hunt.case import Case, draw_case
from kvsim.lab.hunt.folder import case_in, keep, replays
from kvsim.lab.hunt.shrink import Shrunk, shrink
from kvsim.lab.hunt.story import STEPS_AIMED_AT
from kvsim.lab.hunt.trial import Finding, play
from kvsim.testing.transcript import TranscriptError, rerun
from tests.hunt.targets import CORRECT, WEAK_DESIGNS, correct

RUNS = 120
EARLY, ASYNC = 0, 2
"""Of the weak designs: replicas that answer before their disks, and a primary that claims to wait for its backups."""


@cache
def first_refuted(number: int) -> tuple[Case, Finding]:
    """The first run of a weak design that a judge refutes as it should be. Several tests look at the same one."""
    weak = WEAK_DESIGNS[number]
    for seed in range(RUNS):
        case = draw_case(weak.experiment(), seed)
        found = next((finding for finding in play(case).findings if finding.judge in weak.refuted), None)
        if found is not None:
            return case, found
    pytest.fail(f"not found in {RUNS} runs")


@cache
def first_shrunk(number: int) -> Shrunk:
    return shrink(*first_refuted(number), limit_tries=150)


@pytest.mark.parametrize(
    "number", range(len(WEAK_DESIGNS)), ids=lambda number: WEAK_DESIGNS[number].strategy.partition(":")[0]
)
def test_a_weak_design_is_found_and_told_in_a_few_steps_from_a_folder_of_its_own(number: int, tmp_path: Path) -> None:
    _, finding = first_refuted(number)
    shrunk = first_shrunk(number)
    assert shrunk.finding.kind == finding.kind
    assert len(shrunk.case.faults) <= 4
    assert len(shrunk.case.script) <= 8
    kept = keep(shrunk.case, shrunk.finding, tmp_path / "found", WEAK_DESIGNS[number].strategy, "Found by a test.")
    assert 2 <= len(kept.steps) <= STEPS_AIMED_AT + 2
    moved = shutil.move(tmp_path / "found", tmp_path / "moved")
    assert replays(Path(moved))
    told = (Path(moved) / "story.md").read_text(encoding="utf-8")
    assert kept.steps[0] in told


def test_the_story_of_an_early_answer_names_answer_power_cut_and_loss(tmp_path: Path) -> None:
    shrunk = first_shrunk(EARLY)
    kept = keep(shrunk.case, shrunk.finding, tmp_path / "found", "quorum", "")
    story = "\n".join(kept.steps)
    order = [story.index(part) for part in ("before its disk has", "lose power", "are back", "finds nothing there")]
    assert order == sorted(order)
    files = {path.name for path in (tmp_path / "found").rglob("*")}
    assert files >= {
        "run.json", "trace.jsonl", "history.jsonl", "metrics.json", "schedule.toml", "story.md", "timeline.png",
        "witness.png", "quorum_early.py",
    }  # fmt: skip


def test_a_kept_run_is_run_again_by_simulate_with_the_same_history(tmp_path: Path) -> None:
    keep(*first_refuted(ASYNC), tmp_path / "found", "primary", "")
    code = "import sys; from kvsim.cli.app import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "simulate", "found/run.json", "--out", "again", "--json"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    [again] = (tmp_path / "again" / "runs").rglob("history.jsonl")
    assert read_history(again).events == read_history(tmp_path / "found" / "history.jsonl").events


def test_operations_as_data_give_the_run_that_drew_them_and_its_retries() -> None:
    cases = [draw_case(correct("raft"), seed) for seed in range(12)]
    assert {case.tables["workload"].get("retries", 0) for case in cases} >= {0, 1}
    for case in (cases[0], next(case for case in cases if case.tables["workload"].get("retries"))):
        drew = play(case)
        again = play(case.with_script(list(drew.script)))
        assert drew.run is not None and again.run is not None
        assert again.run.seen.history.dumps() == drew.run.seen.history.dumps()


def test_a_case_is_data_that_names_all_that_decides_it() -> None:
    case = draw_case(correct("eventual quorum"), 3)
    again = Case(json.loads(json.dumps(case.tables)), case.seed, case.path)
    assert play(again).run.seen.history.dumps() == play(case).run.seen.history.dumps()  # type: ignore[union-attr]


def test_a_run_that_is_not_refuted_is_never_given_back() -> None:
    case, finding = first_refuted(ASYNC)
    other = Finding("linearizable", "no such refutation")
    assert shrink(case, other).case == case
    shrunk = shrink(case, finding, limit_tries=3)
    assert finding.kind in [found.kind for found in play(shrunk.case).findings]


def test_a_folder_whose_run_is_cured_no_longer_replays(tmp_path: Path) -> None:
    case, finding = first_refuted(ASYNC)
    keep(case, finding, tmp_path / "found", "primary", "")
    file = tmp_path / "found" / "files" / "primary_async.py"
    file.write_text(file.read_text().replace("self.is_sync = False", "pass"))
    assert not replays(tmp_path / "found")
    assert case_in(tmp_path / "found")[1]["refuted"]["kind"] == finding.kind


def test_a_found_run_is_a_transcript_that_holds_as_long_as_the_mistake_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrunk = first_shrunk(EARLY)
    plain = keep(shrunk.case, shrunk.finding, tmp_path, "quorum", "").transcript
    assert plain.count("crash ") >= 1
    monkeypatch.chdir(tmp_path)
    told = rerun(plain, "transcript.txt")
    assert "absent" in told.rpartition("->client ok reader")[2], "the last thing that is seen is that the write is lost"
    assert holds(told)
    file = tmp_path / "files" / "quorum_early.py"
    file.write_text(file.read_text().replace("self.replica.apply", "await self.replica.apply"))
    assert not holds(told), "once the strategy is cured its test says so"


def holds(transcript: str) -> bool:
    """Whether the nodes still do what it says; a command that makes no sense any more says that they do not."""
    try:
        return rerun(transcript, "transcript.txt") == transcript
    except TranscriptError:
        return False


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_design_survives(name: str) -> None:
    experiment = correct(name)
    for seed in range(12):
        assert play(draw_case(experiment, seed)).findings == (), f"seed {seed}"
