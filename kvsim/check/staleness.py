"""Staleness: how far behind a read was, in time and in versions, and whether that keeps a bound.

A read is stale if some write of its key began after the returned value's write had ended, and was acknowledged before
the read began. How stale it is counts from the first such acknowledgement to the beginning of the read. With writes of
a key that never overlap this is the Δ of Golab, Li and Shah, "Analyzing consistency properties for fun and profit",
PODC 2011.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from kvsim.check.verdict import NotRefuted, Refuted, Verdict, Witness
from kvsim.check.wording import told
from kvsim.core.history import ERASURES, NEVER, WRITES, History, Key, Operation, operations

_BEFORE_ALL = -1


def bounded_staleness(history: History, versions: int | None = None, seconds: float | None = None) -> Verdict:
    """Refuted by the stalest read, if it is behind by more than `versions` newer writes or `seconds`.

    A write is newer than a read's value if it began after that value's own write had ended.
    """
    assert (versions is None) != (seconds is None), "one bound at a time"
    reads, keys = _laid_out(history)
    if seconds is not None:
        behind = [keys[o.key].behind_ns(o) if o.key in keys else 0 for o in reads]
        bound: float = seconds * 1e9
    else:
        assert versions is not None
        behind, bound = _versions_behind(reads, keys), versions
    worst = max(range(len(reads)), key=behind.__getitem__, default=None)
    if worst is None or behind[worst] <= bound:
        return NotRefuted()
    read = reads[worst]
    newer = keys[read.key].first_newer(read)
    amount = f"{behind[worst] / 1e9:.9g} s" if seconds is not None else f"{behind[worst]} versions"
    sentence = f"{told(read)}, although {told(newer)}: it was {amount} behind"
    source = [o for o in keys[read.key].writers.get(read.answer, ()) if o.invoked < read.completed][-1:]
    return Refuted(Witness(read.key, (*source, newer, read), sentence))


def _versions_behind(reads: Sequence[Operation], keys: "dict[Key | None, _Key]") -> list[int]:
    """For each read, how many newer writes were complete when it began: those complete, less those begun too early."""
    behind = [0] * len(reads)
    of_key: dict[Key | None, list[int]] = {}
    for i, read in enumerate(reads):
        if read.key in keys:
            of_key.setdefault(read.key, []).append(i)
    for key, numbers in of_key.items():
        judge = keys[key]
        counted = _Counts(len(judge.begins))
        waiting = sorted(range(len(judge.acknowledged)), key=lambda i: judge.acknowledged[i].completed)
        done = 0
        for i in numbers:  # in the order in which the reads began
            while done < len(waiting) and judge.acknowledged[waiting[done]].completed < reads[i].invoked:
                counted.add(waiting[done])
                done += 1
            ended = judge.ended(reads[i])
            behind[i] = 0 if ended == NEVER else done - counted.below(bisect_right(judge.begins, ended))
    return behind


class _Counts:
    """How many of some numbers are below another, one added at a time (Fenwick 1994)."""

    def __init__(self, size: int) -> None:
        self.tree = [0] * (size + 1)

    def add(self, number: int) -> None:
        number += 1
        while number < len(self.tree):
            self.tree[number] += 1
            number += number & -number

    def below(self, number: int) -> int:
        total = 0
        while number:
            total += self.tree[number]
            number &= number - 1
        return total


def staleness(history: History) -> list[int]:
    """Of each answered read, in the order in which they began, how many nanoseconds it was behind (0: fresh). One that
    began in the very nanosecond of an acknowledgement, and after it, is 1 behind when it missed that write.

    A value that nobody is known to have written counts as fresh: it is wrong, not old. Deletes count as writes of
    absence. O(n log n).
    """
    reads, keys = _laid_out(history)
    return [keys[o.key].behind_ns(o) if o.key in keys else 0 for o in reads]


def _laid_out(history: History) -> "tuple[list[Operation], dict[Key | None, _Key]]":
    """The answered reads, in the order in which they began, and what they can be compared with."""
    found = [o for o in operations(history) if o.key is not None and o.outcome != "fail"]
    changes: dict[Key | None, list[Operation]] = {}
    for o in found:
        if o.op in WRITES or o.op in ERASURES:
            changes.setdefault(o.key, []).append(o)
    keys = {key: _Key(of_key) for key, of_key in changes.items()}
    return [o for o in found if o.op == "read" and o.outcome == "ok"], keys


class _Key:
    """The changes of one key, so laid out that a read finds the first acknowledgement after a given moment."""

    def __init__(self, changes: list[Operation]) -> None:
        self.writers: dict[object, list[Operation]] = {}
        for o in changes:
            self.writers.setdefault(None if o.op in ERASURES else o.value, []).append(o)
        self.acknowledged = [o for o in changes if o.completed != NEVER]
        self.begins = [o.invoked for o in self.acknowledged]
        self.first_end = list(
            accumulate(reversed(self.acknowledged), _first_to_end)
        )  # of those that began here or later
        self.first_end.reverse()

    def behind_ns(self, read: Operation) -> int:
        """How long the returned value had been replaced when the read began; at least 1 if it had been."""
        ended = self.ended(read)
        if ended == NEVER:
            return 0
        i = bisect_right(self.begins, ended)
        if i == len(self.begins) or self.first_end[i].completed > read.invoked:
            return 0
        return max(1, read.invoked_ns - (self.first_end[i].completed_ns or 0))

    def first_newer(self, read: Operation) -> Operation:
        """The first write to be acknowledged of those newer than what a stale read returned."""
        return self.first_end[bisect_right(self.begins, self.ended(read))]

    def ended(self, read: Operation) -> int:
        """When the write of the returned value had ended; of several the one that makes the read freshest."""
        writers = self.writers.get(read.answer, ())
        ends = [o.completed for o in writers if o.invoked < read.completed]
        if read.answer is None:
            ends.append(_BEFORE_ALL)
        return max(ends, default=NEVER)


def _first_to_end(a: Operation, b: Operation) -> Operation:
    return a if a.completed < b.completed else b
