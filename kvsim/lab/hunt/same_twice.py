"""Whether node code is deterministic: the same run twice in this process and once in another must leave one trace.

The second run shows a module's global state, the clock and chance; the other process, with another hash seed, the order
of sets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import msgspec

from kvsim.check.wording import counted
from kvsim.core.trace import Entry
from kvsim.lab.hunt.case import Case
from kvsim.lab.hunt.trial import play
from kvsim.lab.hunt.watchdog import place_of_frame

OTHER_HASH_SEED = "20171"


class _Comparing:
    """Takes a run's entries, and notes the first that differs from another run's, and what code was at work then."""

    def __init__(self, first: list[bytes]) -> None:
        self.first, self.number = first, 0
        self.difference = ""

    def take(self, entry: Entry) -> None:
        """The next entry."""
        self.number += 1
        if not self.difference:
            expected = self.first[self.number - 1] if self.number <= len(self.first) else b""
            line = entry.line()
            if line != expected:
                self.difference = _told(self.number, expected, line, place_of_frame(sys._getframe()))


def first_difference(case: Case) -> str:
    """The first event that differs between two runs of the case, and where the code was; empty if none does."""
    first = BytesIO()
    play(case, first)
    lines = first.getvalue().splitlines(keepends=True)
    second = _Comparing(lines)
    play(case, each=second.take)
    if second.difference:
        return second.difference
    other = _in_another_process(case)
    for number, (here, there) in enumerate(zip(lines, other, strict=False), 1):
        if here != there:
            return _told(number, here, there, "run under another PYTHONHASHSEED: the order of a set, or hash()")
    return "" if len(lines) == len(other) else f"one run has {counted(len(lines), 'event')}, the other {len(other):,}"


def _told(number: int, first: bytes, second: bytes, place: str) -> str:
    return f"event {number}: first {_event(first)}, then {_event(second)}" + (f" ({place})" if place else "")


def _event(line: bytes) -> str:
    return line.decode().strip()[:300] or "nothing"


def _in_another_process(case: Case) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "trace.jsonl"
        asked = msgspec.json.encode({"tables": case.tables, "seed": case.seed, "path": str(case.path.resolve())})
        environment = {**os.environ, "PYTHONHASHSEED": OTHER_HASH_SEED}
        subprocess.run(
            [sys.executable, "-m", "kvsim.lab.hunt.same_twice", str(to)], input=asked, env=environment, check=True
        )
        return to.read_bytes().splitlines(keepends=True)


def _trace_to_file() -> None:
    asked = msgspec.json.decode(sys.stdin.buffer.read())
    with open(sys.argv[1], "wb") as file:
        play(Case(asked["tables"], asked["seed"], Path(asked["path"])), file)


if __name__ == "__main__":
    _trace_to_file()
