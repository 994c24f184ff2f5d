"""The folder of a refuted run: like any other run's, with its story, its schedule, and all files that it needs."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from kvsim.core.settings import SettingsError
from kvsim.lab.artefacts import as_json, describe_run, no_traceback
from kvsim.lab.experiment import load, read_experiment
from kvsim.lab.files import copy_all
from kvsim.lab.hunt.case import Case
from kvsim.lab.hunt.story import story_of
from kvsim.lab.hunt.trial import Finding, Played, play
from kvsim.lab.hunt.untimed import transcript_of
from kvsim.lab.report import Report
from kvsim.lab.run import Run
from kvsim.sim.nemesis import schedule_toml

SCHEDULE = "The faults of this run. Edit and cut them in a copy of the experiment's file."

UNTIMED = """`transcript.txt` has what reached the nodes without its times, cut to the fewest steps that still show it,
in the form of kvsim's own tests."""
TIMED = """There is no transcript: it takes the run's own times to show this."""


class Kept(NamedTuple):
    """A refuted run in its folder."""

    folder: Path
    finding: Finding
    steps: tuple[str, ...]
    transcript: str
    """The run as commands of a transcript that has not been run yet; empty where it needs its times."""


def keep(case: Case, finding: Finding, folder: Path, origin: str, note: str) -> Kept:
    """Play the case once more and write its folder. `origin`: the file that was hunted; `note`: how it was found."""
    with no_traceback(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        case = _with_its_files(case, folder)
        trace = BytesIO()
        played = play(case, trace, metrics=True)
        found = next((other for other in played.findings if other.kind == finding.kind), None)
        assert found is not None, f"{finding.kind} was refuted by the same case a moment ago"
        steps = story_of(played, found, trace.getvalue())
        transcript = transcript_of(played, found, trace.getvalue(), f"{found.sentence}\n{note}") or ""
        (folder / "trace.jsonl").write_bytes(trace.getvalue())
        (folder / "schedule.toml").write_text(schedule_toml(case.faults, SCHEDULE), encoding="utf-8")
        (folder / "story.md").write_text(_page(played, found, steps, note, transcript), encoding="utf-8")
        run = _described(case, played, found, origin, folder)
        (folder / "run.json").write_bytes(as_json(run))
        if played.run is not None:
            _with_pictures(case, played.run, found, folder)
    return Kept(folder, found, tuple(steps), transcript)


def case_in(folder: Path) -> tuple[Case, dict[str, Any]]:
    """The case that a folder holds, and its `run.json`. Raises `SettingsError`."""
    import msgspec

    path = folder / "run.json"
    experiment = load(path)
    return Case(experiment.setups[0].table, experiment.first_seed, experiment.path), msgspec.json.decode(
        path.read_bytes()
    )


def _with_its_files(case: Case, folder: Path) -> Case:
    """Copy whatever files the case names into the folder, and name them there."""
    tables, _ = copy_all(case.tables, case.path.resolve().parent, folder)
    return Case(tables, case.seed, folder / "run.json")


def _described(case: Case, played: Played, finding: Finding, origin: str, folder: Path) -> dict[str, Any]:
    refuted = {"kind": finding.kind, "sentence": finding.sentence}
    title = f"{finding.judge} refuted"
    again = {"folder": ".", "tables": case.tables}
    if played.run is None:
        return {"title": title, "seed": case.seed, "again": again, "refuted": refuted, "origin": origin}
    experiment = read_experiment({**case.tables, "title": title}, case.path)
    return {**describe_run(played.run, experiment, folder), "again": again, "refuted": refuted, "origin": origin}


def _with_pictures(case: Case, run: Run, finding: Finding, folder: Path) -> None:
    from kvsim.lab.plots import draw_all  # imported late: plots take longer to import than a run takes
    from kvsim.lab.plots.witness import draw_witness

    (folder / "metrics.json").write_bytes(as_json(run.metrics))
    run.seen.history.to_jsonl(folder / "history.jsonl")
    experiment = read_experiment({**case.tables, "title": f"{finding.judge} refuted"}, case.path)
    draw_all(Report(experiment, case.seed, [run]), folder / "plots")
    if finding.witness is not None:
        faults = [(f.name, f.start_ns / 1e9, f.end_ns / 1e9) for f in run.seen.faults]
        title = f"{finding.judge}: what cannot be explained together"
        draw_witness(run.seen.history, finding.witness, title, folder / "plots" / "witness.png", faults)


def _page(played: Played, finding: Finding, steps: list[str], note: str, transcript: str) -> str:
    promises = [p.claim for p in played.setup.design.promises() if p.judge == finding.judge]
    promised = f"Promised: {promises[0]}.\n\n" if promises else ""
    lines = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return (
        f"# {finding.judge} refuted\n\n{promised}{finding.sentence[:1].upper()}{finding.sentence[1:]}.\n\n{lines}\n\n"
        f"{note}\n\nTimes are from the beginning of the run. Run it again, from this folder alone:\n\n"
        f"    kvsim simulate run.json\n\n{UNTIMED if transcript else TIMED}\n"
    )


def replays(folder: Path) -> bool:
    """Whether what the folder holds is refuted again in the same way, from the folder alone."""
    try:
        case, described = case_in(folder)
        findings = play(case).findings
    except SettingsError:
        return False
    return described["refuted"]["kind"] in [finding.kind for finding in findings]
