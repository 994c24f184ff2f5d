"""Runs all points of an experiment with all their seeds, one after the other or as a sweep, with the same artefacts."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from kvsim.lab.artefacts import Artefacts, no_traceback
from kvsim.lab.experiment import Experiment, Setup, Trace
from kvsim.lab.finished import Finished
from kvsim.lab.nemesis import with_faults_drawn
from kvsim.lab.outcome import Outcome, read_outcome
from kvsim.lab.provenance import key_of
from kvsim.lab.report import Report
from kvsim.lab.results import write_csv, write_parquet
from kvsim.lab.run import Progress, Run, TraceFile, simulate
from kvsim.lab.runner import Answer, Runner, Task

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
        with no_traceback(artefacts.out):
            write_csv(runs, artefacts.out / "results.csv")
        artefacts.release()
    return report


def _share(told: Told | None, label: str, done: int, of: int) -> Progress | None:
    if told is None:
        return None
    told(label, done / of)
    return lambda share: told(label, (done + share) / of)


class _Asked(NamedTuple):
    """One run that an experiment asks for."""

    setup: Setup
    task: Task
    label: str
    key: str


def _asked(experiment: Experiment, first_seed: int, trace: Trace) -> Iterator[_Asked]:
    path = experiment.path.resolve()
    for setup in experiment.setups:
        for seed in range(first_seed, first_seed + experiment.seeds):
            is_first = setup is experiment.setups[0] and seed == first_seed
            traced = trace == "all" or (trace == "first" and is_first)
            task = Task(str(path), setup.where, setup.table, seed, experiment.measures, traced)
            key = key_of(setup, seed, experiment.measures, traced, path.parent)
            yield _Asked(setup, task, setup.run_label(seed), key)


class Sweep:
    """An experiment's runs, made by a runner. What is finished already, in the same folder, is not made again."""

    def __init__(self, experiment: Experiment, out: Path, seed: int = 0, trace: Trace = "none") -> None:
        """Raises `SettingsError` when `out` cannot be used."""
        self.experiment, self.out, self.seed = experiment, out, seed
        self.artefacts = Artefacts(out, experiment, seed)
        with no_traceback(out):
            self._finished = Finished(out / "finished")
        self._runs: dict[str, Run] = {}
        self.problems: dict[str, str] = {}
        """Runs that could not be made, by their labels, and why."""
        self._asked = list(_asked(experiment, seed, trace))
        self.reused = sum(self._reuse(one) for one in self._asked)
        """How many runs were finished before."""

    @property
    def done(self) -> int:
        """How many runs are finished."""
        return len(self._runs)

    def run(self, runner: Runner, told: Told | None = None) -> None:
        """Have all made that is not finished."""
        left: dict[str, list[_Asked]] = {}
        for one in self._asked:
            if one.label not in self._runs:
                left.setdefault(one.key, []).append(one)  # points that differ in name alone share their runs
        by_task = {id(alike[0].task): alike for alike in left.values()}
        answers = runner.run([alike[0].task for alike in left.values()])
        shown = self.done
        try:
            for task, answer in answers:
                alike = by_task[id(task)]
                self._take(answer, alike)
                if told is not None:
                    told(alike[0].label, (self.done + len(self.problems)) / len(self._asked))
                if self.done > shown * 1.1:
                    shown = self.done
                    self._write_table()
        finally:
            answers.close()
            self._write_table()

    def _take(self, answer: Answer, alike: list[_Asked]) -> None:
        if answer.problem:
            self.problems |= {one.label: answer.problem for one in alike}
            return
        with no_traceback(self.out):
            self._finished.put(alike[0].key, answer.outcome)
        outcome = read_outcome(answer.outcome)
        for one in alike:
            self._keep(one, outcome)

    def finish(self) -> Report | None:
        """Write what is over all runs, and let others use the folder; of points that lack a run nothing is in it. None
        if no point is whole."""
        lacking = {one.setup.where for one in self._asked if one.label not in self._runs}
        whole = tuple(setup for setup in self.experiment.setups if setup.where not in lacking)
        if not whole:
            self.release()
            return None
        runs = [run for run in self._in_order() if run.setup.where not in lacking]
        report = Report(self.experiment._replace(setups=whole), self.seed, runs, self.problems)
        self.artefacts.finish(report)
        self.release()
        return report

    def release(self) -> None:
        """Nothing more is written: let others use the folder."""
        self.artefacts.release()

    def write_parquet(self) -> None:
        """Write the table of all runs as Parquet too."""
        with no_traceback(self.out):
            write_parquet(self._in_order(), self.out / "results.parquet")

    def _in_order(self) -> list[Run]:
        return [self._runs[one.label] for one in self._asked if one.label in self._runs]

    def _write_table(self) -> None:
        with no_traceback(self.out):
            write_csv(self._in_order(), self.out / "results.csv")

    def _reuse(self, one: _Asked) -> bool:
        outcome = self._finished.get(one.key)
        if outcome is not None:
            self._keep(one, outcome)
        return outcome is not None

    def _keep(self, one: _Asked, outcome: Outcome) -> None:
        setup = with_faults_drawn(one.setup, one.task.seed)
        run = outcome.run(setup, one.task.seed, partial(self._finished.seen, one.key))
        self._runs[one.label] = run
        self.artefacts.keep(run, one.task.traced)
        if outcome.trace is not None:
            with self.artefacts.trace_file(one.label) as file:
                file.write(gzip.decompress(outcome.trace))
