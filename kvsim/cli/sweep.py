"""`kvsim sweep`: run a grid over all cores, or on a Dask cluster; what is finished is never run again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from kvsim.check.wording import counted

if TYPE_CHECKING:
    from kvsim.lab.experiment import Experiment, TooManyRuns, Trace
    from kvsim.lab.runner import Runner
    from kvsim.lab.sweep import Sweep

EXIT_FAILED = 1


def sweep(
    experiment: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="An experiment's file, or a bundled one's name.")
    ],
    out: Annotated[Path | None, typer.Option(help=r"Folder for results and report \[default: out/NAME].")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help=r"Processes \[default: one for each core].")] = None,
    on: Annotated[str, typer.Option(metavar="dask:ADDRESS", help="Run on a Dask cluster: dask:tcp://HOST:8786.")] = "",
    seed: Annotated[int | None, typer.Option(min=0, help=r"The first seed \[default: 0].")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file: workload.clients=10.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Write what the nodes did in the first run.")] = False,
    trace_all: Annotated[bool, typer.Option("--trace-all", help="Write what the nodes did in every run.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write results.parquet too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Run a grid of any size.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an experiment's grid over all cores.

    The artefacts are the same as those of kvsim simulate.

    After Ctrl-C or a crash the same command goes on where it was: finished runs are kept in the folder's `finished`,
    by a hash of all that decides them. Exit codes are those of kvsim simulate; a run that could not be made is a 1.

    Example: kvsim sweep quorum-staleness --set vary.seeds=20
    """
    from kvsim.lab.experiment import TooManyRuns, load
    from kvsim.lab.sweep import Sweep

    if parquet:
        from kvsim.lab.results import require_parquet

        require_parquet()
    workers = jobs or os.cpu_count() or 1
    try:
        loaded = load(experiment, set_ or (), however_many=yes)
    except TooManyRuns as many:
        _refuse(many, workers, seed or 0)
    first_seed = loaded.first_seed if seed is None else seed
    traced: Trace = "all" if trace_all else "first" if trace else "none"
    sweeping = Sweep(loaded, out or Path("out") / loaded.name, first_seed, traced)
    if sweeping.reused and not json:
        are = "is" if sweeping.reused == 1 else "are"
        _tell(f"{sweeping.reused:,} of {counted(loaded.runs, 'run')} {are} finished already")
    _run(sweeping, loaded, _runner(on, workers), json)
    _show(sweeping, parquet, json)


def _refuse(many: TooManyRuns, workers: int, seed: int) -> NoReturn:
    """Say how long it would take, from how long the first run takes."""
    import time

    from kvsim.core.settings import SettingsError, shown_duration
    from kvsim.lab.run import simulate

    begun = time.perf_counter()
    simulate(many.first, seed)
    one_s = time.perf_counter() - begun
    whole_ns = round(many.runs * one_s / workers * 1e9)
    estimate = f"about {_long(whole_ns)} in {workers} processes (the first took {shown_duration(round(one_s * 1e9))})"
    raise SettingsError([f"{counted(many.runs, 'run')} would take {estimate}; vary less, or say --yes"])


def _long(duration_ns: int) -> str:
    minutes = duration_ns // 60_000_000_000
    for size, name in ((1440, "days"), (60, "hours"), (1, "minutes")):
        if minutes >= 2 * size:
            return f"{minutes // size:,} {name}"
    return "a minute or two"


def _runner(on: str, workers: int) -> Runner:
    from kvsim.core.settings import SettingsError
    from kvsim.lab.runner import Processes

    if not on:
        return Processes(workers)
    kind, _, address = on.partition(":")
    if kind != "dask" or not address:
        raise SettingsError([f"--on {on}: expected dask:ADDRESS, such as dask:tcp://127.0.0.1:8786"])
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number
        is_whole = False
    if not is_whole:
        raise SettingsError([f"--on {on}: the address names no port; write dask:tcp://HOST:8786"])
    from kvsim.lab.on_dask import Dask

    return Dask(address)


def _run(sweeping: Sweep, experiment: Experiment, runner: Runner, quiet: bool) -> None:
    from kvsim.cli.progress import progress

    try:
        with progress(counted(experiment.runs, "run"), quiet) as told:
            sweeping.run(runner, told)
    except KeyboardInterrupt:
        _tell(f"stopped; {sweeping.done:,} of {counted(experiment.runs, 'run')} finished, and the same command goes on")
        raise


def _show(sweeping: Sweep, parquet: bool, json: bool) -> None:
    if parquet:
        sweeping.write_parquet()
    report = sweeping.finish()
    if report is None:
        for label, problem in sweeping.problems.items():
            _tell(f"{label}: {problem}")
        raise typer.Exit(EXIT_FAILED)
    if json:
        from kvsim.lab.artefacts import as_json

        sys.stdout.write(as_json(report.as_json()).decode())
    else:
        from kvsim.cli.tables import show_report

        show_report(report, sweeping.out)
        print(f"results   {sweeping.out / 'results.csv'}")
    raise typer.Exit(report.exit_code)


def _tell(text: str) -> None:
    print(f"kvsim sweep: {text}", file=sys.stderr, flush=True)
