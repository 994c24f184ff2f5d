"""The hunt itself: case after case, over processes, each judged; a finished run is a line of a file to go on from."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import msgspec

from kvsim.core.settings import SettingsError
from kvsim.lab.artefacts import no_traceback
from kvsim.lab.experiment import Experiment
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.target import read_target
from kvsim.lab.hunt.trial import play
from kvsim.lab.provenance import key_of

RUNS_FILE = "hunt.jsonl"
NUMBER = re.compile(r"-\d+$")


class Hunted(msgspec.Struct, frozen=True):
    """What came of one run: a line of `hunt.jsonl`."""

    seed: int
    operations: int = 0
    simulated_ns: int = 0
    faults: dict[str, int] = {}
    """How many of a kind struck."""
    coverage: dict[str, int] = {}
    refuted: dict[str, str] = {}
    """By kind, what was seen."""
    undecided: tuple[str, ...] = ()


class Tally:
    """All runs of a hunt together."""

    def __init__(self) -> None:
        self.runs = self.operations = self.simulated_ns = 0
        self.faults: Counter[str] = Counter()
        self.coverage: Counter[str] = Counter()
        self.undecided: Counter[str] = Counter()
        self.refuted: list[Hunted] = []

    def add(self, hunted: Hunted) -> None:
        """One more run."""
        self.runs += 1
        self.operations += hunted.operations
        self.simulated_ns += hunted.simulated_ns
        self.faults.update(hunted.faults)
        self.coverage.update(hunted.coverage)
        self.undecided.update(hunted.undecided)
        if hunted.refuted:
            self.refuted.append(hunted)
            self.refuted.sort(key=lambda one: one.seed)


def hunt_one(experiment: Experiment, seed: int) -> Hunted:
    """Draw the case of a seed, play it, and say in short what came of it."""
    played = play(draw_case(experiment, seed))
    faults = [] if played.run is None else [NUMBER.sub("", fault.name) for fault in played.run.seen.faults]
    return Hunted(
        seed,
        played.operations,
        played.simulated_ns,
        dict(sorted(Counter(faults).items())),
        dict(sorted(played.coverage.items())),
        {finding.kind: finding.sentence for finding in played.findings},
        played.undecided,
    )


class Hunt:
    """A hunt in its folder. What was hunted there before, with the same code, counts."""

    def __init__(self, target: str, settings: Sequence[str], out: Path, seed: int) -> None:
        """Raises `SettingsError`."""
        self.target, self.settings, self.out, self.seed = target, tuple(settings), out, seed
        self.experiment = read_target(target, settings)
        self.tally = Tally()
        self._done: set[int] = set()
        self._file = out / RUNS_FILE
        self._read()
        self.resumed = self.tally.runs
        """Runs that were finished before."""

    def _key(self) -> str:
        home = self.experiment.path.resolve().parent
        keys = [key_of(setup, 0, (), False, home) for setup in self.experiment.setups]
        return hashlib.sha256("".join(keys).encode()).hexdigest()

    def _read(self) -> None:
        """Take over the runs of the same design and code, or begin a file anew."""
        first = msgspec.json.encode({"key": self._key(), "target": self.target}) + b"\n"
        with no_traceback(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            lines = self._file.read_bytes().splitlines(keepends=True) if self._file.is_file() else []
            if lines[:1] != [first]:
                self._file.write_bytes(first)
                return
        for line in lines[1:]:
            try:
                hunted = msgspec.json.decode(line, type=Hunted)
            except msgspec.MsgspecError:
                continue  # cut off when the hunt was killed: that seed is run again
            if hunted.seed >= self.seed and hunted.seed not in self._done:
                self._done.add(hunted.seed)
                self.tally.add(hunted)

    def run(
        self,
        *,
        runs: int | None = None,
        for_s: float | None = None,
        jobs: int = 1,
        every: bool = False,
        told: Callable[[Tally], None] | None = None,
    ) -> Tally:
        """Hunt until so many runs are made, the time is up, or something is refuted (unless `every` is wanted)."""
        until_s = None if for_s is None else time.monotonic() + for_s

        def is_over() -> bool:
            return (self.tally.refuted != [] and not every) or (until_s is not None and time.monotonic() >= until_s)

        def seeds() -> Iterator[int]:
            number = self.seed
            while not is_over() and (runs is None or number < self.seed + runs):
                if number not in self._done:
                    yield number
                number += 1

        with no_traceback(self.out), open(self._file, "ab") as file:
            for hunted in self._in_processes(seeds(), jobs) if jobs > 1 else self._here(seeds()):
                file.write(msgspec.json.encode(hunted) + b"\n")
                file.flush()
                self._done.add(hunted.seed)
                self.tally.add(hunted)
                if told is not None:
                    told(self.tally)
        return self.tally

    def _here(self, seeds: Iterator[int]) -> Iterator[Hunted]:
        for seed in seeds:
            yield hunt_one(self.experiment, seed)

    def _in_processes(self, seeds: Iterator[int], jobs: int) -> Iterator[Hunted]:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(jobs, context, _begin_process, (self.target, self.settings, os.getpid()))
        asked: set[Future[Hunted]] = set()
        try:
            while True:
                while len(asked) < 2 * jobs and (seed := next(seeds, None)) is not None:
                    asked.add(pool.submit(_hunt_one, seed))
                if not asked:
                    return
                done, asked = wait(asked, return_when=FIRST_COMPLETED)
                yield from sorted((future.result() for future in done), key=lambda hunted: hunted.seed)
        except BrokenProcessPool as error:
            why = "by os._exit, a signal or lack of memory; use --jobs 1 to see which run it is"
            raise SettingsError([f"{self.target}: a process that ran it died at once, {why}"]) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_experiment: Experiment | None = None
_parent = 0


def _begin_process(target: str, settings: Sequence[str], parent: int) -> None:
    global _experiment, _parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    _experiment, _parent = read_target(target, settings), parent


def _hunt_one(seed: int) -> Hunted:
    if hasattr(os, "getppid") and os.getppid() != _parent:
        os._exit(1)
    assert _experiment is not None, "read when the process began"
    return hunt_one(_experiment, seed)
