"""Writes docs/planted-bugs.md: which mistake is found by what, after how much, and how short its stories are.

`python -m tests.planted [SECONDS]` explores and hunts each mistake, and looks into each sound world, for so many
seconds of a core; it takes some 25 minutes of one. What was found stays in out/planted, with its stories, so that it
goes on where it was as long as neither kvsim nor the patches change.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from kvsim.core.message import SECOND
from kvsim.explore.explore import explore
from kvsim.explore.told import story
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.folder import keep
from kvsim.lab.hunt.shrink import shrink
from kvsim.lab.hunt.trial import play
from tests.planted.planting import ROOT, Planted, all_planted, hunted, look_for, sound, worlds

FOLDER = ROOT / "out" / "planted"
PAGE = ROOT / "docs" / "planted-bugs.md"
SOUND_LIMIT_S = 20.0
SHRINK_S = 60.0
HEAD = """# Planted bugs

<!-- Made by `make planted`; edit the patches in tests/planted instead. -->

Classic mistakes, each a patch of one protocol in `tests/planted/`, with its story at its head. Each is put into a copy
of the protocol. `kvsim explore` looks for it in a small world, `kvsim hunt` in timed runs under drawn faults, each for
at most {limit:.0f} seconds of a core. The steps are those of the story that was then made of what was found.

{found} of {all} mistakes are found by `explore`, {hunted} by `hunt`, {either} by one of the two. The median story has
{median:g} steps: {explored_median:g} of those that were explored, {hunted_median:g} of those that were hunted; each
mistake's shorter one {shorter:g}.
"""
SOUND = """
## The protocols as they are

The same worlds with the protocols unbroken: what was seen of them within {limit:.0f} seconds of a core each, and
whether that was everything within the bounds.
"""


class Found(msgspec.Struct, frozen=True):
    """What came of one search for one mistake."""

    tried: int
    """Schedules, or runs."""
    seconds: float
    steps: int | None = None
    """Of its story; None where it was not found."""
    sentence: str = ""


class Row(msgspec.Struct, frozen=True):
    """One mistake."""

    explored: Found
    hunted: Found


def by_explore(bug: Planted, folder: Path, limit_s: float) -> Found:
    """Explore the mistake in its world."""
    found = look_for(bug, folder, limit_s)
    if found.story is None:
        return Found(found.counts.schedules, found.seconds)
    path = found.story.path
    text = story(found.world, found.beginning, path, found.story.sentence, f"{bug.protocol}: {bug.name}")
    kept = FOLDER / bug.protocol / bug.name
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "explored.md").write_text(text, encoding="utf-8")
    return Found(found.counts.schedules + 1, found.seconds, len(path), found.story.sentence)


def by_hunt(bug: Planted, folder: Path, limit_s: float) -> Found:
    """Hunt the mistake as its author would."""
    experiment = hunted(bug, folder)
    begun_s, runs, took_s = time.process_time(), 0, 0.0
    while took_s < limit_s:
        case = draw_case(experiment, runs)
        findings = play(case).findings
        runs, took_s = runs + 1, time.process_time() - begun_s
        if findings:
            shrunk = shrink(case, findings[0], limit_s=SHRINK_S)
            note = f"Found with seed {runs - 1}, and shrunk by playing {shrunk.tries:,} others."
            kept = keep(shrunk.case, shrunk.finding, FOLDER / bug.protocol / bug.name / "hunted", bug.name, note)
            return Found(runs, took_s, len(kept.steps), shrunk.finding.sentence)
    return Found(runs, took_s)


def look_for_both(bug: Planted, limit_s: float, key: str) -> Row:
    """Both searches, or what they found before with the same code."""
    file = FOLDER / bug.protocol / bug.name / f"{key}.json"
    if file.is_file():
        return msgspec.json.decode(file.read_bytes(), type=Row)
    with tempfile.TemporaryDirectory() as folder:
        row = Row(by_explore(bug, Path(folder), limit_s), by_hunt(bug, Path(folder), limit_s))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(row))
    return row


def sound_row(protocol: str, name: str, limit_s: float) -> str:
    """One world of an unbroken protocol."""
    found = explore(sound(protocol, name), round(limit_s * SECOND), "dfs", clock=time.process_time)
    bounds = found.scenario.settings.bounds
    given = ", ".join(f"{b} ≤ {n}" for b in bounds.__struct_fields__ if (n := getattr(bounds, b)))
    whole = "everything" if found.is_complete else "a part"
    verdict = "refuted" if found.finding else "not refuted"
    seen = f"{whole}: {found.counts.schedules:,} schedules, {found.counts.states:,} states, {found.seconds:.0f} s"
    return f"| {protocol}, `{name}` | {verdict} | {seen} | {given or 'no faults'} |"


def table_row(bug: Planted, row: Row) -> str:
    """One mistake, as the page has it."""
    told = [found for found in (row.explored, row.hunted) if found.steps is not None]
    cells = [
        f"[`{bug.name}`](../tests/planted/{bug.protocol}/{bug.name}.patch): {bug.story}",
        f"{_after(row.explored, 'schedules')} in `{bug.world}`",
        _steps(row.explored),
        _after(row.hunted, "runs"),
        _steps(row.hunted),
        min(told, key=lambda found: found.steps or 0).sentence.replace("|", "\\|") if told else "",
    ]
    return f"| {' | '.join(cells)} |"


def _steps(found: Found) -> str:
    return "" if found.steps is None else str(found.steps)


def _after(found: Found, what: str) -> str:
    if found.steps is None:
        return f"not in {found.seconds:.0f} s ({found.tried:,} {what})"
    return f"{found.tried:,} {what if found.tried != 1 else what[:-1]}, {found.seconds:.1f} s"


def head(rows: list[Row], limit_s: float) -> str:
    """The page's beginning, with its sums."""
    explored = [row.explored.steps for row in rows if row.explored.steps is not None]
    hunted_ = [row.hunted.steps for row in rows if row.hunted.steps is not None]
    shorter = [min(steps) for row in rows if (steps := [s for s in (row.explored.steps, row.hunted.steps) if s])]
    return HEAD.format(
        limit=limit_s, found=len(explored), all=len(rows), hunted=len(hunted_), either=len(shorter),
        median=_median([*explored, *hunted_]), explored_median=_median(explored), hunted_median=_median(hunted_),
        shorter=_median(shorter),
    )  # fmt: skip


