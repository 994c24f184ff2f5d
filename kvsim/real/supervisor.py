"""The supervisor: starts a cluster's node processes, waits until they are ready, hurts them when asked, and stops them.

It outlives none of its nodes' ends unnoticed, and none of them outlives it.
"""

from __future__ import annotations

import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from kvsim.core.message import NodeId
from kvsim.core.stock import Held
from kvsim.real.cluster_file import ClusterFile, Plan, fingerprint_of, plan_of
from kvsim.real.control import AskHeld, AskStatus, Done, Order, Ready, Report, SetFaults, line, read_report
from kvsim.real.data_directory import DataDirectoryError, HeldDirectory
from kvsim.real.filter import LinkFault
from kvsim.real.ports import PortError, Reservation, free_ports
from kvsim.real.process import EXIT_DISK
from kvsim.strategies.catalogue import cluster_of, read_design
from kvsim.transport.tcp import Address

CLUSTER_FILE = "cluster.json"
"""Its name in the cluster's data directory."""
READY_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class SupervisorError(Exception):
    """A cluster could not be started or steered; the message says which node, why, and what to do."""


class NodeEnded(msgspec.Struct, frozen=True):
    """A node process that ended without being told to."""

    node: NodeId
    code: int
    """Its exit code; below zero, the signal that killed it."""
    reason: str

    def __str__(self) -> str:
        how = f"was killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"ended with code {self.code}"
        return f"{self.node} {how}{f': {self.reason}' if self.reason else ''}"


def new_cluster_file(
    design: Mapping[str, Any],
    *,
    nodes: int,
    frontends: int = 1,
    data_dir: Path,
    folder: Path = Path(),
    where: str = "design",
    http_ports: Sequence[int] | None = None,
    resp_ports: Sequence[int] | None = None,
    seed: int = 0,
    record: bool = False,
) -> ClusterFile:
    """A file for a new cluster on free loopback ports. `design` is what `[design]` in an experiment says.

    `http_ports` and `resp_ports`: a port for each door, from the first on; 0 takes a free one; None opens no such door.
    Raises `SettingsError` where the design makes no sense.
    """
    read = read_design(design, where, nodes, folder)
    cluster = cluster_of(read, nodes, frontends)
    everyone, doors = cluster.everyone(), cluster.doors()
    free = iter(free_ports(len(everyone) + 2 * len(doors)))

    def opened(ports: Sequence[int] | None) -> dict[NodeId, int]:
        return {} if ports is None else {d: port or next(free) for d, port in zip(doors, ports, strict=False)}

    return ClusterFile(
        cluster_id=secrets.token_hex(8),
        design=dict(design),
        nodes=nodes,
        frontends=frontends,
        addresses={node: Address("127.0.0.1", next(free)) for node in everyone},
        data_dir=str(data_dir.resolve()),
        fingerprint=fingerprint_of(read, nodes, frontends),
        folder=str(folder.resolve()),
        seed=seed,
        http=opened(http_ports),
        resp=opened(resp_ports),
        record=record,
    )


