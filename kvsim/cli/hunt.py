"""`kvsim hunt`: look for the run that breaks a promise, shrink it, and tell its story."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from kvsim.check.wording import counted

if TYPE_CHECKING:
    from kvsim.lab.hunt.folder import Kept
    from kvsim.lab.hunt.hunting import Hunt, Tally

REFUTED = 1
USUAL_TIME = "60s"
TRANSCRIPT = "transcript.txt"


def hunt(
    target: Annotated[
        str | None,
        typer.Argument(metavar="FILE|NAME|FILE.py:CLASS", help="An experiment, or a strategy of your own file."),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help=r"How long to hunt \[default: 60s, unless --runs].")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="How many runs, those of a resumed hunt included.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help=r"Processes \[default: one for each core].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    all_: Annotated[bool, typer.Option("--all", help="Go on after a refutation, and shrink one of each kind.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file: cluster.nodes=5.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help=r"Folder of the hunt \[default: out/hunt-NAME].")] = None,
    regress: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Play the shrunk failures kept there; none may fail any more.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run many small clusters under drawn faults and workloads, judged by whatever their design promises.

    What is refuted is shrunk and told in OUT/found/…/story.md. The same command goes on where it was. Exit code 0:
    nothing was refuted; 1: something was; 2: the input is wrong.

    Example: kvsim hunt mine.py:MyQuorum --for 5min
    """
    if regress is not None:
        _regress(regress, target, set_ or [], json)
    from kvsim.core.settings import SettingsError, duration_ns
    from kvsim.lab.hunt.hunting import Hunt

    if target is None:
        raise SettingsError(["name what to hunt: an experiment, or a strategy such as mine.py:MyQuorum"])
    try:
        for_ns = duration_ns(for_ or USUAL_TIME) if for_ or runs is None else None
    except ValueError as error:
        raise SettingsError([f"--for: {error}"]) from error
    name = target.rpartition("/")[2].replace(".toml", "").replace(".py:", "-")
    hunting = Hunt(target, set_ or (), out or Path("out") / f"hunt-{name}", seed)
    _check_twice(hunting, json)
    tally = _run(hunting, runs, None if for_ns is None else for_ns / 1e9, jobs or os.cpu_count() or 1, all_, json)
    _show(hunting, tally, _keep(hunting, tally, all_, json), json)


def _check_twice(hunting: Hunt, json: bool) -> None:
    """Of a user's own code: is it deterministic? Else nothing that is found could be repeated."""
    from kvsim.lab.hunt.case import draw_case
    from kvsim.lab.hunt.same_twice import first_difference
    from kvsim.lab.provenance import outside_strategies

    for setup in hunting.experiment.setups[:1]:
        if not outside_strategies(setup):
            return
        difference = first_difference(draw_case(hunting.experiment, hunting.seed))
        if difference:
            remedy = "use host.chance, host.now() and dict or sorted(), and keep no state in modules and classes"
            said = f"{hunting.target} is not deterministic, so nothing found could be repeated: {difference}; {remedy}"
            _print_json({"nondeterministic": difference, "exit_code": REFUTED}) if json else _tell(said)
            raise typer.Exit(REFUTED)


def _run(hunting: Hunt, runs: int | None, for_s: float | None, jobs: int, every: bool, json: bool) -> Tally:
    from rich.console import Console

    console = Console(stderr=True)
    if hunting.resumed and not json:
        _tell(f"{counted(hunting.resumed, 'run')} of this hunt {'was' if hunting.resumed == 1 else 'were'} made before")
    if json or not console.is_terminal:
        return hunting.run(runs=runs, for_s=for_s, jobs=jobs, every=every)
    with console.status("the first runs") as status:
        return hunting.run(
            runs=runs, for_s=for_s, jobs=jobs, every=every, told=lambda tally: status.update(_in_short(tally))
        )


def _in_short(tally: Tally) -> str:
    faults = ", ".join(f"{count:,} × {kind}" for kind, count in sorted(tally.faults.items())) or "none"
    hours = tally.simulated_ns / 3.6e12
    return (
        f"{counted(tally.runs, 'run')}, {hours:.2f} simulated hours, {counted(tally.operations, 'operation')} judged; "
        f"faults: {faults}; {counted(len(tally.coverage), 'pair')} of fault and role; {len(tally.refuted)} refuted"
    )


def _keep(hunting: Hunt, tally: Tally, every: bool, json: bool) -> list[tuple[int, Kept]]:
    """Shrink the first refuted run, or with `every` the first of each kind, and write its folder."""
    from rich.console import Console

    from kvsim.lab.hunt.case import draw_case
    from kvsim.lab.hunt.folder import keep
    from kvsim.lab.hunt.shrink import shrink
    from kvsim.lab.hunt.trial import Finding

    first: dict[str, tuple[int, Finding]] = {}
    for hunted in tally.refuted:
        for kind, sentence in hunted.refuted.items():
            first.setdefault(kind, (hunted.seed, Finding(kind, sentence)))
    kept = []
    console = Console(stderr=True, quiet=json)
    for kind, (seed, finding) in list(first.items())[: None if every else 1]:
        with console.status(f"shrinking {kind}") as status:
            shrunk = shrink(draw_case(hunting.experiment, seed), finding, status.update)
        folder = hunting.out / "found" / f"seed-{seed}-{finding.judge}"
        tries = counted(shrunk.tries, "other")
        note = f"Found with seed {seed}, after {counted(tally.runs, 'run')}, and shrunk by playing {tries}."
        kept.append((seed, keep(shrunk.case, shrunk.finding, folder, hunting.target, note)))
        _write_transcript(kept[-1][1])
    return kept


