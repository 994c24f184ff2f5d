"""Availability: the times in which clients asked and nobody got an answer, for whom, and on which keys.

An outage lasts from the last success before it to the first after it, of a client or of a range of keys, and counts
only where operations began in it: who does not ask misses nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from kvsim.core.history import History, Operation, operations


class Outage(msgspec.Struct, frozen=True):
    """A time without a success."""

    of: str
    """Whose: `process 3`, or `keys "a" to "f"`."""
    begin_ns: int
    end_ns: int
    asked: int
    """How many operations began in it, or were open when it began, and did not succeed."""


def outages(history: History, shortest_ns: int, key_ranges: int = 4) -> list[Outage]:
    """All outages of at least that length, by client and by key range, the longest first.

    A client is known by its process, and after an unknown outcome it counts anew under its next one. Each range holds
    as many of the keys, in their order, as the others do.
    """
    found = [o for o in operations(history) if o.key is not None]
    range_of = _ranges(found, key_ranges)
    groups: dict[str, list[Operation]] = {}
    for o in found:
        groups.setdefault(f"process {o.process}", []).append(o)
        groups.setdefault(range_of[_text(o)], []).append(o)
    some = [outage for of, own in groups.items() for outage in _of_group(of, own, shortest_ns)]
    return sorted(some, key=lambda o: (o.begin_ns - o.end_ns, o.of))


def _of_group(of: str, own: list[Operation], shortest_ns: int) -> Iterator[Outage]:
    """The gaps between successes, from the first question of the group to its last answer."""
    begin = min(o.invoked_ns for o in own)
    end = max(o.invoked_ns if o.completed_ns is None else o.completed_ns for o in own)
    done = sorted(o.completed_ns for o in own if o.outcome == "ok" and o.completed_ns is not None)
    for before, after in pairwise([begin, *done, end]):
        if after - before < shortest_ns:
            continue
        failed = (o for o in own if o.outcome != "ok" and o.invoked_ns < after)
        asked = sum(1 for o in failed if o.completed_ns is None or o.completed_ns > before)
        if asked:
            yield Outage(of, before, after, asked)


def _ranges(found: Sequence[Operation], count: int) -> dict[str, str]:
    """The range that each key lies in."""
    keys = sorted({_text(o) for o in found})
    size = max(1, -(-len(keys) // count))
    parts = [keys[i : i + size] for i in range(0, len(keys), size)]
    return {key: f'keys "{part[0]}" to "{part[-1]}"' for part in parts for key in part}


def _text(o: Operation) -> str:
    return o.key if isinstance(o.key, str) else repr(o.key)
