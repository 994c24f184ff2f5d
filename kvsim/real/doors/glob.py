"""Matches keys against Redis' glob patterns (`*`, `?`, `[a-z]`, `[^a]`, `\\*`) in time proportional to key × pattern.

Two pointers and one place to go back to, the last star: many stars cannot make it hang, as they would with recursion.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST_PATTERN_BYTES = 1_024

_Element = Callable[[int], bool] | None
"""Whether a byte matches; None is a star."""


class Glob:
    """A pattern, ready to match.

    >>> Glob(b"user:[0-9]*").matches(b"user:42")
    True
    """

    def __init__(self, pattern: bytes) -> None:
        if len(pattern) > LONGEST_PATTERN_BYTES:
            raise ValueError(f"the pattern has {len(pattern)} bytes, the limit is {LONGEST_PATTERN_BYTES}")
        self._elements = _parse(pattern)

    def matches(self, key: bytes) -> bool:
        """Whether the whole key matches."""
        elements = self._elements
        at = place = 0
        star, resume = -1, 0
        while at < len(key):
            element = elements[place] if place < len(elements) else _never
            if element is None:
                star, resume = place, at
                place += 1
            elif element(key[at]):
                at += 1
                place += 1
            elif star >= 0:
                resume += 1
                at, place = resume, star + 1
            else:
                return False
        return all(element is None for element in elements[place:])


def _parse(pattern: bytes) -> list[_Element]:
    elements: list[_Element] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        at += 1
        if byte == ord("*"):
            if not elements or elements[-1] is not None:
                elements.append(None)
        elif byte == ord("?"):
            elements.append(_always)
        elif byte == ord("["):
            members, at = _members(pattern, at)
            elements.append(members.__contains__)
        else:
            if byte == ord("\\") and at < len(pattern):
                byte = pattern[at]
                at += 1
            elements.append(byte.__eq__)
    return elements


def _members(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes of a class whose `[` has been read, and where the pattern goes on. It need not be closed."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(pattern) and pattern[at] != ord("]"):
        if pattern[at] == ord("\\") and at + 1 < len(pattern):
            at += 1
            members.add(pattern[at])
            at += 1
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(pattern[at])
            at += 1
    return frozenset(set(range(256)) - members if negated else members), at + 1


def _always(_: int) -> bool:
    return True


def _never(_: int) -> bool:
    return False
