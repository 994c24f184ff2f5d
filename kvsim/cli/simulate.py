"""`kvsim simulate`: run an experiment in the simulated world, and say what it showed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kvsim.lab.experiment import Experiment
    from kvsim.lab.report import Report


def simulate(
    experiment: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="An experiment's file, or a bundled one's name.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for metrics, plots and report [default: out/NAME].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The first seed [default: 0].")] = None,
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
    """
    from kvsim.lab.experiment import load

    loaded = load(experiment, set_ or ())
    if dry_run:
        _show_design(loaded, json)
        return
    report = _run(loaded, seed, out, "all" if trace_all else "first" if trace else "none", quiet=json)
    if json:
        _print_json(report.as_json())
    else:
        from kvsim.cli.tables import show_report

        show_report(report, out or default_folder(loaded))
    raise typer.Exit(report.exit_code)


def default_folder(experiment: Experiment) -> Path:
    """Where artefacts go when nobody says where."""
    return Path("out") / experiment.name


def _run(experiment: Experiment, seed: int | None, out: Path | None, trace: str, quiet: bool) -> Report:
    from kvsim.cli.progress import progress
    from kvsim.lab.sweep import run_experiment

    with progress(f"{experiment.runs} runs" if experiment.runs > 1 else "1 run", quiet) as told:
        return run_experiment(
            experiment,
            experiment.first_seed if seed is None else seed,
            out or default_folder(experiment),
            trace,  # type: ignore[arg-type]
            told,
        )


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
