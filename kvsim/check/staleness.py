"""Staleness: how far behind a read was, in time.

A read is stale if some write of its key began after the returned value's write had ended, and was acknowledged before
the read began. How stale it is counts from the first such acknowledgement to the beginning of the read. With writes of
a key that never overlap this is the Δ of Golab, Li and Shah, "Analyzing consistency properties for fun and profit",
PODC 2011.
"""

from bisect import bisect_right
from itertools import accumulate

from kvsim.core.history import ERASURES, NEVER, WRITES, History, Key, Operation, operations

_BEFORE_ALL = -1


def staleness(history: History) -> list[int]:
    """Of each answered read, in the order in which they began, how many nanoseconds it was behind (0: fresh).

    A value that nobody is known to have written counts as fresh: it is wrong, not old. Deletes count as writes of
    absence. O(n log n).
    """
    found = [o for o in operations(history) if o.key is not None and o.outcome != "fail"]
    changes: dict[Key, list[Operation]] = {}
    for o in found:
        if o.key is not None and (o.op in WRITES or o.op in ERASURES):
            changes.setdefault(o.key, []).append(o)
    keys = {key: _Key(of_key) for key, of_key in changes.items()}
    return [keys[o.key].behind_ns(o) if o.key in keys else 0 for o in found if o.op == "read" and o.outcome == "ok"]


class _Key:
    """The changes of one key, so laid out that a read finds the first acknowledgement after a given moment."""

    def __init__(self, changes: list[Operation]) -> None:
        self.writers: dict[object, list[Operation]] = {}
        for o in changes:
            self.writers.setdefault(None if o.op in ERASURES else o.value, []).append(o)
        acknowledged = [o for o in changes if o.completed != NEVER]
        self.begins = [o.invoked for o in acknowledged]
        self.first_end = list(accumulate(reversed(acknowledged), _first_to_end))  # of those that began here or later
        self.first_end.reverse()

    def behind_ns(self, read: Operation) -> int:
        """How long the returned value had been replaced when the read began."""
        ended = self._ended(read)
        if ended == NEVER:
            return 0
        i = bisect_right(self.begins, ended)
        if i == len(self.begins) or self.first_end[i].completed > read.invoked:
            return 0
        return max(0, read.invoked_ns - (self.first_end[i].completed_ns or 0))

    def _ended(self, read: Operation) -> int:
        """When the write of the returned value had ended; of several the one that makes the read freshest."""
        writers = self.writers.get(read.answer, ())
        ends = [o.completed for o in writers if o.invoked < read.completed]
        if read.answer is None:
            ends.append(_BEFORE_ALL)
        return max(ends, default=NEVER)


def _first_to_end(a: Operation, b: Operation) -> Operation:
    return a if a.completed < b.completed else b
