"""The program of one node process: `python -m kvsim.real.process CLUSTERFILE NODE`, the node's name at the end.

It stops on SIGTERM and SIGINT, and with `--supervised` when its stdin ends: then its supervisor has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvsim.core.host import DiskError, Recovered
from kvsim.core.journal import CorruptJournal
from kvsim.core.message import Codec, NodeId
from kvsim.core.operation import Key
from kvsim.core.stock import held_by
from kvsim.real.cluster_file import ClusterFileError, Plan, read_cluster_file
from kvsim.real.control import AskHeld, AskStatus, Done, Ready, SetFaults, line, read_order
from kvsim.real.data_directory import DataDirectory, DataDirectoryError, incarnation_by_clock
from kvsim.real.disk import FileDisk
from kvsim.real.doors.local import Door, DoorInfo
from kvsim.real.host import RealHost
from kvsim.real.local_client import LocalClient
from kvsim.real.recording import Begun, Failed, Log, RecordingHost, RecordingProgram, error_text
from kvsim.strategies.catalogue import assemble, message_kinds
from kvsim.transport.frames import PROTOCOL_VERSION, Hello

EXIT_BAD_INPUT = 2
"""The cluster file is wrong, or a port or the data directory is another's."""
EXIT_DEFECT = 70
"""The node's own code raised an error."""
EXIT_DISK = 74
"""The disk failed, or what is on it is damaged. Starting again without a look at it may lose data."""


MOST_CONNECTIONS, FEWEST_CONNECTIONS = 10_000, 16
"""Of clients to one door; how many it is within these depends on how many files the system lets a process open."""
FILES_KEPT = 256
"""For peers, the disk and the process itself, so that clients never take what the cluster needs."""
GARBAGE_SOUGHT_FROM = 20_000
"""New objects before garbage is looked for; what forms no cycle goes at once, without being looked for."""


class CannotStart(Exception):
    """Something outside the node prevents its start; the message says what, and what to do."""


class NodeProcess:
    """One node with its host, disk and doors."""

    def __init__(self, plan: Plan, node_id: NodeId, recovered: Recovered, directory: Path | None) -> None:
        file = plan.file
        me = Hello(PROTOCOL_VERSION, file.cluster_id, file.fingerprint, node_id, recovered.incarnation)
        self.plan, self.node_id = plan, node_id
        self.over = asyncio.Event()
        self.failure: Exception | None = None
        codec = Codec(message_kinds(plan.design))
        self.host = RealHost(me, file.addresses, codec, file.seed, self._failed)
        self._disk: FileDisk | None = None
        if directory is not None:
            self._disk = FileDisk(directory, self.host.settle, file.reserve_bytes)
            self.host.use_disk(self._disk)
        self.local = LocalClient(f"door-{node_id}", self.host.arrived, plan.design.timeout_ns)
        self.host.serve_locally(self.local.name, self.local.receive)
        self._recovered = recovered
        self._codec = codec
        self._log: Log | None = None
        if file.record:
            begun = Begun(file, node_id, recovered.incarnation)
            self._log = Log(file.node_dir(node_id) / f"recording-{recovered.incarnation}", begun)
        self._doors: list[Door] = []
        self._connections = connections_for(_raise_limit_of_open_files())

    async def start(self) -> None:
        """Take the ports, run the node, open its doors. Raises `CannotStart`."""
        address = self.plan.file.addresses[self.node_id]
        try:
            await self.host.listen()
        except OSError as error:
            raise CannotStart(
                f"{self.node_id} cannot listen on {address}: {error.strerror}; stop what uses it or take another port"
            ) from error
        design, cluster, scope = self.plan.design, self.plan.cluster, self.host.scope
        if self._log is None:
            node = assemble(design, cluster, self.host, scope)
            await self.host.start(node, self._recovered)
        else:
            recorded = RecordingHost(self.host, self._log, self._codec)
            node = assemble(design, cluster, recorded, scope)
            await self.host.start(RecordingProgram(node, self._log, self._codec), self._recovered, node)
        if self.failure is None:
            await self._open_doors()

    async def stop(self) -> None:
        """Close the doors, stop the node, finish what the disk was asked for."""
        for door in self._doors:
            await door.close()
        self.local.close(f"{self.node_id} is stopping")
        self.host.stop()
        if self._disk is not None:
            self._disk.close()
        if self._log is not None:
            self._log.close()

    async def _open_doors(self) -> None:
        file = self.plan.file
        limits = self.plan.design.limits
        info = DoorInfo(self.node_id, limits, self._described, incarnation=str(self.host.incarnation))
        for kind, port in (("http", file.http.get(self.node_id)), ("resp", file.resp.get(self.node_id))):
            if port is None:
                continue
            try:
                self._doors.append(await _open_door(kind, self.local, info, file.door_host, port, self._connections))
            except OSError as error:
                raise CannotStart(
                    f"{self.node_id} cannot open its {kind} door on port {port}: {error.strerror}; "
                    f"stop what uses the port, or choose another with --{kind}"
                ) from error

    async def _described(self, key: Key | None) -> dict[str, Any]:
        """What `GET /v1/cluster` tells: who is there and how, the design, and where a key lies."""
        file, status = self.plan.file, await self.local.cluster_status(key)
        return {
            "cluster": file.cluster_id,
            "nodes": [{"node": n.node, "role": n.role, "facts": n.facts} for n in status.nodes],
            "silent": status.silent,
            "replicas": status.replicas,
            "http": file.http,
            "resp": file.resp,
            "design": self.plan.design.described(),
        }

    def _failed(self, error: Exception) -> None:
        self.failure = error
        if self._log is not None:
            self._log.add(Failed(error_text(error)))
        self.over.set()


