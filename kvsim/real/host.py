"""RealHost: the host of a node that is a process, on an event loop, with sockets for streams and datagrams."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.host import Disk, Program, Recovered, Timer
from kvsim.core.message import Channel, Codec, Envelope, Nanoseconds, NodeId
from kvsim.core.trace import Event, Sinks
from kvsim.core.waiting import Future, Scope, Task
from kvsim.real.disk import FileDisk, MemoryDisk
from kvsim.real.filter import LinkFilter
from kvsim.real.timers import Timers
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import CorruptFrame, Hello
from kvsim.transport.tcp import OUTBOX_LIMIT_MESSAGES, Address, Streams
from kvsim.transport.udp import Datagrams

LocalEndpoint = Callable[[NodeId, Envelope[Any]], None]


class RealHost:
    """Implements `Host`. Every input of the node passes `_input`, one at a time, and then resumes what it completed.

    `failed(error)` is called once, when the node fails; the host is inert from then on.
    """

    def __init__(
        self,
        me: Hello,
        addresses: Mapping[NodeId, Address],
        codec: Codec,
        seed: int,
        failed: Callable[[Exception], None],
        sinks: Sinks | None = None,
        outbox: int = OUTBOX_LIMIT_MESSAGES,
    ) -> None:
        self.id = me.node
        self.incarnation = me.incarnation
        self.chance = Chance(seed, f"real/{me.node}/{me.incarnation}")
        self.disk: Disk = MemoryDisk()
        self._refuse_orders: Callable[[], None] = lambda: None
        self.sinks = sinks or Sinks()
        self.scope = Scope(self.fail)
        self.ended = False
        self.complaints = Complaints()
        self.messages_sent = self.messages_delivered = self.bytes_sent = 0
        self.node: Program | None = None
        self._program: Program | None = None
        self._encode, self._decode = codec.encode, codec.decode
        self._failed = failed
        self._addresses = addresses
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(self._loop, self._input)
        self.after: Callable[[Nanoseconds, Callable[[], None]], Timer] = self._timers.after
        self.streams = Streams(me, addresses, self._receive, self._peer_lost, self.complaints, outbox)
        self.datagrams = Datagrams(me, addresses, self._receive, self.complaints)
        self.filter = LinkFilter(self, self.chance.stream("filter"), self.now, self._timers.after, outbox)
        self._local: dict[NodeId, LocalEndpoint] = {}
        self._to_myself: deque[Envelope[Any]] = deque()
        self._own_queued = False

    # What a node asks ----------------------------------------------------------------------------------------------

    now = staticmethod(time.monotonic_ns)
    wall = staticmethod(time.time_ns)

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        if self.ended:
            return
        if to == self.id:
            self._to_myself.append(envelope)
            if not self._own_queued:
                self._own_queued = True
                self._loop.call_soon(self._deliver_own)
            return
        if to in self._local:
            self._local[to](self.id, envelope)
            return
        payload = self._encode(envelope)
        self.messages_sent += 1
        self.bytes_sent += len(payload)
        if to in self.filter.concerned:
            self.filter.transmit(to, payload, channel)
        else:
            self.transmit(to, payload, channel)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        return self.scope.spawn(work)

    def wants(self, kind: type[Event]) -> bool:
        return self.sinks.wants(kind)

    def record(self, event: Event) -> None:
        if not self.ended:
            self.sinks.record(self.id, self.now(), event)

    def fail(self, error: Exception) -> None:
        if not self.ended:
            self.ended = True
            self._timers.close()
            self._refuse_orders()
            self._loop.call_soon(self.scope.close)  # not now: one of its coroutines may be what calls
            self._failed(error)

    # What the world does -------------------------------------------------------------------------------------------

    def use_disk(self, disk: FileDisk) -> None:
        """Keep what the node writes on this disk; without, nothing is kept."""
        self.disk = disk
        self._refuse_orders = disk.refuse_orders

    async def listen(self) -> None:
        """Take this node's address for streams and datagrams. Raises `OSError` where the port is taken."""
        address = self._addresses[self.id]
        await self.streams.listen(address)
        self.datagrams.listen(address)

    async def start(self, program: Program, recovered: Recovered, node: Program | None = None) -> None:
        """Run this node, and let peers in. `node`: the node itself, where the program is a wrapper around it."""
        self._program = program
        self.node = node or program
        self._input(program.start, recovered)
        await self.streams.serve()

    def serve_locally(self, name: NodeId, receive: LocalEndpoint) -> None:
        """An endpoint within this process, such as a door: what the node sends to this name goes to `receive`."""
        self._local[name] = receive

    def arrived(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """Give the node a message. Never called by the node's own code."""
        program = self._program
        if program is None or self.ended:
            return
        self.messages_delivered += 1
        try:  # as `_input` does, without a closure for every message
            program.deliver(sender, envelope)
            self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a defect in the node's code stops the node, and is reported
            self.fail(error)

    def settle(self, future: Future[None], error: Exception | None) -> None:
        """The disk has answered."""
        if error is None:
            self._input(future.complete, None)
        else:
            self._input(future.fail, error)

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        """Send for real, past the filter."""
        if self.ended:
            return
        try:
            if channel is Channel.STREAM:
                self.streams.send(to, payload)
            else:
                self.datagrams.send(to, payload)
        except ValueError as error:  # a message larger than any frame: a defect of the protocol
            self.fail(error)

    def break_streams(self, peer: NodeId) -> None:
        """Break the streams to and from this peer."""
        self.streams.break_with(peer)

    def stop(self) -> None:
        """Stop the node in good order, then be inert."""
        program = self._program
        if program is not None:
            self._input(program.stop)
        self._be_inert()
        self.streams.close()

    def crash(self) -> None:
        """Be inert at once, as after a kill. Never called by the node's own code."""
        self._be_inert()
        self.streams.abort()

    def _be_inert(self) -> None:
        self.ended = True
        self._timers.close()
        self._refuse_orders()
        self.scope.close()
        self.datagrams.close()

    def status(self) -> dict[str, Any]:
        """The node's state as plain data: its roles now, its view of the cluster, and counts since it started."""
        view = getattr(self.node, "view", None)
        roles = (getattr(component, "role_name", None) for component in getattr(self.node, "components", ()))
        return {
            "node": self.id,
            "incarnation": self.incarnation,
            "roles": [role for role in roles if role],
            "view": msgspec.to_builtins(view) if view is not None else None,
            "counts": self.counts(),
            "refused_by": dict(self.streams.refusals),
        }

    def counts(self) -> dict[str, int]:
        """What this node did since it started, by name."""
        return {
            "messages_sent": self.messages_sent,
            "messages_delivered": self.messages_delivered,
            "messages_dropped": self.filter.dropped,
            "bytes_sent": self.bytes_sent,
            "overflows": self.overflows(),
            "syncs": getattr(self.disk, "syncs", 0),
            "disk_bytes": getattr(self.disk, "disk_bytes", 0),
            "cpu_ns": time.process_time_ns(),
            **{kind.replace(" ", "_"): count for kind, count in sorted(self.complaints.counts.items())},
        }

    def overflows(self) -> int:
        """How many messages have met a full queue."""
        counts = self.complaints.counts
        return self.filter.overflows + counts["outbox overflow"] + counts["datagrams dropped"]

    # Inputs ----------------------------------------------------------------------------------------------------------

    def _input(self, call: Callable[..., None], *given: Any) -> None:
        if self.ended:
            return
        try:
            call(*given)
            self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a defect in the node's code stops the node, and is reported
            self.fail(error)

    def _receive(self, peer: NodeId, payload: bytes) -> None:
        try:
            envelope = self._decode(payload)
        except msgspec.MsgspecError as error:
            raise CorruptFrame(f"a message that this node does not know ({error})") from error
        self.arrived(peer, envelope)

    def _peer_lost(self, peer: NodeId) -> None:
        program = self._program
        if program is not None:
            self._input(program.peer_lost, peer)

    def _deliver_own(self) -> None:
        for _ in range(len(self._to_myself)):  # what comes meanwhile waits: the loop has others to serve
            self.arrived(self.id, self._to_myself.popleft())
        self._own_queued = bool(self._to_myself)
        if self._own_queued:
            self._loop.call_soon(self._deliver_own)
