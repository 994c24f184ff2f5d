"""Frames: how a stream of bytes is cut into messages, each with length and checksum, and the greeting that opens it.

A frame is the length and the CRC-32 of its payload (four bytes each, big-endian), then the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import msgspec

from kvsim.core.message import NodeId

PROTOCOL_VERSION = 1
FRAME_LIMIT_BYTES = 16 * 1_048_576
"""The largest payload: sixteen values of the largest size, so a page of a scan or a part of a snapshot."""
GREETING_LIMIT_BYTES = 4_096
"""The largest payload that is taken from someone who has not said who he is."""

_HEADER = struct.Struct(">II")
_pack, _unpack = _HEADER.pack, _HEADER.unpack_from
HEADER_BYTES = _HEADER.size


class CorruptFrame(Exception):
    """The bytes are no frame: too long, or damaged on the way. What follows cannot be trusted: the stream is closed."""


def framed(payload: bytes) -> bytes:
    """The payload as it travels. Raises `ValueError` beyond the limit: the receiver would refuse it."""
    if len(payload) > FRAME_LIMIT_BYTES:
        raise ValueError(f"a message of {len(payload)} bytes is beyond a frame's {FRAME_LIMIT_BYTES}; send it in parts")
    return _pack(len(payload), crc32(payload)) + payload


class FrameReader:
    """Finds the frames in the pieces of a stream, however it was cut on the way."""

    __slots__ = ("_buffer", "_needed", "limit_bytes")

    def __init__(self, limit_bytes: int = FRAME_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._needed = HEADER_BYTES

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Each whole payload, in order. Raises `CorruptFrame` where the stream is damaged."""
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:  # a long frame comes in many pieces: look at it once, not at each
                return
            buffer, self._buffer = self._buffer, bytearray()
        at, size = 0, len(buffer)
        self._needed = HEADER_BYTES
        while size - at >= HEADER_BYTES:
            length, checksum = _unpack(buffer, at)
            if length > self.limit_bytes:
                raise CorruptFrame(f"a frame of {length} bytes, where {self.limit_bytes} are allowed")
            start = at + HEADER_BYTES
            end = start + length
            if end > size:
                self._needed = end - at
                break
            payload = bytes(buffer[start:end])
            if crc32(payload) != checksum:
                raise CorruptFrame("a frame whose checksum does not match")
            at = end
            yield payload
        if at < size:
            self._buffer = bytearray(buffer[at:])


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first frame of both ends: who speaks, of what cluster and design.

    Append-only, so that two versions can refuse each other in words."""

    protocol: int
    cluster: str
    design: str
    """The fingerprint of the design: nodes of two designs would misunderstand each other."""
    node: NodeId
    incarnation: int
    to: NodeId = ""
    """Whom the caller means to reach."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The answer to a hello that is not welcome; the stream is closed after it."""

    reason: str


_greeting: msgspec.msgpack.Decoder[Hello | Refused] = msgspec.msgpack.Decoder(Hello | Refused)
_encode = msgspec.msgpack.Encoder().encode


def greeting(frame: Hello | Refused) -> bytes:
    """A greeting as a frame."""
    return framed(_encode(frame))


def read_greeting(payload: bytes) -> Hello | Refused:
    """The greeting in a frame. Raises `CorruptFrame` for anything else."""
    try:
        found: Hello | Refused = _greeting.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptFrame(f"a first frame that is no greeting ({error})") from error
    return found


def why_refuse(mine: Hello, theirs: Hello) -> str | None:
    """Why these two must not talk to each other; None where they may."""
    if theirs.protocol != mine.protocol:
        return (
            f"{mine.node} speaks protocol {mine.protocol} and {theirs.node} protocol {theirs.protocol}; "
            "run one version of kvsim"
        )
    if theirs.cluster != mine.cluster:
        return (
            f"{mine.node} belongs to cluster {mine.cluster} and {theirs.node} to {theirs.cluster}; check the addresses"
        )
    if theirs.design != mine.design:
        return (
            f"{mine.node} runs design {mine.design} and {theirs.node} runs {theirs.design}; "
            "start all nodes from one cluster file"
        )
    if theirs.node == mine.node:
        return f"{mine.node} met itself; two nodes have one name, or an address is wrong"
    if theirs.to not in ("", mine.node):
        return f"{theirs.node} called {theirs.to}, but this is {mine.node}; an address in the cluster file is wrong"
    return None
