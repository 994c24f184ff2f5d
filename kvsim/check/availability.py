"""Availability: the times in which clients asked and nobody got an answer, for whom, and on which keys.

An outage, of a client or of a range of keys, lies between one success and the next: it begins with the first question
that is asked in vain and ends with the last that was, or with the success. Who does not ask misses nothing, and who is
answered late has waited, which latencies show.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec

from kvsim.core.history import History, Operation, operations


class Outage(msgspec.Struct, frozen=True):
    """A time without a success."""

    of: str
    """Whose: `client 3`, or `keys "a" to "f"`."""
    begin_ns: int
    end_ns: int
    asked: int
    """How many operations began in it, or were open when it began, and did not succeed."""

    @property
    def length_ns(self) -> int:
        """How long it lasted."""
        return self.end_ns - self.begin_ns


def outages(history: History, shortest_ns: int, key_ranges: int = 4) -> list[Outage]:
    """All outages of at least that length, by client and by key range, the longest first.

    A client is named by its first process. One whose process ended with an unknown outcome goes on under a new number:
    a process that begins late is taken for the client that has waited longest so. A refused condition is no success
    here, since a history does not tell it from a refusal to serve.
    """
    found = [o for o in operations(history) if o.key is not None]
    clients = clients_of(history)
    some = [
        *_of_groups(found, lambda o: f"client {clients[o.process]}", shortest_ns, _succeeded),
        *_of_groups(found, key_range_of(found, key_ranges), shortest_ns, _succeeded),
    ]
    return sorted(some, key=lambda o: (-o.length_ns, o.of))


def longest_outage_ns(
    found: Iterable[Operation], of: Callable[[Operation], str], succeeded: Callable[[Operation], bool]
) -> int:
    """The longest outage of a group of operations, where `of` names each one's; 0 if none had one."""
    return max((o.length_ns for o in _of_groups(found, of, 0, succeeded)), default=0)


def clients_of(history: History) -> dict[int, int]:
    """By process, the first process of its client."""
    clients: dict[int, int] = {}
    waiting: deque[int] = deque()
    for event in history.events:
        if event.type == "info":
            waiting.append(clients[event.process])
        elif event.process not in clients:
            clients[event.process] = waiting.popleft() if waiting else event.process
    return clients


def key_range_of(found: Iterable[Operation], count: int = 4) -> Callable[[Operation], str]:
    """Names the range that an operation's key lies in; each holds as many of the keys, in their order, as others do."""
    keys = sorted({_text(o) for o in found})
    size = max(1, -(-len(keys) // count))
    parts = [keys[i : i + size] for i in range(0, len(keys), size)]
    names = {key: f'keys "{part[0]}" to "{part[-1]}"' for part in parts for key in part}
    return lambda o: names[_text(o)]


def _succeeded(o: Operation) -> bool:
    return o.outcome == "ok"


def _of_groups(
    found: Iterable[Operation],
    of: Callable[[Operation], str],
    shortest_ns: int,
    succeeded: Callable[[Operation], bool],
) -> Iterator[Outage]:
    groups: dict[str, list[Operation]] = {}
    for o in found:
        groups.setdefault(of(o), []).append(o)
    for name, own in groups.items():
        yield from _of_group(name, own, shortest_ns, succeeded)


def _of_group(
    of: str, own: Sequence[Operation], shortest_ns: int, succeeded: Callable[[Operation], bool]
) -> Iterator[Outage]:
    """Of each gap between successes, as much as somebody asked in vain."""
    vain = sorted((o for o in own if not succeeded(o)), key=lambda o: o.invoked_ns)
    if not vain:
        return
    begun = [o.invoked_ns for o in vain]
    last = max(o.invoked_ns if o.completed_ns is None else o.completed_ns for o in own)
    ended = [last if o.completed_ns is None else o.completed_ns for o in vain]
    latest, by_end = list(accumulate(ended, max)), sorted(ended)
    done = sorted(o.completed_ns for o in own if o.completed_ns is not None and succeeded(o))
    for before, after in pairwise([-1, *done, last + 1]):
        first, beyond = bisect_left(begun, before), bisect_left(begun, after)
        asked = beyond - bisect_right(by_end, before)
        if asked <= 0:
            continue
        was_open = first > 0 and latest[first - 1] > before
        begin_ns = before if was_open else begun[first]
        end_ns = min(latest[beyond - 1], after)
        if end_ns - begin_ns >= shortest_ns:
            yield Outage(of, begin_ns, end_ns, asked)


def _text(o: Operation) -> str:
    return o.key if isinstance(o.key, str) else repr(o.key)
