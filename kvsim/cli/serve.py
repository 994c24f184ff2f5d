"""`kvsim serve`: a real cluster on this machine, each node a process, with HTTP and RESP doors for clients."""

from __future__ import annotations

import queue
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from kvsim.core.message import NodeId
    from kvsim.real.cluster_file import ClusterFile
    from kvsim.real.supervisor import NodeEnded, Supervisor

HTTP_PORT = 8420
RESP_PORT = 6420
DEFAULT_DESIGN: dict[str, Any] = {"replication": "raft", "consistency": "linearizable", "durability": "disk"}
DEFAULT_NODES = 3
LONGEST_WAIT_S = 1.0
"""How late Ctrl-C may be noticed where signals do not wake a waiting thread."""
LEADERS = ("leader", "primary")
ELECTION_S = 2.0
"""How long a new cluster may take to have a leader before it is said that none is known."""
LOOK_AGAIN_S = 0.05


class Wanted(NamedTuple):
    """What the command line and the experiment's file ask for."""

    design: dict[str, Any]
    nodes: int
    frontends: int
    folder: Path
    where: str


def serve(
    experiment: Annotated[
        str, typer.Argument(help="Serve this experiment's design and cluster: a file, or a bundled name.")
    ] = "",
    nodes: Annotated[
        int, typer.Option("--nodes", help="ServerData nodes.", min=0, show_default="3, or the file's")
    ] = 0,
    http: Annotated[
        int, typer.Option("--http", help="Port of the first HTTP door; the next doors follow.", min=0, max=65_535)
    ] = HTTP_PORT,
    resp: Annotated[
        int, typer.Option("--resp", help="Port of the first RESP door; the next doors follow.", min=0, max=65_535)
    ] = RESP_PORT,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where the nodes keep their data.")] = Path("kvsim-data"),
) -> None:
    """Run a real cluster until Ctrl-C.

    Without an experiment: Raft, three ServerData nodes, one ServerFrontend, durable.

    Example: kvsim serve quorum-staleness --http 8420 --resp 6420
    """
    from kvsim.core.settings import SettingsError
    from kvsim.real.cluster_file import ClusterFileError
    from kvsim.real.cluster_folder import cluster_in
    from kvsim.real.ports import PortError
    from kvsim.real.supervisor import Supervisor, SupervisorError

    wanted = _wanted(experiment, nodes)
    try:
        file = cluster_in(
            data_dir,
            wanted.design,
            nodes=wanted.nodes,
            frontends=wanted.frontends,
            folder=wanted.folder,
            where=wanted.where,
            http_ports=_ports(http, wanted),
            resp_ports=_ports(resp, wanted),
        )
        for ending in (signal.SIGINT, signal.SIGTERM):  # a script that starts it with & has SIGINT ignored
            signal.signal(ending, _interrupt)
        with Supervisor(file) as cluster:
            sound = _run(file, cluster)
    except (ClusterFileError, PortError, SupervisorError) as error:
        raise SettingsError([str(error)]) from error
    if not sound:
        raise typer.Exit(1)


def _wanted(experiment: str, nodes: int) -> Wanted:
    if not experiment:
        return Wanted(DEFAULT_DESIGN, nodes or DEFAULT_NODES, 1, Path(), "serve")
    from kvsim.lab.experiment import load

    read = load(experiment)
    setup = read.setups[0]
    cluster = setup.table.get("cluster", {})
    return Wanted(
        design=dict(setup.table.get("design", {})),
        nodes=nodes or len(setup.cluster.data),
        frontends=cluster.get("frontends", 1),
        folder=read.path.parent,
        where=f"{read.path.name}: design",
    )


def _ports(first: int, wanted: Wanted) -> list[int]:
    """A port for each door; 0 stays 0: any that is free."""
    most = max(wanted.frontends, wanted.nodes)
    return [first + number if first else 0 for number in range(most)]


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _greet(file: ClusterFile, cluster: Supervisor) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "process", "HTTP", "RESP"):
        table.add_column(column, no_wrap=True)
    for node in cluster.nodes:
        http, resp = file.http.get(node), file.resp.get(node)
        table.add_row(
            node,
            str(cluster.pid(node)),
            f"http://{file.door_host}:{http}" if http else "",
            f"{file.door_host}:{resp}" if resp else "",
        )
    console.print(table)
    http, resp = next(iter(file.http.values())), next(iter(file.resp.values()))
    url = f"http://{file.door_host}:{http}"
    role, leader = _leader(cluster)
    victim = leader or cluster.nodes[-1]
    console.print(f"\nData and logs: {file.data_dir}\n\nTry, in another terminal:", markup=False, soft_wrap=True)
    for command in (
        f"redis-cli -p {resp} set greeting hello",
        f"curl {url}/v1/kv/greeting",
        f"kvsim client {url} get greeting",
        f"kvsim where greeting --url {url}",
        f"kill -9 {cluster.pid(victim)}",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)
    if role and leader:
        console.print(f"\nProcess {cluster.pid(leader)} is {leader}, the {role} now.", soft_wrap=True)
    elif role:
        console.print(f"\nProcess {cluster.pid(victim)} is {victim}; the leader: kvsim where greeting --url {url}")
    console.print("\nCtrl-C stops the cluster.")
    sys.stdout.flush()


def _leader(cluster: Supervisor) -> tuple[str, NodeId | None]:
    """What the design calls its leader, and who it is; an empty name where nodes have no roles, nobody where none is
    elected in time."""
    from kvsim.real.supervisor import SupervisorError

    until_s = time.monotonic() + ELECTION_S
    try:
        while any(cluster.status(node)["roles"] for node in cluster.nodes):
            for role in LEADERS:
                if leader := cluster.role(role):
                    return role, leader
            if time.monotonic() > until_s:
                return LEADERS[0], None
            time.sleep(LOOK_AGAIN_S)  # noqa: TID251 - an election tells nobody that it is over
    except SupervisorError:  # a node ended meanwhile, which is told of next
        return LEADERS[0], None
    return "", None


def _run(file: ClusterFile, cluster: Supervisor) -> bool:
    """Greet; then, until Ctrl-C, tell of nodes that ended, and start again those that can be. Whether none stopped
    itself."""
    from kvsim.real.supervisor import SupervisorError

    sound = True
    try:
        _greet(file, cluster)
        while True:
            try:
                ended = cluster.ended.get(timeout=LONGEST_WAIT_S)
            except queue.Empty:
                continue
            sound = sound and ended.code <= 0
            try:
                print(f"kvsim: {ended}; {_begun_again(cluster, ended)}", file=sys.stderr, flush=True)
            except SupervisorError as error:
                print(f"kvsim: {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopping …", file=sys.stderr, flush=True)
    return sound


def _begun_again(cluster: Supervisor, ended: NodeEnded) -> str:
    if ended.code > 0:  # its own decision: a failed disk, a defect; starting again could make it worse
        return "it stays down; look at its log before you serve again"
    cluster.restart(ended.node)
    return f"started again as process {cluster.pid(ended.node)}"
