"""Durability: what was acknowledged is still there at the end, unless something acknowledged replaced it.

Judged are the reads begun after a key's last acknowledged change has ended. What such a read returns must not have been
replaced: no acknowledged write or delete may have begun after the returned value's own write had ended. A write of
unknown outcome may still win at any time, and absence needs a delete, or that nothing was ever acknowledged.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from kvsim.check.verdict import NotRefuted, Refuted, Verdict, Witness
from kvsim.check.wording import shown, told
from kvsim.core.history import ERASURES, NEVER, WRITES, History, Key, Operation, operations

_BEFORE_ALL = -1


class LostWrite(msgspec.Struct, frozen=True):
    """An acknowledged write or delete that is gone, and the read that showed it."""

    write: Operation
    read: Operation


def durability(history: History) -> Verdict:
    """Refuted by the first read that returns what an acknowledged change had replaced."""
    lost = lost_writes(history)
    if not lost:
        return NotRefuted()
    first = min(lost, key=lambda found: (found.read.completed, found.write.completed))
    read, write = first.read, first.write
    sources = [] if read.answer is None else _writers(history, read)
    again = "nothing deleted it" if read.answer is None else f"nothing wrote {shown(read.answer)} again"
    if not sources and read.answer is not None:
        again = "nobody is known to have written what was read"
    sentence = f"{told(read)}, although {told(write)} and {again}"
    together = {o.invoked: o for o in (*sources, write, read)}
    return Refuted(Witness(read.key, tuple(together[i] for i in sorted(together)), sentence))


def lost_writes(history: History) -> list[LostWrite]:
    """Acknowledged changes that a late read misses and that no acknowledged change begun after their end replaced.

    Of changes that overlapped, each counts: nothing says which of them replaced the other. At most one entry a change.
    """
    changes: dict[Key, list[Operation]] = {}
    reads: dict[Key, list[Operation]] = {}
    for o in operations(history):
        if o.key is None or o.outcome == "fail":
            continue
        if o.op in WRITES or o.op in ERASURES:
            changes.setdefault(o.key, []).append(o)
        elif o.op == "read" and o.outcome == "ok":
            reads.setdefault(o.key, []).append(o)
    return [lost for key, of_key in reads.items() for lost in _lost_of_key(changes.get(key, []), of_key)]


def _lost_of_key(changes: Sequence[Operation], reads: Iterable[Operation]) -> list[LostWrite]:
    acknowledged = [o for o in changes if o.completed != NEVER]
    if not acknowledged:
        return []
    quiet = max(o.completed for o in acknowledged)
    last_begin = max(o.invoked for o in acknowledged)
    final = [o for o in acknowledged if o.completed > last_begin]
    final_begins = [o.invoked for o in final]
    ends = _ends(changes)
    lost: dict[int, LostWrite] = {}
    for read in reads:
        if read.invoked < quiet:
            continue
        end = ends.get(read.answer, _BEFORE_ALL)
        for write in final[bisect_right(final_begins, end) :]:
            lost.setdefault(write.invoked, LostWrite(write, read))
    return list(lost.values())


def _ends(changes: Iterable[Operation]) -> dict[object, int]:
    """When the latest write of each value (None: delete) had ended, as far as anybody knows."""
    ends: dict[object, int] = {}
    for o in changes:
        value = None if o.op in ERASURES else o.value
        ends[value] = max(o.completed, ends.get(value, _BEFORE_ALL))
    return ends


def _writers(history: History, read: Operation) -> list[Operation]:
    wrote = (o for o in operations(history) if o.key == read.key and o.op in WRITES and o.outcome != "fail")
    return [o for o in wrote if o.value == read.answer]
