"""`kvsim simulate`: run an experiment in the simulated world, and say what it showed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from kvsim.lab.experiment import Experiment, Trace
    from kvsim.lab.sweep import RunOne


def simulate(
    experiment: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="An experiment's file, or a bundled one's name.")
    ],
    out: Annotated[
        Path | None, typer.Option(help=r"Folder for metrics, plots and report \[default: out/NAME].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=r"The first seed \[default: 0].")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file: workload.clients=10.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Write what the nodes did in the first run.")] = False,
    trace_all: Annotated[bool, typer.Option("--trace-all", help="Write what the nodes did in every run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the whole design and its promises, and run nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an experiment in the simulated world.

    Exit code 0: every finding held and no promise was refuted; 1: one did not or was; 2: the input is wrong; 3: a
    claimed promise stayed unknown.

    Example: kvsim simulate quorum-staleness --set vary.seeds=1
    """
    from kvsim.lab.experiment import load

    loaded = load(experiment, set_ or ())
    if dry_run:
        _show_design(loaded, json)
        return
    from kvsim.lab.run import simulate as simulate_one

    written: Trace = "all" if trace_all else "first" if trace else "none"
    run_and_show(loaded, simulate_one, seed, out or Path("out") / loaded.name, written, json)


def run_and_show(
    experiment: Experiment, run_one: RunOne, seed: int | None, out: Path, trace: Trace, json: bool
) -> NoReturn:
    """Run everything, say what it showed, and end with the exit code."""
    from kvsim.check.wording import counted
    from kvsim.cli.progress import progress
    from kvsim.lab.sweep import run_experiment

    with progress(counted(experiment.runs, "run"), quiet=json) as told:
        first_seed = experiment.first_seed if seed is None else seed
        report = run_experiment(experiment, first_seed, out, trace, told, run_one)
    if json:
        _print_json(report.as_json())
    else:
        from kvsim.cli.tables import show_report

        show_report(report, out)
    raise typer.Exit(report.exit_code)


def _show_design(experiment: Experiment, json: bool) -> None:
    from kvsim.lab.artefacts import describe_setup

    if json:
        points = [
            {
                "point": setup.label,
                **describe_setup(setup),
                "moot": list(setup.design.moot()),
                "promises": [
                    {"subject": promise.subject, "claim": promise.claim, "judge": promise.judge}
                    for promise in setup.design.promises()
                ],
            }
            for setup in experiment.setups
        ]
        _print_json(
            {"title": experiment.title, "question": experiment.question, "runs": experiment.runs, "points": points}
        )
        return
    from kvsim.cli.tables import show_design

    show_design(experiment)


def _print_json(data: object) -> None:
    from kvsim.lab.artefacts import as_json

    sys.stdout.write(as_json(data).decode())
