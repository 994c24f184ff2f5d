"""Datagrams over UDP: small messages that may be lost, repeated or reordered; heartbeats travel so.

A packet is a CRC-32 of the rest, eight bytes that name the cluster and its design, the sender's name and the message.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import zlib
from collections.abc import Callable, Mapping

from kvsim.core.message import DATAGRAM_LIMIT_BYTES, NodeId
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import CorruptFrame, Hello
from kvsim.transport.tcp import Address

_HEADER = struct.Struct(">I8sB")
PACKET_LIMIT_BYTES = 2_048
READ_AT_ONCE = 64
"""Datagrams taken in one turn of the loop, so that a flood of them does not keep the streams waiting."""


class Datagrams:
    """The datagram socket of one node. `receive(peer, payload)` gets each message and may raise `CorruptFrame`."""

    def __init__(
        self,
        me: Hello,
        addresses: Mapping[NodeId, Address],
        receive: Callable[[NodeId, bytes], None],
        complaints: Complaints,
    ) -> None:
        self.me, self.addresses, self.receive, self.complaints = me, addresses, receive, complaints
        name = f"{me.protocol}/{me.cluster}/{me.design}"
        self._cluster = hashlib.blake2b(name.encode(), digest_size=8).digest()
        self._sender = me.node.encode()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None

    def listen(self, address: Address) -> None:
        """Bind the socket. Raises `OSError` where the port is taken."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((address.host, address.port))
        except OSError:
            self.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def send(self, to: NodeId, payload: bytes) -> None:
        """Send, and forget; what is too large, or more than the kernel has room for, is dropped and counted."""
        if len(payload) > DATAGRAM_LIMIT_BYTES:
            self.complaints.add(
                "oversized datagrams",
                f"dropped a datagram of {len(payload)} bytes to {to}, where {DATAGRAM_LIMIT_BYTES} are allowed; "
                "a defect of the protocol, which must send it on Channel.STREAM",
            )
            return
        address = self.addresses.get(to)
        if address is None or self._socket is None:
            self.complaints.counts["messages to nobody"] += 1
            return
        rest = self._cluster + bytes((len(self._sender),)) + self._sender + payload
        try:
            self._socket.sendto(zlib.crc32(rest).to_bytes(4, "big") + rest, (address.host, address.port))
        except OSError:  # the queue is full, or the peer is down: datagrams do not mind
            self.complaints.counts["datagrams dropped"] += 1

    def _readable(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._socket is None:
                return
            try:
                data, sender = self._socket.recvfrom(PACKET_LIMIT_BYTES)
            except OSError:  # nothing more
                return
            try:
                self.receive(*self._opened(data))
            except CorruptFrame as error:
                self.complaints.add("corrupt datagrams", f"{sender[0]}:{sender[1]} sent {error}; it is dropped")

    def _opened(self, data: bytes) -> tuple[NodeId, bytes]:
        if len(data) < _HEADER.size:
            raise CorruptFrame("a datagram too short to be one")
        checksum, cluster, name_length = _HEADER.unpack_from(data)
        if zlib.crc32(data[4:]) != checksum:
            raise CorruptFrame("a datagram whose checksum does not match")
        if cluster != self._cluster:
            raise CorruptFrame("a datagram of another cluster, design or version")
        start = _HEADER.size + name_length
        name = data[_HEADER.size : start].decode(errors="replace")
        if name not in self.addresses:
            raise CorruptFrame("a datagram of a node that is not in the cluster file")
        return name, data[start:]

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