def _median(numbers: list[int]) -> float:
    return statistics.median(numbers) if numbers else 0


def key_of_code(limit_s: float) -> str:
    """Names what the results rest on: kvsim's sources, the patches and worlds, and the limit."""
    digest = hashlib.sha256(str(limit_s).encode())
    for folder in ("kvsim", "tests/planted"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".patch", ".toml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main(limit_s: float) -> None:
    """Look for all, over all cores, and write the page."""
    key, sound_s, bugs = key_of_code(limit_s), min(limit_s, SOUND_LIMIT_S), all_planted()
    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
        looking = [pool.submit(look_for_both, bug, limit_s, key) for bug in bugs]
        looks = [pool.submit(sound_row, protocol, name, sound_s) for protocol, name in worlds()]
        for bug, future in zip(bugs, looking, strict=True):
            rows.append(row := future.result())
            found = f"explored {_after(row.explored, 'schedules')}; hunted {_after(row.hunted, 'runs')}"
            print(f"{len(rows):2}/{len(bugs)} {bug.protocol}/{bug.name}: {found}", flush=True)
        sound_rows = [future.result() for future in looks]
    lines = [head(rows, limit_s)]
    for protocol in dict.fromkeys(bug.protocol for bug in bugs):
        lines += [f"\n## {protocol}\n", "| mistake | explored: after | steps | hunted: after | steps | what is seen |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [table_row(bug, row) for bug, row in zip(bugs, rows, strict=True) if bug.protocol == protocol]
    lines += [SOUND.format(limit=sound_s), "| world | verdict | seen | bounds |", "|---|---|---|---|", *sound_rows]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
