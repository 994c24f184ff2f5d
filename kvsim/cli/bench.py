"""`kvsim bench`: run an experiment on a real cluster, its own or one that runs already, and say what it showed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.simulate import run_and_show

if TYPE_CHECKING:
    from kvsim.lab.experiment import Trace


def bench(
    experiment: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="An experiment's file, or a bundled one's name.")
    ],
    against: Annotated[
        str, typer.Option(metavar="URL", help="Run the workload against the running cluster with this HTTP door.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help=r"Folder for metrics, plots and report \[default: out/NAME-real].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=r"The first seed \[default: 0].")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file: workload.clients=10.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Write what the nodes did in the first run.")] = False,
    trace_all: Annotated[bool, typer.Option("--trace-all", help="Write what the nodes did in every run.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run an experiment on a real cluster: processes on this machine, or whatever is behind a door.

    The workload and the faults are those of the file, and so are the artefacts; time is real. Exit codes are those of
    kvsim simulate.

    Example: kvsim bench quorum-staleness --set vary.seeds=1
    """
    from kvsim.check.wording import counted
    from kvsim.core.settings import SettingsError, shown_duration
    from kvsim.lab.experiment import load
    from kvsim.lab.real_run import FINDINGS, OwnCluster, RunningCluster, about_ns, on_own_clusters, on_running_cluster
    from kvsim.lab.sweep import RunOne

    loaded = load(experiment, set_ or ())
    folder = out or Path("out") / f"{loaded.name}-real"
    run_one: RunOne
    written: Trace = "all" if trace_all else "first" if trace else "none"
    if against:
        from kvsim.cli.where import ask_cluster

        if written != "none":
            raise SettingsError(["--trace: nodes record what they do from their start on; leave out --against"])

        loaded = on_running_cluster(loaded, against, ask_cluster(against))
        run_one = RunningCluster(against)
    else:
        loaded = on_own_clusters(loaded, written != "none")
        run_one = OwnCluster(loaded, folder)
    if not json:
        runs = counted(loaded.runs, "run")
        print(f"{runs} in real time: about {shown_duration(about_ns(loaded))}", file=sys.stderr, flush=True)
        if loaded.expectations:
            print(FINDINGS, file=sys.stderr, flush=True)
    run_and_show(loaded, run_one, seed, folder, written, json)
