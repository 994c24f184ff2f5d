"""Runs all points of an experiment with all their seeds, one after the other, and keeps what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from kvsim.lab.artefacts import Artefacts
from kvsim.lab.experiment import Experiment, Setup, Trace
from kvsim.lab.report import Report
from kvsim.lab.run import Progress, Run, TraceFile, simulate

Told = Callable[[str, float], None]
"""Told the label of the run under way, and the share of all runs that is done."""


class RunOne(Protocol):
    """Runs one setup in some world."""

    def __call__(
        self, setup: Setup, seed: int, measures: tuple[str, ...], trace: TraceFile | None, progress: Progress | None
    ) -> Run: ...


def run_experiment(
    experiment: Experiment,
    seed: int = 0,
    out: Path | None = None,
    trace: Trace = "none",
    told: Told | None = None,
    run_one: RunOne = simulate,
) -> Report:
    """Run everything; with `out`, leave the artefacts there. Raises `SettingsError` when `out` cannot be used."""
    artefacts = None if out is None else Artefacts(out, experiment, seed)
    runs: list[Run] = []
    for setup in experiment.setups:
        for number in range(experiment.seeds):
            traced = artefacts is not None and (trace == "all" or (trace == "first" and not runs))
            progress = _share(told, setup.run_label(seed + number), len(runs), experiment.runs)
            if artefacts is not None and traced:
                with artefacts.trace_file(setup.run_label(seed + number)) as file:
                    run = run_one(setup, seed + number, experiment.measures, file, progress)
            else:
                run = run_one(setup, seed + number, experiment.measures, None, progress)
            if artefacts is not None:
                artefacts.keep(run, traced)
            runs.append(run)
    report = Report(experiment, seed, runs)
    if artefacts is not None:
        artefacts.finish(report)
    return report


def _share(told: Told | None, label: str, done: int, of: int) -> Progress | None:
    if told is None:
        return None
    told(label, done / of)
    return lambda share: told(label, (done + share) / of)
