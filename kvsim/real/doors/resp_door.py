"""The RESP door: Redis' clients talk to the store through it, many commands at a time, answered in their order.

A connection takes from its parser only as many commands as it can hold, and reads no further while the client does not
fetch its replies: so a flood of requests fills the client's own buffers, not the node's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, cast

from kvsim.core.operation import OperationError
from kvsim.real.doors.key_order import KeyOrder
from kvsim.real.doors.local import DoorInfo, Ended, Local, RequestNumbers
from kvsim.real.doors.resp_parser import ForeignProtocol, ParserLimits, ProtocolError, RequestParser
from kvsim.real.doors.resp_replies import error
from kvsim.real.doors.resp_session import Session, Single, Store, error_reply
from kvsim.real.doors.resp_table import TABLE, Row, misuse, refusal

FIRST_REPLY_BYTES = 16_384
"""What a reply is taken for as long as a client has had none."""
LAST_REPLIES_S = 1.0
"""How long a door that closes waits for what is under way."""
LINGER_S = 1.0
"""How long a finished connection waits for its client to hang up."""


@dataclass(frozen=True, slots=True)
class RespLimits:
    """What one client, and all together, may use."""

    connections: int = 1_000
    pipelined: int = 64
    """Commands of one connection that are under way."""
    unsent_bytes: int = 1_048_576
    """Replies that may wait for the client, or are to be expected, before its next commands do."""
    stalled_s: float = 30.0
    """How long half a command may stay half, and a client may leave replies unfetched."""
    parser: ParserLimits = field(default_factory=ParserLimits)


async def start_resp(
    local: Local, info: DoorInfo, host: str = "127.0.0.1", port: int = 0, limits: RespLimits | None = None
) -> RespDoor:
    """Open the door; port 0 takes a free one, `.port` says which. Raises OSError where the port is in use."""
    door = RespDoor(local, info, limits or RespLimits())
    await door.open(host, port)
    return door


class RespDoor:
    """An open RESP door."""

    def __init__(self, local: Local, info: DoorInfo, limits: RespLimits) -> None:
        self.store = Store(local, info, RequestNumbers("resp", info))
        self.limits = limits
        self.port = 0
        self.sessions: dict[int, Session] = {}
        self.connections: dict[int, Connection] = {}
        self.numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._owing: list[Connection] = []
        self._paid = asyncio.Event()

    async def open(self, host: str, port: int) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self, loop), host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep(loop)

    async def close(self) -> None:
        """Take no new clients, let what is under way end for a second, and hang up."""
        if self._sweeping:
            self._sweeping.cancel()
        if self._server:
            self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REPLIES_S):
                while self._owes_replies():
                    self._paid.clear()
                    await self._paid.wait()
        for connection in list(self.connections.values()):
            connection.hang_up()

    def _owes_replies(self) -> bool:
        return any(connection.busy for connection in self.connections.values())

    def owes(self, connection: Connection) -> None:
        """Replies for this client have come; they leave when all of this moment are there."""
        self._owing.append(connection)
        if len(self._owing) == 1:
            connection.loop.call_soon(self._pay)

    def _pay(self) -> None:
        owing, self._owing = self._owing, []
        for connection in owing:
            connection.pay()
        self._paid.set()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hang up on clients that stall."""
        now_s = loop.time()
        for connection in list(self.connections.values()):
            connection.check(now_s)
        self._sweeping = loop.call_later(self.limits.stalled_s / 4, self._sweep, loop)


class _Slot:
    """A command's place in the row of replies; `ended` is called with what becomes of its one operation."""

    __slots__ = ("_connection", "_keys", "_row", "_single", "reply")

    def __init__(self, connection: Connection, row: Row, keys: list[bytes], single: Single | None = None) -> None:
        self._connection, self._row, self._keys, self._single = connection, row, keys, single
        self.reply: bytes | None = None

    def ended(self, ended: Ended) -> None:
        """The operation has ended."""
        assert self._single is not None
        try:
            reply = self._single.reply_to(ended, self._connection.session.protocol)
        except Exception as failed:  # noqa: BLE001 - also a defect of ours is answered
            reply = error_reply(failed)
        self.fill(reply)

    def fill(self, reply: bytes) -> None:
        """The reply is here; it leaves when its turn has come."""
        self.reply = reply
        self._connection.replied(self._row, self._keys, reply)


class Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport
    parser: RequestParser
    session: Session

    def __init__(self, door: RespDoor, loop: asyncio.AbstractEventLoop) -> None:
        self.door = door
        self.limits = door.limits
        self.loop = loop
        self.tasks: set[asyncio.Task[None]] = set()
        self._row = KeyOrder()
        self._slots: deque[_Slot | bytes] = deque()
        """The replies to come, in the order of the commands; bytes are there already."""
        self._held: tuple[Row, list[bytes]] | None = None
        self._unsent_bytes = 0
        self._usual_reply_bytes = FIRST_REPLY_BYTES
        """The largest of the recent replies: who reads large values gets few at a time, or they would flood the nodes'
        streams to this door, which others use too."""
        self._reply_due = False
        self._at_eof = False
        self._ending = False
        self._finished = False
        self._reading_paused = False
        self._clogged_since_s: float | None = None
        self._last_data_s = loop.time()
        self._lingering: asyncio.TimerHandle | None = None

    # From the event loop ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self.limits.unsent_bytes)
        host, port, *_ = self.transport.get_extra_info("peername") or ("", 0)
        inline = self.limits.parser.inline and _is_loopback(host)
        self.parser = RequestParser(replace(self.limits.parser, inline=inline))
        number = next(self.door.numbers)
        self.session = Session(self.door.store, number, f"{host}:{port}", self.loop.time(), self.door.sessions)
        if len(self.door.connections) >= self.limits.connections:
            self._end_with(error("ERR max number of clients reached"))
            self._flush()
            return
        self.door.sessions[number] = self.session
        self.door.connections[number] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self._finished = True
        self._slots.clear()
        if self._lingering:
            self._lingering.cancel()
        self.door.sessions.pop(self.session.number, None)
        self.door.connections.pop(self.session.number, None)

    def data_received(self, data: bytes) -> None:
        if not self._ending:
            self._last_data_s = self.loop.time()
            self.parser.feed(data)
            self._pump()

    def eof_received(self) -> bool:
        """The client sends no more: what it has sent is answered, then the connection ends."""
        self._at_eof = True
        self._pump()
        return not self._finished

    def pause_writing(self) -> None:
        self._clogged_since_s = self.loop.time()

    def resume_writing(self) -> None:
        self._clogged_since_s = None
        self._pump()

    # From the door ----------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether commands of this client are under way."""
        return bool(self._slots)

    def check(self, now_s: float) -> None:
        """Hang up when the client has stalled."""
        patience_s = self.limits.stalled_s
        clogged = self._clogged_since_s is not None and now_s - self._clogged_since_s > patience_s
        half = self.parser.in_command and not self._slots and not self._held
        if clogged or (half and now_s - self._last_data_s > patience_s):
            self.transport.abort()

    def hang_up(self) -> None:
        """The door closes."""
        self._flush()
        self._ending = self._finished = True
        self.transport.close()

    # Commands in ------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start commands until there is none, or one must wait; then send what is ready."""
        try:
            while self._has_room() and self._advance():
                pass
        except ProtocolError as wrong:
            self._end_with(error(f"ERR {wrong}"))
        except ForeignProtocol:
            self._ending = True
        self._flush()
        self._throttle()

    def _has_room(self) -> bool:
        if self._ending or self._clogged_since_s is not None:
            return False
        if len(self._slots) >= self._most_under_way() or self._unsent_bytes >= self.limits.unsent_bytes:
            self._flush()
        return len(self._slots) < self._most_under_way() and self._unsent_bytes < self.limits.unsent_bytes

    def _most_under_way(self) -> int:
        return min(self.limits.pipelined, 1 + self.limits.unsent_bytes // self._usual_reply_bytes)

    def _advance(self) -> bool:
        """Start one command. False: there is none, or another on this connection must end first."""
        if self._held is None:
            args = self.parser.next()
            if args is None:
                self._ending = self._at_eof
                return False
            row = TABLE.get(args[0]) or TABLE.get(args[0].upper())
            if row is None:
                self._answer(refusal(args))
                return True
            if not row.accepts(args):
                self._answer(misuse(row))
                return True
            self._held = (row, args)
        return self._start(*self._held)

    def _start(self, row: Row, args: list[bytes]) -> bool:
        keys = row.keys_of(args)
        if not self._row.admits(row.touches, keys):
            return False
        self._held = None
        self.session.commands += 1
        self.session.last_command = row.name
        doing = row.run(self.session, args)
        if isinstance(doing, bytes):
            self._answer(doing)
            self._ending = row.name == "quit"
        elif isinstance(doing, Single):
            self._begin(row, keys, doing)
        else:
            slot = self._enter(row, keys, None)
            task = self.loop.create_task(self._run(doing, slot))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return True

    def _begin(self, row: Row, keys: list[bytes], single: Single) -> None:
        try:
            self.door.store.check(single.operation)
        except OperationError as failed:
            self._answer(error_reply(failed))
            return
        self.door.store.local.begin(single.operation, self._enter(row, keys, single).ended)

    def _enter(self, row: Row, keys: list[bytes], single: Single | None) -> _Slot:
        self._row.enter(row.touches, keys)
        slot = _Slot(self, row, keys, single)
        self._slots.append(slot)
        return slot

    async def _run(self, doing: Coroutine[Any, Any, bytes], slot: _Slot) -> None:
        try:
            reply = await doing
        except Exception as failed:  # noqa: BLE001 - also a defect of ours is answered
            reply = error_reply(failed)
        slot.fill(reply)

    def replied(self, row: Row, keys: list[bytes], reply: bytes) -> None:
        """A command has its reply. Those of one moment leave in one piece."""
        self._row.leave(row.touches, keys)
        self._unsent_bytes += len(reply)
        self._usual_reply_bytes = max(len(reply), self._usual_reply_bytes * 15 // 16, 1)
        if not self._reply_due:
            self._reply_due = True
            self.door.owes(self)

    def pay(self) -> None:
        """Send the replies that have come, and go on with what waited for them."""
        self._reply_due = False
        if self._finished:
            return
        self._flush()
        if self._held or self._reading_paused or self._at_eof or self.parser.in_command:
            self._pump()

    def _throttle(self) -> None:
        """Read from the client only while there is room for what it sends."""
        wanted = (self._held is None and self._has_room()) or self._ending
        if self._finished and not self._lingering:
            return
        if wanted and self._reading_paused:
            self.transport.resume_reading()
        elif not wanted and not self._reading_paused:
            self.transport.pause_reading()
        self._reading_paused = not wanted

    # Replies out ------------------------------------------------------------------------------------------------------

    def _answer(self, reply: bytes) -> None:
        self._slots.append(reply)
        self._unsent_bytes += len(reply)

    def _end_with(self, last: bytes) -> None:
        """Answer what came before, say why, and end."""
        self._answer(last)
        self._ending = True

    def _flush(self) -> None:
        """Send the replies whose turn has come; hang up after the last one."""
        slots = self._slots
        ready = []
        while slots:
            first = slots[0]
            reply = first if isinstance(first, bytes) else first.reply
            if reply is None:
                break
            ready.append(reply)
            slots.popleft()
        if ready:
            piece = b"".join(ready) if len(ready) > 1 else ready[0]
            self._unsent_bytes -= len(piece)
            self.transport.write(piece)
        if self._ending and not self._slots and not self._finished:
            self._finished = True
            self._linger()

    def _linger(self) -> None:
        """Close after the client has: TCP closed with requests unread resets, and the last replies are lost."""
        if self._at_eof or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_S, self.transport.abort)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
