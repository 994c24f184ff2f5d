"""The real world as the conformance suite of hosts drives it: real sockets and files, all nodes on one event loop."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kvsim.core.message import SECOND, Codec, Nanoseconds, NodeId
from kvsim.real.data_directory import DataDirectory
from kvsim.real.disk import FileDisk
from kvsim.real.filter import LinkFault
from kvsim.real.host import RealHost
from kvsim.real.ports import free_ports
from kvsim.testing.harness import Build, Options
from kvsim.transport.frames import PROTOCOL_VERSION, Hello
from kvsim.transport.tcp import Address

LOOK_EVERY_S = 0.001


class RealHarness:
    """Implements `Harness`. `new_loop` makes the event loop: asyncio's own, or uvloop's."""

    def __init__(
        self, options: Options, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> None:
        self._options = options
        self._codec = Codec(options.kinds)
        self._loop = new_loop()
        self._folder = Path(tempfile.mkdtemp(prefix="kvsim-"))
        self._builds: dict[NodeId, Build] = {}
        self._addresses: dict[NodeId, Address] = {}
        self._lives: dict[NodeId, _Life] = {}
        self._faults: dict[NodeId, dict[NodeId, LinkFault]] = {}
        self._failures: list[tuple[NodeId, Exception]] = []
        self._past_overflows = 0

    def start(self, builds: Mapping[NodeId, Build]) -> None:
        """Start these nodes."""
        self._builds = dict(builds)
        ports = free_ports(len(builds))
        self._addresses = {node: Address("127.0.0.1", port) for node, port in zip(builds, ports, strict=True)}
        for node in builds:
            self.restart(node)

    def act(self, node: NodeId, call: Callable[[], None]) -> None:
        """Let this happen inside the node."""
        self._lives[node].host.after(0, call)

    def run_until(self, predicate: Callable[[], bool], limit_ns: Nanoseconds = 60 * SECOND) -> bool:
        """Let the world go on."""

        async def watch() -> bool:
            deadline = self._loop.time() + limit_ns / SECOND
            while not predicate():
                if self._loop.time() > deadline:
                    return False
                await asyncio.sleep(LOOK_EVERY_S)
            return True

        return self._loop.run_until_complete(watch())

    def crash(self, node: NodeId) -> None:
        """The node's memory is gone; what the writer thread has not begun is lost."""
        life = self._lives.pop(node)
        self._past_overflows += life.host.overflows()
        life.crash()

    def restart(self, node: NodeId) -> None:
        """A crashed node begins a new life."""

        async def begin() -> _Life:
            await asyncio.sleep(0)  # for the sockets of an earlier life to be closed
            life = _Life(node, self._folder / node, self._addresses, self._codec, self._options.outbox, self._failed)
            self._lives[node] = life
            await life.begin(self._builds[node])
            life.host.filter.install(self._faults.get(node, {}))
            return life

        self._loop.run_until_complete(begin())

    def cut(self, one: NodeId, other: NodeId) -> None:
        """Nothing passes between these two."""
        for sender, receiver in ((one, other), (other, one)):
            faults = self._faults.setdefault(sender, {})
            faults[receiver] = LinkFault(cut=True)
            if sender in self._lives:
                self._lives[sender].host.filter.install(faults)

    def heal(self) -> None:
        """End all cuts."""
        self._faults.clear()
        for life in self._lives.values():
            life.host.filter.install({})

    def failures(self) -> list[tuple[NodeId, Exception]]:
        """Nodes that failed."""
        return self._failures

    def overflows(self) -> int:
        """Messages that met a full queue."""
        return self._past_overflows + sum(life.host.overflows() for life in self._lives.values())

    def close(self) -> None:
        """Stop everything and clean up."""
        for node in list(self._lives):
            self.crash(node)
        self._loop.run_until_complete(asyncio.sleep(0))  # for the sockets to be closed
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        shutil.rmtree(self._folder)

    def _failed(self, node: NodeId, error: Exception) -> None:
        self._failures.append((node, error))
        self._loop.call_soon(self._crash_failed, node)

    def _crash_failed(self, node: NodeId) -> None:
        if node in self._lives:
            self.crash(node)


class _Life:
    """One life of a node: its host, its disk and its data directory."""

    def __init__(
        self,
        node: NodeId,
        folder: Path,
        addresses: Mapping[NodeId, Address],
        codec: Codec,
        outbox: int,
        failed: Callable[[NodeId, Exception], None],
    ) -> None:
        self._directory = DataDirectory(folder).__enter__()
        self._recovered = self._directory.recover()
        me = Hello(PROTOCOL_VERSION, "check", "check", node, self._recovered.incarnation)
        self.host = RealHost(me, addresses, codec, 0, lambda error: failed(node, error), outbox=outbox)
        self._disk = FileDisk(self._directory.files, self.host.settle)
        self.host.use_disk(self._disk)

    async def begin(self, build: Build) -> None:
        """Start the node."""
        await self.host.listen()
        await self.host.start(build(self.host, self.host.scope), self._recovered)

    def crash(self) -> None:
        """End it."""
        self.host.crash()
        self._disk.abandon()
        self._directory.__exit__(None, None, None)
