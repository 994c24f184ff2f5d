"""Repeats a run from its `run.json` alone, and compares what comes of it with what the run left: byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from kvsim.core.settings import SettingsError
from kvsim.lab.artefacts import as_json
from kvsim.lab.experiment import load
from kvsim.lab.provenance import outside_files, outside_strategies, versions
from kvsim.lab.run import Progress, TraceFile, simulate

RUN, HISTORY, METRICS, TRACE = "run.json", "history.jsonl", "metrics.json", "trace.jsonl"


class Difference(NamedTuple):
    """The first place where the repeated run is another one."""

    file: str
    line: int
    """Counted from 1."""
    was: str
    """The line that the run left; empty where it had ended."""
    now: str


class Replayed(NamedTuple):
    """What came of repeating a run."""

    compared: tuple[str, ...]
    """The files that were compared."""
    lines: int
    """How many lines were the same."""
    changed: tuple[str, ...]
    """What decides a run and is not as it was then: versions, files from outside."""
    difference: Difference | None


class _Stopped(BaseException):
    """Ends a run at once: a node's defect would be an Exception."""


class _Compared:
    """Takes the lines of a trace, many at a time, and stops the run at the first that the file does not have."""

    def __init__(self, left: BinaryIO) -> None:
        self._left = left
        self.lines = 0
        self.difference: Difference | None = None

    def write(self, block: bytes) -> int:
        for line in block.splitlines(keepends=True):
            was = self._left.readline()
            if was != line:
                self.difference = Difference(TRACE, self.lines + 1, _text(was), _text(line))
                raise _Stopped
            self.lines += 1
        return len(block)

    def finish(self) -> None:
        """The run is over: the file must be, too."""
        if was := self._left.readline():
            self.difference = Difference(TRACE, self.lines + 1, _text(was), "")


def replay(folder: Path, progress: Progress | None = None) -> Replayed:
    """Repeat the run of this folder. Raises `SettingsError` where it holds no run that can be read."""
    folder = folder.parent if folder.name == RUN else folder
    left = {name: _read(folder / name) for name in (RUN, HISTORY, METRICS)}
    experiment = load(folder / RUN)
    setup, seed = experiment.setups[0], experiment.first_seed
    then = msgspec.json.decode(left[RUN])
    if "network" not in then:
        raise SettingsError(
            [f"{folder} is a run on a real cluster, and no two of those are alike; run it anew with: kvsim bench FILE"]
        )
    changed = tuple(_changes(then, _decides(setup, experiment.path.parent)))
    lines = 0
    trace_path = folder / TRACE
    if trace_path.is_file():
        with open(trace_path, "rb") as file:
            compared = _Compared(file)
            try:
                run = simulate(setup, seed, experiment.measures, cast(TraceFile, compared), progress)
            except _Stopped:
                return Replayed((TRACE,), compared.lines, changed, compared.difference)
            compared.finish()
            lines = compared.lines
            if compared.difference is not None:
                return Replayed((TRACE,), lines, changed, compared.difference)
    else:
        run = simulate(setup, seed, experiment.measures, None, progress)
    names: tuple[str, ...] = (TRACE,) if lines else ()
    for name, now in ((HISTORY, run.seen.history.dumps()), (METRICS, as_json(run.metrics))):
        names += (name,)
        difference = _first_difference(name, left[name], now)
        if difference is not None:
            return Replayed(names, lines + difference.line - 1, changed, difference)
        lines += now.count(b"\n")
    return Replayed(names, lines, changed, None)


def _decides(setup: Any, folder: Path) -> dict[str, Any]:
    outside = {"strategies": outside_strategies(setup), "files": outside_files(setup, folder)}
    return {"versions": versions(), "outside": outside}


def _changes(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """What of `now` was different then, by name."""
    for key, value in now.items():
        before = then.get(key, {}) if isinstance(then, dict) else {}
        if isinstance(value, dict):
            yield from _changes(before, value, f"{name}{key}.")
        elif before != value:
            yield f"{name}{key} was {before or 'not there'}, is {value}"


def _first_difference(name: str, was: bytes, now: bytes) -> Difference | None:
    if was == now:
        return None
    ours, theirs = was.split(b"\n"), now.split(b"\n")
    at = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return Difference(name, at + 1, *(_text(lines[at]) if at < len(lines) else "" for lines in (ours, theirs)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            [f"{path} cannot be read: {reason}; name the folder of one run, such as out/NAME/runs/seed=0"]
        ) from None


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
