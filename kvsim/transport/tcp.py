"""Streams over TCP: a node opens one to each peer it has something to tell, and its peers open theirs to it.

So a stream goes one way, and its order is the order of sending. Endpoints without an address (clients) open one stream
and are answered on it. A stream that breaks is reported, and opened again when there is something to send.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from kvsim.core.message import NodeId
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import (
    FRAME_LIMIT_BYTES,
    GREETING_LIMIT_BYTES,
    CorruptFrame,
    FrameReader,
    Hello,
    Refused,
    framed,
    greeting,
    read_greeting,
    why_refuse,
)

OUTBOX_LIMIT_BYTES = 64 * 1_048_576
OUTBOX_LIMIT_MESSAGES = 65_536
"""What may wait for a peer that does not read, or is not there; beyond it the stream breaks."""
STRANGERS_LIMIT = 128
"""Connections of who has not said who he is; when one more comes, the oldest is hung up on: peers greet at once."""
DIAL_TIMEOUT_S = 2.0
GREETING_TIMEOUT_S = 5.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.02, 0.5
UNHEARD_TIMEOUT_MS = 10_000
"""How long sent bytes may stay unconfirmed by the peer's kernel before the stream counts as broken (Linux)."""


class Address(msgspec.Struct, frozen=True):
    """Where a node listens: TCP and UDP on one port number."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Streams:
    """All streams of one endpoint.

    `receive(peer, payload)` gets each message and may raise `CorruptFrame`; `lost(peer)` is called when a stream broke,
    and when messages were given up because none could be opened. Neither is ever called inside `send`.
    """

    def __init__(
        self,
        me: Hello,
        addresses: Mapping[NodeId, Address],
        receive: Callable[[NodeId, bytes], None],
        lost: Callable[[NodeId], None],
        complaints: Complaints,
        outbox: int = OUTBOX_LIMIT_MESSAGES,
    ) -> None:
        self.me, self.addresses, self.outbox = me, addresses, outbox
        self.receive, self.lost = receive, lost
        self.complaints = complaints
        self.refusals: dict[NodeId, str] = {}
        """Why a peer refused us, the last time."""
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._links: dict[NodeId, _Link] = {}
        self._inbound: dict[NodeId, _Connection] = {}
        self._ways: dict[NodeId, _Connection] = {}
        """The open stream to each endpoint: the one that was opened to a peer, or the one that a client opened."""
        self._unsent: list[_Connection] = []
        self._strangers: dict[_Connection, None] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, address: Address) -> None:
        """Take the address. Raises `OSError` where the port is taken."""
        self._server = await self.loop.create_server(
            lambda: _Connection(self, None), address.host, address.port, reuse_address=True, start_serving=False
        )

    async def serve(self) -> None:
        """Take streams from others."""
        if self._server is not None:
            await self._server.start_serving()

    def send(self, to: NodeId, payload: bytes) -> None:
        """Send on the stream to this endpoint, which is opened if need be. A client that has gone gets nothing."""
        way = self._ways.get(to)
        if way is not None:
            way.write(framed(payload))
        elif to in self.addresses:
            link = self._links.get(to)
            if link is None:
                link = self._links[to] = _Link(self, to)
            link.send(framed(payload))
        else:
            self.complaints.counts["messages to nobody"] += 1

    def flush_soon(self, connection: _Connection) -> None:
        """Let what this turn of the loop writes leave together."""
        self._unsent.append(connection)
        if len(self._unsent) == 1:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for connection in unsent:
            connection.flush()

    def break_with(self, peer: NodeId) -> None:
        """Break the streams to and from this peer, as a fault of the network does."""
        link, inbound = self._links.get(peer), self._inbound.get(peer)
        outbound = link.connection if link is not None else None
        connections = [connection for connection in (outbound, inbound) if connection is not None]
        for connection in connections:
            connection.abort()
        if not connections:
            self.loop.call_soon(self.lost, peer)

    def close(self) -> None:
        """Close all, after what was sent has left."""
        self._end(_Connection.close)

    def abort(self) -> None:
        """End all at once, as the end of the process does."""
        self._end(_Connection.abort)

    def _end(self, end: Callable[[_Connection], None]) -> None:
        self.closed = True
        if self._server is not None:
            self._server.close()
        for link in self._links.values():
            link.stop_dialling()
        outbound = [link.connection for link in self._links.values() if link.connection is not None]
        for connection in [*outbound, *self._inbound.values(), *self._strangers]:
            end(connection)

    def met(self, connection: _Connection) -> None:
        """Somebody has connected, and has not said who he is."""
        self._strangers[connection] = None
        if len(self._strangers) > STRANGERS_LIMIT:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            self.complaints.add("too many strangers", f"more than {STRANGERS_LIMIT} strangers; the oldest is closed")
            oldest.abort()

    def admitted(self, connection: _Connection, peer: NodeId) -> None:
        """He has, and is welcome."""
        self._strangers.pop(connection, None)
        if connection.calls is not None:
            self._ways[peer] = connection
            self._links[peer].opened(connection)
            return
        former = self._inbound.get(peer)
        self._inbound[peer] = connection
        if peer not in self.addresses:
            self._ways[peer] = connection
        if former is not None:  # he has come anew, and the end of his old stream has not been noticed yet
            former.abort()
            self.lost(peer)

    def gone(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._strangers.pop(connection, None)
        peer = connection.peer
        if self.closed or peer is None:
            return
        if self._ways.get(peer) is connection:
            del self._ways[peer]
        if connection.calls is not None:
            self._links[peer].broke()
            self.lost(peer)
        elif self._inbound.get(peer) is connection:
            del self._inbound[peer]
            self.lost(peer)


class _Link:
    """The stream to one peer: what waits for it, and when to try again."""

    def __init__(self, streams: Streams, peer: NodeId) -> None:
        self.streams, self.peer = streams, peer
        self.connection: _Connection | None = None
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._overflown = False
        """Too much waited: what waits is about to be given up, and what is sent meanwhile is lost with it."""
        self._dial: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._backoff_s = FIRST_BACKOFF_S

    def send(self, frame: bytes) -> None:
        """Keep it until the stream is open."""
        if self._overflown:
            return
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if self._outbox_bytes > OUTBOX_LIMIT_BYTES or len(self._outbox) > self.streams.outbox:
            self._overflown = True
            self.streams.complaints.add("outbox overflow", f"too much waits for {self.peer}; the stream breaks")
            self.streams.loop.call_soon(self._give_up)
        if self._dial is None and self._retry is None:
            self._begin()

    def opened(self, connection: _Connection) -> None:
        self.connection = connection
        self._backoff_s = FIRST_BACKOFF_S
        for frame in self._outbox:
            connection.write(frame)
        self._outbox, self._outbox_bytes = [], 0

    def broke(self) -> None:
        self.connection = None

    def stop_dialling(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
        if self._retry is not None:
            self._retry.cancel()

    def _begin(self) -> None:
        self._retry = None
        if self._outbox and self.connection is None:
            self._dial = self.streams.loop.create_task(self._open())

    async def _open(self) -> None:
        address = self.streams.addresses[self.peer]
        connection = _Connection(self.streams, self.peer)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await self.streams.loop.create_connection(lambda: connection, address.host, address.port)
                await connection.greeted
        except (OSError, TimeoutError):
            connection.abort()
            self._retry = self.streams.loop.call_later(self._backoff_s, self._begin)
            self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)
            self._give_up()
        finally:
            self._dial = None

    def _give_up(self) -> None:
        self._overflown = False
        if self._outbox and not self.streams.closed:
            self._outbox, self._outbox_bytes = [], 0
            self.streams.lost(self.peer)


class _Connection(asyncio.Protocol):
    """One TCP connection, from its greeting on. `calls` is the peer it was opened to, or None: that one opened it."""

    def __init__(self, streams: Streams, calls: NodeId | None) -> None:
        self.streams, self.calls = streams, calls
        self.peer: NodeId | None = None
        self.greeted: asyncio.Future[None] = streams.loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(GREETING_LIMIT_BYTES)
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flushing = False
        self._paused = False
        self._broken = False
        self._deadline = streams.loop.call_later(GREETING_TIMEOUT_S, self._never_greeted)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one, but does not derive from it
        self._transport = transport
        transport.set_write_buffer_limits(high=1_048_576)
        _make_breaks_noticed(transport.get_extra_info("socket"))
        if self.calls is None:
            self.streams.met(self)
        else:
            transport.write(greeting(msgspec.structs.replace(self.streams.me, to=self.calls)))

    def data_received(self, data: bytes) -> None:
        receive = self.streams.receive
        try:
            for payload in self._reader.feed(data):
                if self._broken:  # by what came before
                    return
                if self.peer is not None:
                    receive(self.peer, payload)
                else:
                    self._greet(read_greeting(payload))
        except CorruptFrame as error:
            who = self.peer or self.calls or "a stranger"
            self.streams.complaints.add("corrupt frames", f"{who} sent {error}; the stream is closed")
            self.abort()

    def _greet(self, first: Hello | Refused) -> None:
        if isinstance(first, Refused):
            if self.calls is not None:
                self.streams.refusals[self.calls] = first.reason
            self.streams.complaints.add("refused by others", f"refused by {self.calls or 'a stranger'}: {first.reason}")
            self.abort()
            return
        reason = why_refuse(self.streams.me, first)
        if reason is None and self.calls not in (None, first.node):
            reason = f"{self.calls} was called, but {first.node} answered; an address in the cluster file is wrong"
        if reason is not None:
            self.streams.complaints.add("refused strangers", f"refused {first.node}: {reason}")
            if self.calls is not None:
                self.streams.refusals[self.calls] = reason
            self._write_now(greeting(Refused(reason)))
            self.close()
            return
        self._deadline.cancel()
        self._reader.limit_bytes = FRAME_LIMIT_BYTES
        self.peer = first.node
        if self.calls is None:
            self._write_now(greeting(self.streams.me))
        self.streams.admitted(self, self.peer)
        if not self.greeted.done():
            self.greeted.set_result(None)

    def write(self, frame: bytes) -> None:
        """Send; what one turn of the loop writes leaves together."""
        if self._broken:  # what is sent before the end is noticed is lost
            return
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > OUTBOX_LIMIT_BYTES or len(self._unsent) > self.streams.outbox:
            self.streams.complaints.add("outbox overflow", f"too much waits for {self.peer}; the stream breaks")
            self.abort()
        elif not self._flushing and not self._paused:
            self._flushing = True
            self.streams.flush_soon(self)

    def flush(self) -> None:
        """Hand what was written to the kernel, all in one piece."""
        self._flushing = False
        if self._unsent and not self._paused:
            unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
            self._write_now(b"".join(unsent) if len(unsent) > 1 else unsent[0])

    def _write_now(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def close(self) -> None:
        """End when what was written has left."""
        self._paused = False
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        self._broken = True
        self._unsent, self._unsent_bytes = [], 0
        if self._transport is not None:
            self._transport.abort()

    def _never_greeted(self) -> None:
        self.streams.complaints.add("never greeted", f"{self.calls or 'a stranger'} did not say who it is in time")
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        self._transport = None
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError("the stream ended before a greeting"))
            self.greeted.exception()  # where nobody waits for it, nobody needs to hear
        self.streams.gone(self)


def _make_breaks_noticed(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_TIMEOUT_MS)
