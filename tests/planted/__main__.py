"""Writes docs/planted-bugs.md: which mistake is found by what, after how much, and how short its story is.

`python -m tests.planted [SECONDS]` looks for each mistake, and into each sound world, for so many seconds of a core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from kvsim.core.message import SECOND
from kvsim.explore.explore import Exploration, explore
from tests.planted.planting import ROOT, Planted, all_planted, look_for, sound, worlds

HEAD = """# Planted bugs

<!-- Made by `make planted`; edit the patches in tests/planted instead. -->

Classic mistakes, each a patch of one protocol in `tests/planted/`, with its story at its head. Each is put into a copy
of the protocol, and `kvsim explore` looks for it in a small world, for at most {limit:.0f} seconds of a core. The steps
are those of the shortest story that was then made of it.
"""
SOUND = """
## The protocols as they are

The same worlds with the protocols unbroken: what was seen of them within {limit:.0f} seconds of a core each, and
whether that was everything within the bounds.
"""

SOUND_LIMIT_S = 20.0


def main(limit_s: float) -> None:
    """Look for all, and write the page."""
    lines = [HEAD.format(limit=limit_s)]
    protocol = ""
    for bug in all_planted():
        if bug.protocol != protocol:
            protocol = bug.protocol
            lines += [f"\n## {protocol}\n", "| mistake | found by | after | steps | how |", "|---|---|---|---|---|"]
        with tempfile.TemporaryDirectory() as folder:
            lines.append(row(bug, look_for(bug, Path(folder), limit_s)))
        print(lines[-1], flush=True)
    sound_s = min(limit_s, SOUND_LIMIT_S)
    lines += [SOUND.format(limit=sound_s), "| world | verdict | seen | bounds |", "|---|---|---|---|"]
    for protocol, name in worlds():
        found = explore(sound(protocol, name), round(sound_s * SECOND), "dfs", clock=time.process_time)
        lines.append(sound_row(protocol, name, found))
        print(lines[-1], flush=True)
    (ROOT / "docs" / "planted-bugs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def row(bug: Planted, found: Exploration) -> str:
    """One mistake."""
    name = f"[`{bug.name}`](../tests/planted/{bug.protocol}/{bug.name}.patch): {bug.story}"
    if found.story is None:
        return f"| {name} | not by `explore` in `{bug.world}` | {found.counts.schedules:,} schedules | | |"
    after = f"{found.counts.schedules + 1:,} schedules, {found.seconds:.1f} s"
    return f"| {name} | `explore` in `{bug.world}` | {after} | {len(found.story.path)} | {found.story.sentence} |"


def sound_row(protocol: str, name: str, found: Exploration) -> str:
    """One world of an unbroken protocol."""
    bounds = found.scenario.settings.bounds
    given = ", ".join(f"{b} ≤ {n}" for b in bounds.__struct_fields__ if (n := getattr(bounds, b)))
    whole = "everything" if found.is_complete else "a part"
    verdict = "refuted" if found.finding else "not refuted"
    seen = f"{whole}: {found.counts.schedules:,} schedules, {found.counts.states:,} states, {found.seconds:.0f} s"
    return f"| {protocol}, `{name}` | {verdict} | {seen} | {given or 'no faults'} |"


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