class Supervisor:
    """A cluster of processes. `with Supervisor(file) as cluster:` starts it, and stops it at the end, whatever happens.

    `cluster.file` says where the nodes and doors listen; `ended` holds the nodes that ended without being told to.
    """

    def __init__(self, file: ClusterFile, *, ready_timeout_s: float = READY_TIMEOUT_S) -> None:
        self.file = file
        self.plan: Plan = plan_of(file, "cluster file")
        self.ended: queue.SimpleQueue[NodeEnded] = queue.SimpleQueue()
        self.path = Path(file.data_dir) / CLUSTER_FILE
        self._ready_timeout_s = ready_timeout_s
        self._nodes: dict[NodeId, _Process] = {}
        self._faults: dict[NodeId, dict[NodeId, LinkFault]] = {}
        """What stands now, also for nodes that are down or paused, which learn of it when they go on."""
        self._reservation = Reservation(())
        self._held: HeldDirectory | None = None

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """All nodes, running or not."""
        return self.plan.cluster.everyone()

    def start(self) -> None:
        """Start every node, and return when all are ready. Raises `SupervisorError`, with nothing left running."""
        try:
            self._held = HeldDirectory(Path(self.file.data_dir))
            self._reservation = Reservation(self._addresses())
        except (DataDirectoryError, PortError) as error:
            self.stop()
            raise SupervisorError(str(error)) from error
        try:
            self._check_former_data()
            self.file.write(self.path)
            for node in self.nodes:
                self._launch(node)
            deadline = time.monotonic() + self._ready_timeout_s
            for node in self.nodes:
                self._nodes[node].wait_until_ready(deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all nodes in good order; those that do not are killed."""
        running = [process for process in self._nodes.values() if process.running()]
        for process in running:
            process.tell_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            process.wait_or_kill(deadline)
        for process in self._nodes.values():
            process.close()
        self._reservation.close()
        if self._held is not None:
            self._held.release()

    def kill(self, node: NodeId) -> None:
        """End a node at once, as `kill -9` does; returns when it is dead."""
        self._process(node).kill()

    def kill_all(self) -> None:
        """End all nodes at once, as a power cut of the whole cluster does to processes."""
        running = [process for process in self._nodes.values() if process.running()]
        for process in running:
            process.send(signal.SIGKILL)
        for process in running:
            process.kill()

    def pause(self, node: NodeId) -> None:
        """Stop a node's time (SIGSTOP): it holds its connections and answers nothing, the supervisor neither."""
        process = self._process(node)
        process.paused = True
        process.send(signal.SIGSTOP)

    def resume(self, node: NodeId) -> None:
        """Let a paused node go on, with the faults that now stand; harmless for one that runs."""
        process = self._process(node)
        process.send(signal.SIGCONT)
        process.paused = False
        self._tell_faults(node)

    def restart(self, *nodes: NodeId) -> None:
        """Start nodes that ended; returns when they are ready. Refuses one whose disk failed: look at it first."""
        for node in nodes:
            former = self._nodes[node]
            if former.running():
                raise SupervisorError(f"{node} is running; kill or stop it before it is started again")
            if former.code() == EXIT_DISK:
                raise SupervisorError(f"{node} is not started again: {former.last_words()}")
            former.close()
            self._launch(node)
        deadline = time.monotonic() + self._ready_timeout_s
        for node in nodes:
            self._nodes[node].wait_until_ready(deadline)
            if self._faults.get(node):
                self._tell_faults(node)

    def set_faults(self, faults: Mapping[NodeId, Mapping[NodeId, LinkFault]]) -> None:
        """Let these faults stand: for each sender, by receiver. What was set before is healed, so `{}` heals all."""
        former, self._faults = self._faults, {node: dict(links) for node, links in faults.items()}
        for node in self._hearing():
            if self._faults.get(node) != former.get(node):
                self._tell_faults(node)

    def partition(self, *sides: Sequence[NodeId]) -> None:
        """Cut all links between nodes of different sides, both ways."""
        side_of = {node: number for number, side in enumerate(sides) for node in side}
        self.set_faults(
            {
                node: {other: LinkFault(cut=True) for other, side in side_of.items() if side != mine}
                for node, mine in side_of.items()
            }
        )

    def status(self, node: NodeId) -> dict[str, Any]:
        """A node's roles, view and counts."""
        return self._process(node).order(AskStatus())

    def held(self, node: NodeId) -> list[Held] | None:
        """What a node's replica holds; None where it has none."""
        return msgspec.convert(self._process(node).order(AskHeld())["held"], list[Held] | None)

    def role(self, name: str) -> NodeId | None:
        """The running node that now has this role ("leader", "primary"); None where none or several claim it."""
        claimants = [node for node in self._hearing() if name in self._nodes[node].order(AskStatus()).get("roles", ())]
        return claimants[0] if len(claimants) == 1 else None

    def pid(self, node: NodeId) -> int:
        """The process's id."""
        return self._process(node).pid

    def running(self, node: NodeId) -> bool:
        """Whether the node's process is there."""
        return node in self._nodes and self._nodes[node].running()

    def log(self, node: NodeId) -> Path:
        """The file with what the node says on stderr."""
        return Path(self.file.data_dir) / f"{node}.log"

    def _check_former_data(self) -> None:
        """What another design wrote would be misread."""
        if self.path.exists():
            former = msgspec.json.decode(self.path.read_bytes())
            if former.get("fingerprint") != self.file.fingerprint:
                raise SupervisorError(
                    f"{self.file.data_dir} holds the data of another design or size of cluster; "
                    "choose another data directory, or delete this one"
                )

    def node_dir(self, node: NodeId) -> Path:
        """The folder with the node's files."""
        return self.file.node_dir(node)

    def exit_code(self, node: NodeId) -> int | None:
        """How the node's last process ended; None while it runs."""
        return self._nodes[node].code()

    def _addresses(self) -> list[Address]:
        doors = [*self.file.http.values(), *self.file.resp.values()]
        return [*self.file.addresses.values(), *(Address(self.file.door_host, port) for port in doors)]

    def _launch(self, node: NodeId) -> None:
        self._nodes[node] = _Process(node, self.path, self.log(node), self.ended)

    def _process(self, node: NodeId) -> _Process:
        process = self._nodes.get(node)
        if process is None or not process.running():
            raise SupervisorError(f"{node} is not running; the running nodes are {', '.join(self._running())}")
        return process

    def _hearing(self) -> list[NodeId]:
        """The nodes that can carry out an order now."""
        return [node for node, process in self._nodes.items() if process.running() and not process.paused]

    def _tell_faults(self, node: NodeId) -> None:
        """Have a node's links be as they are to be."""
        self._nodes[node].order(SetFaults(self._faults.get(node, {})))

    def _running(self) -> list[NodeId]:
        return [node for node, process in self._nodes.items() if process.running()] or ["none"]

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Process:
    """One node process, its pipes and its log."""

    def __init__(self, node: NodeId, cluster_file: Path, log: Path, ended: queue.SimpleQueue[NodeEnded]) -> None:
        self.node = node
        self._log = log
        self._ended = ended
        self._expected = False
        """Whether its end was asked for."""
        self.paused = False
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._orders = threading.Lock()
        with log.open("ab") as stderr:
            self._log_start = stderr.tell()
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "kvsim.real.process", "--supervised", str(cluster_file), node],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, who stops the nodes in good order
            )
        self.pid = self._popen.pid
        self._listener = threading.Thread(target=self._listen, name=f"reports of {node}", daemon=True)
        self._listener.start()

    def running(self) -> bool:
        return self._popen.poll() is None

    def code(self) -> int | None:
        return self._popen.poll()

    def wait_until_ready(self, deadline: float) -> None:
        report = self._next_report(deadline - time.monotonic())
        if not isinstance(report, Ready):
            raise SupervisorError(f"{self.node} did not start: {self.last_words()}")

    def order(self, order: Order) -> dict[str, Any]:
        """Have an order carried out. One at a time, so that answers belong to questions."""
        with self._orders:
            assert self._popen.stdin is not None
            try:
                self._popen.stdin.write(line(order))
                self._popen.stdin.flush()
            except OSError as error:
                raise SupervisorError(f"{self.node} has ended: {self.last_words()}") from error
            report = self._next_report(ANSWER_TIMEOUT_S)
        if not isinstance(report, Done):
            raise SupervisorError(f"{self.node} ended before it answered: {self.last_words()}")
        return report.result

    def send(self, number: signal.Signals) -> None:
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._expected = True
        self._popen.send_signal(number)

    def tell_to_stop(self) -> None:
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a paused one must wake to hear it

    def wait_or_kill(self, deadline: float) -> None:
        try:
            self._popen.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._popen.wait()

    def last_words(self) -> str:
        """The last line that it said on stderr since it started."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read()[-4_096:].decode(errors="replace").splitlines()
        return lines[-1].removeprefix("kvsim: ") if lines else f"it said nothing; see {self._log}"

    def close(self) -> None:
        """Let go of the pipes of a process that has ended."""
        self._listener.join()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what it was told last reaches nobody
                    pipe.close()

    def _next_report(self, timeout_s: float) -> Report | None:
        try:
            return self._reports.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            raise SupervisorError(f"{self.node} did not answer in time; see {self._log}") from None

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        for text in self._popen.stdout:
            self._reports.put(read_report(text))
        code = self._popen.wait()
        self._reports.put(None)
        if not self._expected:
            self._ended.put(NodeEnded(self.node, code, self.last_words() if code > 0 else ""))