def _write_transcript(kept: Kept) -> None:
    """With what the nodes do below each command, as a test has it; strategies of one's own lie in the folder."""
    from contextlib import chdir

    from kvsim.testing.transcript import rerun

    if kept.transcript:
        with chdir(kept.folder):
            Path(TRANSCRIPT).write_text(rerun(kept.transcript, TRANSCRIPT), encoding="utf-8")


def _show(hunting: Hunt, tally: Tally, kept: list[tuple[int, Kept]], json: bool) -> NoReturn:
    code = REFUTED if tally.refuted else 0
    if json:
        _print_json(_as_json(hunting, tally, kept, code))
        raise typer.Exit(code)
    print(_in_short(tally))
    for line in _coverage(tally):
        print(f"  {line}")
    for name, count in sorted(tally.undecided.items()):
        of = "it" if count == 1 else "them"
        print(f"the judge of {name} gave up on {counted(count, 'run')}, which says nothing of {of}")
    for seed, found in kept:
        print(f"\n{found.finding.kind} refuted: {found.finding.sentence}\n")
        for number, step in enumerate(found.steps, 1):
            print(f"  {number:2}. {step}")
        print(f"\nstory    {found.folder / 'story.md'}")
        if found.transcript:
            print(f"test     {found.folder / TRANSCRIPT}")
        print(f"repeat   kvsim simulate {shlex.quote(str(found.folder / 'run.json'))}")
        print(f"unshrunk {_command(hunting, seed)}")
    if not kept:
        print("nothing was refuted, which is no proof")
    raise typer.Exit(code)


def _coverage(tally: Tally) -> list[str]:
    """Whom the faults struck, a line for each kind: `crash: follower 31, leader 12`."""
    struck: dict[str, list[str]] = {}
    for pair, count in sorted(tally.coverage.items()):
        kind, _, state = pair.partition(" × ")
        struck.setdefault(kind, []).append(f"{state} {count:,}")
    return [f"{kind}: {', '.join(states)}" for kind, states in struck.items()]


def _command(hunting: Hunt, seed: int) -> str:
    settings = "".join(f" --set {shlex.quote(setting)}" for setting in hunting.settings)
    return f"kvsim hunt {shlex.quote(hunting.target)}{settings} --seed {seed} --runs 1 --out {hunting.out}-{seed}"


def _as_json(hunting: Hunt, tally: Tally, kept: list[tuple[int, Kept]], code: int) -> dict[str, object]:
    return {
        "target": hunting.target,
        "runs": tally.runs,
        "simulated_s": tally.simulated_ns / 1e9,
        "operations": tally.operations,
        "faults": dict(sorted(tally.faults.items())),
        "coverage": dict(sorted(tally.coverage.items())),
        "undecided": dict(sorted(tally.undecided.items())),
        "refuted_seeds": [hunted.seed for hunted in tally.refuted],
        "found": [
            {
                "kind": found.finding.kind,
                "sentence": found.finding.sentence,
                "seed": seed,
                "steps": list(found.steps),
                "folder": str(found.folder),
                "transcript": str(found.folder / TRANSCRIPT) if found.transcript else None,
                "repeat": f"kvsim simulate {shlex.quote(str(found.folder / 'run.json'))}",
                "unshrunk": _command(hunting, seed),
            }
            for seed, found in kept
        ],
        "exit_code": code,
    }


def _regress(folder: Path, target: str | None, settings: list[str], json: bool) -> NoReturn:
    from kvsim.lab.hunt.regress import regress
    from kvsim.lab.hunt.target import read_target

    present = None if target is None else read_target(target, settings)
    rows = []
    for replayed in regress(folder, present):
        rows.append(replayed)
        if not json:
            is_cured = not replayed.refuted
            print(f"{'passes' if is_cured else 'FAILS '}  {replayed.folder}  (was {replayed.kind})")
            for kind, sentence in replayed.refuted.items():
                print(f"        {kind}: {sentence}")
    failing = [replayed for replayed in rows if replayed.refuted]
    code = REFUTED if failing else 0
    if json:
        failures = [
            {"folder": str(r.folder), "was": r.kind, "refuted": r.refuted, "passes": not r.refuted} for r in rows
        ]
        _print_json({"failures": failures, "exit_code": code})
    else:
        fail = "fails" if len(failing) == 1 else "fail"
        print(f"{len(failing)} of {counted(len(rows), 'kept failure')} still {fail}")
    raise typer.Exit(code)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _print_json(data: object) -> None:
    from kvsim.lab.artefacts import as_json

    sys.stdout.write(as_json(data).decode())
