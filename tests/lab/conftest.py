"""What the lab's tests share: a small experiment to write to a file, and runs written by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kvsim.core.design import Cluster
from kvsim.core.history import Recorder
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases

SMALL = """
title = "A small experiment"
question = "Does it run?"

[design]
replication = { strategy = "quorum", n = 3, r = 1, w = 2 }
consistency = "eventual"

[cluster]
nodes = 3

[workload]
mix = "ycsb-a"
keys = { count = 10, distribution = "uniform" }
clients = 3
duration = "100ms"
settle = "100ms"
"""

MS = 1_000_000
ONE_SECOND = Phases(0, 0, 1_000 * MS, 1_000 * MS, 2_000 * MS)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small experiment, with more at its end, and gives its path."""

    def write(more: str = "", name: str = "small.toml", text: str = SMALL) -> Path:
        path = tmp_path / name
        path.write_text(text + more, encoding="utf-8")
        return path

    return write


@pytest.fixture
def seen() -> Callable[..., Observations]:
    """Observations of a run written by hand: process, invoked, completed, outcome, op, key, value; times in ms."""

    def observe(
        lines: Sequence[tuple[int, int, int | None, str, str, str, Any]],
        phases: Phases = ONE_SECOND,
        errors: dict[int, str] | None = None,
        intended_ns: dict[int, int] | None = None,
        faults: Sequence[FaultWindow] = (),
        costs: Costs | None = None,
    ) -> Observations:
        recorder = Recorder()
        moments = [(invoked, 1, number) for number, (_, invoked, *_) in enumerate(lines)]
        moments += [(end, 0, number) for number, (_, _, end, *_) in enumerate(lines) if end is not None]
        for time, kind, number in sorted(moments):
            process, _, _, outcome, op, key, value = lines[number]
            if kind:
                recorder.invoke(process, time * MS, op, key, None if op == "read" else value)  # type: ignore[arg-type]
            else:
                recorder.complete(process, time * MS, outcome, value if op == "read" else None)  # type: ignore[arg-type]
        return Observations(
            recorder.history,
            phases,
            Cluster(data=("data-1", "data-2"), frontends=("frontend-1",)),
            errors=errors or {},
            intended_ns=intended_ns or {},
            faults=list(faults),
            costs=costs or Costs(),
        )

    return observe