def main(arguments: list[str]) -> int:
    """Run a node process until it is told to stop. Gives the exit code."""
    supervised = "--supervised" in arguments
    given = [argument for argument in arguments if argument != "--supervised"]
    if len(given) != 2:
        _say("usage: python -m kvsim.real.process [--supervised] CLUSTERFILE NODE")
        return EXIT_BAD_INPUT
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    path, node_id = given
    try:
        plan = read_cluster_file(Path(path))
        if node_id not in plan.cluster.everyone():
            raise ClusterFileError(f"{path}: no node {node_id!r}; there are {', '.join(plan.cluster.everyone())}")
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_run(plan, node_id, supervised))
    except (ClusterFileError, DataDirectoryError, CannotStart) as error:
        _say(str(error))
        return EXIT_BAD_INPUT
    except OSError as error:  # a file of its own that it may not read, a limit of the system
        _say(f"{node_id} cannot start: {error}; look to the rights and limits of its data directory")
        return EXIT_BAD_INPUT


async def _run(plan: Plan, node_id: NodeId, supervised: bool) -> int:
    with contextlib.ExitStack() as held:
        directory = None
        recovered = Recovered()
        if plan.design.durability == "disk":
            data = held.enter_context(DataDirectory(plan.file.node_dir(node_id)))
            directory, recovered = data.files, data.recover()
        else:
            recovered = Recovered(incarnation=await incarnation_by_clock())
        process = NodeProcess(plan, node_id, recovered, directory)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.over.set)
        try:
            await process.start()
            _collect_garbage_seldom()
            if supervised and process.failure is None:
                obeying = loop.create_task(_obey(process))
                obeying.add_done_callback(lambda _: process.over.set())
                _report(line(Ready(os.getpid())))
            await process.over.wait()
        finally:
            await process.stop()
        return _verdict(node_id, process.failure)


async def _obey(process: NodeProcess) -> None:
    """Carry out the supervisor's orders, until it is gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while text := await reader.readline():
            _report(line(Done(_carry_out(process.host, text))))
    finally:
        transport.close()


def _carry_out(host: RealHost, text: bytes) -> dict[str, Any]:
    match read_order(text):
        case SetFaults(faults):
            host.filter.install(faults)
            return {}
        case AskStatus():
            return host.status()
        case AskHeld():
            return {"held": held_by(host.node)}


def _verdict(node_id: NodeId, failure: Exception | None) -> int:
    if failure is None:
        return 0
    if isinstance(failure, DiskError | CorruptJournal):
        _say(f"{node_id} stopped: {failure}")
        return EXIT_DISK
    sys.stderr.write("".join(traceback.format_exception(failure)))
    place = traceback.extract_tb(failure.__traceback__)[-1:]
    where = f", at {Path(place[0].filename).name} line {place[0].lineno}" if place else ""
    _say(f"{node_id} stopped by a defect in its design's code: {type(failure).__name__}: {failure}{where}")
    return EXIT_DEFECT


async def _open_door(kind: str, local: LocalClient, info: DoorInfo, host: str, port: int, connections: int) -> Door:
    if kind == "http":  # imported late: most nodes have no door
        from kvsim.real.doors.http_door import HttpLimits, start_http

        return await start_http(local, info, host, port, HttpLimits(connections=connections))
    from kvsim.real.doors.resp_door import RespLimits, start_resp

    return await start_resp(local, info, host, port, RespLimits(connections=connections))


def connections_for(open_files: int) -> int:
    """How many clients each of two doors may have, when a process may open so many files: some are kept for peers."""
    return max(min(MOST_CONNECTIONS, (open_files - FILES_KEPT) // 2), FEWEST_CONNECTIONS)


def _raise_limit_of_open_files() -> int:
    """Ask the system for as many as it allows; gives how many that are. Many systems begin with 1,024 or 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS + FILES_KEPT
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit of its own below the one it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes uvloop's event loops; None, for asyncio's own, where there is no uvloop."""
    try:
        import uvloop
    except ImportError:  # not on every platform; asyncio's own loop does the same, more slowly
        return None
    return uvloop.new_event_loop


def _collect_garbage_seldom() -> None:
    """Operations under way are many objects and no garbage, so Python's usual 700 make it search again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_SOUGHT_FROM, 20, 20)


def _report(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"kvsim: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
