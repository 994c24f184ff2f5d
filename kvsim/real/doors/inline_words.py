"""Splits a line typed by a person into words, quotes and escapes included, as Redis does it."""

from __future__ import annotations

import re

_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_HEX = re.compile(rb"\\x([0-9a-fA-F]{2})|\\(.)", re.DOTALL)
_WORD = re.compile(
    rb"""\s*(?:
        "(?P<double>(?:[^"\\]|\\.)*)"(?=\s|$)
      | '(?P<single>(?:[^'\\]|\\.)*)'(?=\s|$)
      | (?P<plain>[^\s"']+)(?=\s|$)
    )""",
    re.VERBOSE | re.DOTALL,
)


def split_words(line: bytes) -> list[bytes]:
    r"""The words of a line. Raises ValueError for quotes that do not match.

    >>> split_words(b'SET k "a\\x41 b"')
    [b'SET', b'k', b'aA b']
    """
    words: list[bytes] = []
    at = 0
    line = line.strip()
    while at < len(line):
        found = _WORD.match(line, at)
        if not found:
            raise ValueError("unbalanced quotes in request")
        if found["double"] is not None:
            words.append(_HEX.sub(_unescape, found["double"]))
        elif found["single"] is not None:
            words.append(found["single"].replace(b"\\'", b"'"))
        else:
            words.append(found["plain"])
        at = found.end()
    return words


def _unescape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1], 16)])
    return _ESCAPES.get(found[2], found[2])
