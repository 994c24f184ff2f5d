"""What an experiment leaves in its folder: metrics and pictures over all runs, and what it takes to repeat each run."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from kvsim.check.verdict import Refuted, verdict_as_json
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, Setup
from kvsim.lab.files import COPIES, copy_all
from kvsim.lab.initial import Initial
from kvsim.lab.lock import NAME as LOCK
from kvsim.lab.lock import FolderLock
from kvsim.lab.nemesis import with_faults_drawn
from kvsim.lab.provenance import outside_files, outside_strategies, versions
from kvsim.lab.run import Run
from kvsim.sim.nemesis import schedule_toml
from kvsim.sim.settings import describe_world

if TYPE_CHECKING:
    from kvsim.lab.report import Report

SCHEDULE = "The faults of this run, drawn by the nemesis: put them in place of [nemesis] to edit and cut them."
FOLDERS_KEPT = 50
"""Of more runs than this, only those that failed, were traced or broke a promise keep a folder."""


class Artefacts:
    """Writes the artefacts of an experiment. Raises `SettingsError` where the folder is not ours, not writable, or in
    use by another process; until `release`, nobody else can use it."""

    def __init__(self, out: Path, experiment: Experiment, seed: int) -> None:
        self.out, self.experiment, self.seed = out, experiment, seed
        with no_traceback(out):
            others = [entry for entry in out.iterdir() if entry.name != LOCK] if out.is_dir() else []
            if others and not (out / "metrics.json").is_file():
                raise SettingsError([f"{out} holds other files than results of kvsim; name another folder with --out"])
            out.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(out)
            (out / "metrics.json").write_bytes(b"{}\n")  # from now on the folder is known as ours
            for name in ("runs", "plots"):
                shutil.rmtree(out / name, ignore_errors=True)

    @contextmanager
    def trace_file(self, label: str) -> Iterator[BinaryIO]:
        """Where the trace of this run goes."""
        folder = self._folder(label)
        with no_traceback(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "trace.jsonl", "wb") as file:
                yield file

    def keep(self, run: Run, asked_for: bool) -> None:
        """Write a run's folder, if it is to have one."""
        claimed = {promise.judge for promise in run.setup.design.promises()}
        refuted = any(name in claimed and isinstance(verdict, Refuted) for name, verdict in run.verdicts.items())
        if self.experiment.runs > FOLDERS_KEPT and not (asked_for or run.failures or refuted):
            return
        folder = self._folder(run.label)
        with no_traceback(folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder / COPIES, ignore_errors=True)
            (folder / "run.json").write_bytes(as_json(describe_run(run, self.experiment, folder)))
            (folder / "metrics.json").write_bytes(as_json(run.metrics))
            run.seen.history.to_jsonl(folder / "history.jsonl")
            if any(setup.nemesis is not None for setup in self.experiment.setups):
                schedule = with_faults_drawn(run.setup, run.seed).table.get("faults", [])
                (folder / "schedule.toml").write_text(schedule_toml(schedule, SCHEDULE), encoding="utf-8")

    def finish(self, report: Report) -> None:
        """Write what is over all runs."""
        from kvsim.lab.page import page  # imported late, as plots take longer to import than the command line to answer
        from kvsim.lab.plots import draw_all

        with no_traceback(self.out):
            (self.out / "metrics.json").write_bytes(as_json(report.metrics))
            plots = draw_all(report, self.out / "plots")
            (self.out / "report.html").write_text(page(report, plots), encoding="utf-8")

    def release(self) -> None:
        """Nothing more is written: let others use the folder."""
        self._lock.release()

    def _folder(self, label: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "=,.-_()+" else "_" for c in label)
        if len(safe) > 120 or safe != label:
            safe = f"{safe[:100]}-{hashlib.blake2b(label.encode(), digest_size=4).hexdigest()}"
        return self.out / "runs" / safe


def as_json(data: Any) -> bytes:
    """JSON for people and programs, the same bytes for the same data."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def describe_run(run: Run, experiment: Experiment, folder: Path) -> dict[str, Any]:
    """`run.json`: all that decides a run, and in short what came of it. Files that the run needs are copied to its
    folder."""
    seen, home = run.seen, experiment.path.resolve().parent
    setup = with_faults_drawn(run.setup, run.seed)
    tables, copies = copy_all(setup.table, home, folder)
    measure = {"measure": {"use": list(experiment.measures)}} if experiment.measures else {}
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "where": dict(setup.where),
        "seed": run.seed,
        "again": {"folder": ".", "tables": tables | measure},
        **describe_setup(setup),
        "versions": versions(),
        "outside": _by_their_copies(
            {"strategies": outside_strategies(setup), "files": outside_files(setup, home)}, copies
        ),
        "phases_s": {name.removesuffix("_ns"): value / 1e9 for name, value in seen.phases._asdict().items()},
        "faults_s": [
            {"name": fault.name, "start": fault.start_ns / 1e9, "end": fault.end_ns / 1e9, "nodes": list(fault.nodes)}
            for fault in seen.faults
        ],
        "errors": dict(sorted(Counter(seen.errors.values()).items())),
        "verdicts": {name: verdict_as_json(verdict) for name, verdict in run.verdicts.items()},
        "failures": list(run.failures),
    }


def _by_their_copies(outside: dict[str, dict[str, Any]], copies: Mapping[str, str]) -> dict[str, Any]:
    """What is from outside, named as in the run's folder."""
    return {
        "strategies": {
            axis: {**said, "strategy": copies.get(said["strategy"], said["strategy"])}
            for axis, said in outside["strategies"].items()
        },
        "files": {copies.get(name, name): digest for name, digest in outside["files"].items()},
    }


def describe_setup(setup: Setup) -> dict[str, Any]:
    """The whole setup with every default filled in."""
    return {
        "design": setup.design.described(),
        "cluster": msgspec.to_builtins(setup.cluster),
        **({} if setup.world is None else describe_world(setup.world)),
        **({} if setup.initial == Initial() else {"initial": msgspec.to_builtins(setup.initial)}),
        "workload": msgspec.to_builtins(setup.workload),
        "faults": [msgspec.to_builtins(fault) for fault in setup.faults],
    }


@contextmanager
def no_traceback(place: Path) -> Iterator[None]:
    """A full disk or a forbidden folder is the user's to mend, not a defect."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError([f"cannot write {place}: {reason}; name another folder with --out"]) from error
