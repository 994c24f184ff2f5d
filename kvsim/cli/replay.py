"""`kvsim replay`: repeat a run from its folder, and see whether it is the same to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXIT_DIFFERS = 1
WIDEST = 2_000


def replay(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, such as out/NAME/runs/seed=0.")],
) -> None:
    """Repeat a run from its run.json, and stop at the first event that differs.

    Compared are history.jsonl, metrics.json and, where there is one, trace.jsonl. Exit code: 0 the same, 1 it differs,
    2 the folder cannot be read.

    Example: kvsim replay out/quorum-staleness/runs/r=1,seed=0
    """
    from kvsim.cli.progress import progress
    from kvsim.lab.replay import replay as replay_run

    with progress("replay") as told:
        found = replay_run(run, None if told is None else lambda share: told("", share))
    for change in found.changed:
        print(f"not as it was: {change}")
    if found.difference is None:
        print(f"the same: {', '.join(found.compared)}; {found.lines:,} lines")
        return
    different = found.difference
    print(f"differs: {different.file}, line {different.line:,}; the {found.lines:,} lines before are the same")
    print(f"  then: {different.was[:WIDEST] or '(ended here)'}")
    print(f"  now:  {different.now[:WIDEST] or '(ends here)'}")
    if not found.changed:
        print("nothing that decides a run has changed: a strategy draws, or orders, by something outside its host")
    raise typer.Exit(EXIT_DIFFERS)
