"""`kvsim explore`: every order of a small run's events, and the shortest of those that break a promise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.check.wording import counted
from kvsim.cli.scenario_file import read_file

if TYPE_CHECKING:
    from kvsim.explore.explore import Exploration, Progress

EXIT = {"not_refuted": 0, "refuted": 1, "unknown": 3}


def explore(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME|RUN", help=r"An experiment's file; its \[explore] says what is asked. Or a run's folder."
        ),
    ],
    for_: Annotated[str, typer.Option("--for", help="How long to search.")] = "60s",
    mode: Annotated[
        str, typer.Option(help="dfs: everything; bfs: by number of faults; pct: random walks; auto: dfs, then pct.")
    ] = "auto",
    bound: Annotated[
        list[str] | None, typer.Option("--bound", metavar="KIND=N", help="How often at most: crashes=1, timers=2.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key: design.replication.w=1.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin at this moment of a simulated run; FILE is its folder.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For the random walks.")] = 0,
    out: Annotated[Path | None, typer.Option(help=r"Folder of the story \[default: out/NAME-explored].")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try every order of deliveries, losses, timers, crashes and restarts of a small run.

    Exit code 0: every schedule within the bounds keeps what is promised; 1: one does not; 2: the input is wrong;
    3: not all was seen, or something that must happen in some schedule never did.

    Example: kvsim explore mine.toml --for 30s --bound crashes=1

    Example: kvsim explore out/mine/runs/seed=0 --at 1.5s --bound timers=2
    """
    from kvsim.explore.explore import explore as search

    limit_ns = _limit_ns(for_)
    if mode not in ("auto", "dfs", "bfs", "pct"):
        raise typer.BadParameter(f"{mode!r} is no mode; there are auto, dfs, bfs, pct", param_hint="--mode")
    scenario = read_file(experiment, [*(set_ or ()), *(f"explore.bounds.{pair}" for pair in bound or ())], at)
    with _watched(quiet=json) as told:
        found = search(scenario, limit_ns, mode, seed, told)  # type: ignore[arg-type]
    folder = out or Path("out") / f"{scenario.name}-explored"
    written = _write(found, folder) if found.story is not None else None
    if json:
        _print_json(found, written)
    else:
        from kvsim.cli.explored import show

        show(found, written)
    raise typer.Exit(EXIT[found.verdict])


def _limit_ns(text: str) -> int:
    from kvsim.core.settings import duration_ns

    try:
        return duration_ns(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None


@contextmanager
def _watched(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """One line that tells how far the search has come, on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda progress: None
        return
    with console.status("exploring") as status:
        last_s = 0.0

        def told(progress: Progress) -> None:
            nonlocal last_s
            if progress.seconds - last_s < 0.2:
                return
            last_s = progress.seconds
            counts = progress.counts
            share = "" if progress.share is None else f", about {progress.share:.1%} of all"
            faults = "" if progress.faults is None else f" with {counted(progress.faults, 'fault')}"
            status.update(
                f"{counted(counts.schedules, 'schedule')}{faults}, {counted(counts.states, 'state')}, "
                f"depth {counts.deepest}, {counts.schedules / max(progress.seconds, 1e-9):,.0f} a second{share}"
            )

        yield told


def _write(found: Exploration, folder: Path) -> Path:
    """The refuted schedule as `story.md`, and as a transcript with what the nodes did."""
    from kvsim.explore.told import story, transcript
    from kvsim.testing.transcript import rerun

    assert found.story is not None
    folder.mkdir(parents=True, exist_ok=True)
    sentence = found.story.sentence
    title = f"{found.scenario.name}: a schedule of {counted(len(found.story.path), 'step')}"
    told = story(found.world, found.beginning, found.story.path, sentence, title)
    (folder / "story.md").write_text(told, encoding="utf-8")
    if found.scenario.past is not None:
        return folder  # a transcript begins with a new cluster
    plain = transcript(found.world, found.beginning, found.story.path, sentence)
    (folder / "transcript.txt").write_text(rerun(plain, "transcript.txt"), encoding="utf-8")
    return folder


def _print_json(found: Exploration, folder: Path | None) -> None:
    import msgspec

    from kvsim.explore.told import consequences, sentence

    plain = {
        "verdict": found.verdict,
        "complete": found.is_complete,
        "share": found.share,
        "complete_to_faults": found.complete_to_faults,
        "mode": found.mode,
        "seed": found.seed,
        "seconds": round(found.seconds, 3),
        "schedules": found.counts.schedules,
        "states": found.counts.states,
        "steps": found.counts.steps,
        "deepest": found.counts.deepest,
        "histories": found.histories,
        "goals": [{"name": g.name, "reached": g.reached, "nearest": g.nearest, "of": g.of} for g in found.goals],
        "undecided": found.undecided,
        "why": found.story.sentence if found.story else None,
        "folder": str(folder) if folder else None,
        "story": [],
    }
    if found.story is not None:
        state = found.beginning.state
        for action in found.story.path:
            outcome = found.world.act(state, action)
            told = {"step": sentence(found.world, state, action), "then": consequences(found.world, outcome)}
            plain["story"].append(told)  # type: ignore[attr-defined]
            state = outcome.state
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n")
