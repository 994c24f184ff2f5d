"""Explores the small worlds of the correct protocols whole, and writes docs/explored-worlds.md.

`python -m tests.explore [NAME …]`: those named, or all; rows of those that did not run stay as they are.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kvsim.core.message import SECOND
from kvsim.core.settings import toml_name
from kvsim.explore.explore import Exploration, Progress, explore
from kvsim.explore.scenario import Scenario
from tests.explore.worlds import whole, whole_names

PAGE = Path(__file__).parent.parent.parent / "docs" / "explored-worlds.md"
LIMIT_S = 600
HEAD = f"""# Worlds explored whole

<!-- Made by `make explore`; edit the worlds in tests/explore/whole instead. -->

The protocols as they are, each in a small world of which **every** schedule within the bounds was tried: all orders of
messages, disks, timers, crashes, restarts and broken connections, for at most {LIMIT_S // 60} minutes of a core. Orders
that differ only in steps of different nodes count once, and so do moments that are the same. The judges are those of
what the design promises, and the protocol's own invariants.

Where a row does not say *everything*, the time was up before, and it says which share of the world was seen. Times are
those of one core of a shared machine, under the Python named.

"""
COLUMNS = (
    "| world | what is asked | bounds | seen | schedules | states | steps | deepest | CPU time | memory | Python |"
)


def main(names: list[str]) -> int:
    """Explore, and write each row as it comes; 1 where one was refuted."""
    if unknown := [name for name in names if name not in whole_names()]:
        sys.exit(f"there is no world {unknown[0]}; there is {', '.join(whole_names())}")
    if len(names) != 1:  # each in a process of its own, so that each row has its own memory
        command = [sys.executable, "-m", "tests.explore"]
        return max(subprocess.run([*command, name], check=False).returncode for name in names or whole_names())
    [name] = names
    found = explore(whole(name), LIMIT_S * SECOND, "dfs", told=_Told(name), clock=time.process_time)
    written = row(name, found)
    print(written, flush=True)
    write(name, written)
    return int(found.verdict == "refuted")


class _Told:
    """A line every so often."""

    def __init__(self, name: str) -> None:
        self._name, self._next_s = name, 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.seconds >= self._next_s:
            self._next_s = progress.seconds + 10
            share = f"{progress.share or 0:.1%}"
            print(
                f"{self._name}: {progress.seconds:.0f} s, {progress.counts.states:,} states, about {share}", flush=True
            )


def row(name: str, found: Exploration) -> str:
    """One world as a line of the table."""
    counts, scenario = found.counts, found.scenario
    asked = "; ".join(_asked(scenario))
    seen = "everything" if found.is_complete else f"about {found.share or 0:.1%}"
    verdict = f"**refuted**: {found.story.sentence}" if found.story else f"{seen}, not refuted"
    goals = "".join(f"; never reached: {goal.name}" for goal in found.goals if not goal.reached)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    cells = (
        f"[`{name}`](../tests/explore/whole/{name}.toml)", asked, ", ".join(_bounds(scenario)), verdict + goals,
        f"{counts.schedules:,}", f"{counts.states:,}", f"{counts.steps:,}", str(counts.deepest),
        f"{found.seconds:.0f} s", f"{memory:,} MB", platform.python_version(),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _asked(scenario: Scenario) -> Iterator[str]:
    if scenario.settings.begin:
        yield f"after {', '.join(f'`{text}`' for text in scenario.settings.begin)}"
    for client, asks in zip(scenario.clients, scenario.asks, strict=True):
        yield ", ".join(f"{client}: {ask.words} at {' or '.join(ask.doors)}" for ask in asks)


def _bounds(scenario: Scenario) -> Iterator[str]:
    bounds = scenario.settings.bounds
    for field in bounds.__struct_fields__:
        if most := getattr(bounds, field):
            yield f"{toml_name(field)} ≤ {most}"


def write(name: str, written: str) -> None:
    """Put a row into the page, in the place of the world's former one."""
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    rows = {line.split("`")[1]: line for line in old if line.startswith("| [`")}
    rows[name] = written
    known = [rows[name] for name in whole_names() if name in rows]
    table = [COLUMNS, "|---" * (COLUMNS.count("|") - 1) + "|", *known]
    PAGE.write_text(HEAD + "\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
