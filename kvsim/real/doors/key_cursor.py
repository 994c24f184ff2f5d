"""SCAN without state in the server: keys in the order of a 64-bit hash, and a cursor that is the last hash given.

A cursor stays good for ever, at any node, over restarts: a key that is present during the whole iteration has one hash,
so some call passes it. The price: each call reads the whole store and keeps the next `count` hashes.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from hashlib import blake2b

from kvsim.core.operation import Key

LAST_CURSOR = 2**64 - 1


def key_hash(key: Key) -> int:
    """A key's place in the iteration, 1 to 2^64 − 1: cursor 0 is the start, and the end."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") or 1


async def next_slice(keys: AsyncIterator[Key], cursor: int, count: int) -> tuple[int, list[Key]]:
    """The cursor to go on with, 0 at the end; and the keys of the next `count` hashes after `cursor`."""
    by_hash: dict[int, list[Key]] = {}
    largest: list[int] = []  # negated: heapq keeps the smallest first
    more = False
    async for key in keys:
        place = key_hash(key)
        if place <= cursor:
            continue
        if place in by_hash:
            by_hash[place].append(key)
        elif len(by_hash) < count:
            by_hash[place] = [key]
            heapq.heappush(largest, -place)
        else:
            more = True
            if place < -largest[0]:
                del by_hash[-heapq.heapreplace(largest, -place)]
                by_hash[place] = [key]
    found = [key for place in sorted(by_hash) for key in by_hash[place]]
    return (-largest[0] if more else 0), found
