"""The hash by which keys and nodes are placed: the same in every process, on every machine, for ever."""

from __future__ import annotations

import hashlib

POSITIONS = 2**64
"""Positions on the ring."""


def position(name: bytes) -> int:
    """A place on the ring for a key or a token: the first 64 bits of BLAKE2b, spread evenly."""
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
