"""Reads Redis' requests from bytes: a strict parser that knows every limit, and a quick one for what is ordinary.

A request is an array of bulk strings, `*2 $3 GET $1 k` with a line end after each part, or a line of words ("inline")
as people type them into telnet. Errors are worded as Redis words them.
Specification: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from kvsim.real.doors.inline_words import split_words

Command = list[bytes]


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What is too much for one request."""

    elements: int = 1_048_576
    command_bytes: int = 16 * 1_048_576
    inline_bytes: int = 65_536
    inline: bool = True
    """Whether lines of words are served. Only where no browser can be made to send them: on loopback."""


class ProtocolError(Exception):
    """The bytes are no request. The connection ends with this answer: nobody knows where the next request starts."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Protocol error: {reason}")


class ForeignProtocol(Exception):
    """The bytes speak HTTP or TLS: a browser was sent here by a trick. Closed without a word."""


_COUNT = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_HEADER_BYTES = 32
_HTTP = re.compile(rb"HTTP/\d\.\d\s*$|^(?:POST\s|Host:)", re.IGNORECASE)


class StrictParser:
    """Takes bytes in any pieces, gives commands in order."""

    def __init__(self, limits: ParserLimits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._args: Command = []
        self._missing = 0
        self._bulk_bytes = -1
        self._command_bytes = 0

    @property
    def in_command(self) -> bool:
        """Whether a command has begun and not ended."""
        return bool(self._missing or self.unread_bytes)

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def take_rest(self) -> bytes:
        """Hand over what follows the last command; only between two commands."""
        rest = bytes(self._buffer[self._at :])
        self._buffer.clear()
        self._at = 0
        return rest

    def next(self) -> Command | None:
        """The next whole command, None when more bytes are needed. Raises ProtocolError or ForeignProtocol."""
        while True:
            if not self._missing:
                if self._at >= len(self._buffer):
                    return None
                if self._buffer[self._at] != ord("*"):
                    words = self._inline()
                    if words is None or words:
                        return words
                    continue
                if not self._begin():
                    return None
            elif not self._bulk():
                return None
            elif not self._missing:
                args, self._args = self._args, []
                return args

    def _begin(self) -> bool:
        """Read `*N`; one of no elements is passed over. False: more bytes are needed."""
        count = self._count("multibulk length")
        if count is None:
            return False
        if count > self.limits.elements:
            raise ProtocolError("invalid multibulk length")
        self._missing = max(count, 0)
        self._command_bytes = 0
        return True

    def _bulk(self) -> bool:
        """Read one `$N` with its bytes. False: more bytes are needed."""
        buffer = self._buffer
        if self._bulk_bytes < 0:
            if self._at >= len(buffer):
                return False
            if buffer[self._at] != ord("$"):
                raise ProtocolError(f"expected '$', got {chr(buffer[self._at])!r}")
            length = self._count("bulk length")
            if length is None:
                return False
            self._command_bytes += length
            if length < 0 or self._command_bytes > self.limits.command_bytes:
                raise ProtocolError("invalid bulk length")
            self._bulk_bytes = length
        end = self._at + self._bulk_bytes
        if len(buffer) < end + 2:
            return False
        if buffer[end : end + 2] != b"\r\n":
            raise ProtocolError("a bulk string is longer than its length says")
        self._args.append(bytes(buffer[self._at : end]))
        self._at = end + 2
        self._bulk_bytes = -1
        self._missing -= 1
        return True

    def _count(self, what: str) -> int | None:
        """Read the number of a header line; None when more bytes are needed."""
        end = self._buffer.find(b"\r\n", self._at, self._at + _HEADER_BYTES)
        if end < 0:
            if len(self._buffer) - self._at >= _HEADER_BYTES:
                raise ProtocolError(f"invalid {what}")
            return None
        digits = bytes(self._buffer[self._at + 1 : end])
        if not _COUNT.fullmatch(digits):
            raise ProtocolError(f"invalid {what}")
        self._at = end + 2
        return int(digits)

    def _inline(self) -> Command | None:
        """Read a line of words; empty for an empty line, None when more bytes are needed."""
        if self._buffer.startswith(b"\x16\x03", self._at):
            raise ForeignProtocol
        end = self._buffer.find(b"\n", self._at, self._at + self.limits.inline_bytes + 1)
        if end < 0:
            if len(self._buffer) - self._at > self.limits.inline_bytes:
                raise ProtocolError("too big inline request")
            return None
        line = bytes(self._buffer[self._at : end]).rstrip(b"\r")
        self._at = end + 1
        if _HTTP.search(line):
            raise ForeignProtocol
        if line and not self.limits.inline:
            raise ProtocolError("a request is an array of bulk strings; lines of words are served on loopback only")
        try:
            return split_words(line)
        except ValueError as error:
            raise ProtocolError(str(error)) from None


_COUNTS = {b"*%d" % count: count for count in range(1, 33)}
"""The first lines of ordinary commands."""
_LINES_AT_ONCE = 512
"""So that what a client sends at once is not all turned into many small objects before there is room for it."""


class RequestParser:
    """The parser of a connection: ordinary commands that have come whole are cut at their line ends, in one go.

    What they are cut into must be what a client would have sent for these arguments; where it is not, since a value has
    line ends of its own or the bytes are no request, StrictParser judges them. So both always agree.
    """

    def __init__(self, limits: ParserLimits) -> None:
        self.limits = limits
        self._strict = StrictParser(limits)
        self._half = False
        """Whether the strict parser reads a command that began in one piece and ends in another."""
        self._ready: deque[Command] = deque()
        self._rest = b""
        """What follows the commands that are ready."""

    @property
    def in_command(self) -> bool:
        """Whether bytes wait that are no whole command yet, or that nobody has asked for."""
        return bool(self._ready or self._rest) or self._strict.in_command

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait to be read."""
        return len(self._rest) + self._strict.unread_bytes

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._strict.in_command:
            self._strict.feed(data)
            self._half = True
        else:
            self._rest += data

    def next(self) -> Command | None:
        """The next whole command, None when more bytes are needed. Raises ProtocolError or ForeignProtocol."""
        if self._rest and not self._ready:
            self._cut()
        if self._ready:
            return self._ready.popleft()
        command = self._strict.next()
        if command is not None and self._half:
            self._half = False
            self._rest = self._strict.take_rest()
        return command

    def _cut(self) -> None:
        """Cut off whole ordinary commands; when the first is none, leave all to the strict parser."""
        rest, self._rest = self._rest, b""
        if len(rest) <= self.limits.command_bytes:
            lines = rest.split(b"\r\n", _LINES_AT_ONCE)
            begin, last = 0, len(lines) - 1
            while begin < last:
                count = _COUNTS.get(lines[begin], 0)
                end = begin + 1 + 2 * count
                if not 0 < count <= self.limits.elements or end > last:
                    break
                args = lines[begin + 2 : end : 2]
                if lines[begin + 1 : end : 2] != [b"$%d" % len(arg) for arg in args]:
                    break
                self._ready.append(args)
                begin = end
            if begin:
                self._rest = b"\r\n".join(lines[begin:])
                return
        self._strict.feed(rest)
