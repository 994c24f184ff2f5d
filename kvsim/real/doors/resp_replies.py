"""Writes Redis' replies as bytes, in RESP2 and RESP3. https://redis.io/docs/latest/develop/reference/protocol-spec/"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OK = b"+OK\r\n"
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
_LONGEST_LINE_BYTES = 512


def status(text: str) -> bytes:
    """A line of success."""
    return _line(b"+", text)


def error(text: str) -> bytes:
    """A line of failure; its first word, in capitals, is what clients look at."""
    return _line(b"-", text)


def _line(kind: bytes, text: str) -> bytes:
    # A client's own text may stand in here: its line ends would begin a reply of its own making.
    return kind + text.encode(errors="replace")[:_LONGEST_LINE_BYTES].translate(_LINE_ENDS) + b"\r\n"


def integer(number: int) -> bytes:
    """A whole number."""
    return b":%d\r\n" % number


def bulk(data: bytes) -> bytes:
    """Bytes, with their length before them."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def nil(protocol: int) -> bytes:
    """Nothing is there."""
    return b"$-1\r\n" if protocol == 2 else b"_\r\n"


def text(lines: str, protocol: int) -> bytes:
    """A text for people, such as INFO's."""
    data = lines.encode(errors="replace")
    return bulk(data) if protocol == 2 else b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data)


def array(replies: Sequence[bytes]) -> bytes:
    """Replies in a row."""
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


def mapping(pairs: Iterable[tuple[bytes, bytes]], protocol: int) -> bytes:
    """Replies by name; in RESP2 a flat array."""
    flat = [reply for pair in pairs for reply in pair]
    if protocol == 2:
        return array(flat)
    return b"%%%d\r\n%b" % (len(flat) // 2, b"".join(flat))
