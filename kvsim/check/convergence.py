"""Eventual consistency, as far as a history can show it: once the store is quiet and healed, all readers agree.

Vogels, "Eventually consistent", CACM 2009. From a given moment on no write begins or ends; then all reads of a key must
return one value, which somebody wrote, or absence, if nothing was acknowledged or a delete may be last.
"""

from collections.abc import Sequence

from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.wording import at, shown, told
from kvsim.core.history import ERASURES, NEVER, WRITES, History, Key, Operation, operations


def convergence(history: History, after_ns: int | None = None) -> Verdict:
    """Judge the reads begun at `after_ns` or later; by default, after the last write had ended."""
    changes: dict[Key | None, list[Operation]] = {}
    reads: dict[Key | None, list[Operation]] = {}
    found = [o for o in operations(history) if o.key is not None]
    for o in found:
        if o.op in WRITES or o.op in ERASURES:
            changes.setdefault(o.key, []).append(o)
    every = [o for of_key in changes.values() for o in of_key]
    since = max((o.completed_ns or o.invoked_ns for o in every), default=0) if after_ns is None else after_ns
    restless = next((o for o in every if max(o.invoked_ns, o.completed_ns or 0) > since), None)
    if restless is not None:
        return Undecided(f"the store was not quiet from {at(since)} on: {told(restless)}")
    for o in found:
        if o.op == "read" and o.outcome == "ok" and o.invoked_ns >= since:
            reads.setdefault(o.key, []).append(o)
    for key, of_key in reads.items():
        if witness := _disagreement(key, changes.get(key, []), of_key):
            return Refuted(witness)
    return NotRefuted()


def _disagreement(key: Key | None, changes: Sequence[Operation], reads: Sequence[Operation]) -> Witness | None:
    first = reads[0]
    for other in reads:
        if other.answer != first.answer:
            sentence = f"{told(first)} and {told(other)}, although no write had come between or just before"
            return Witness(key, (*_writers(changes, first), *_writers(changes, other), first, other), sentence)
    happened = [o for o in changes if o.outcome != "fail"]
    if first.answer is not None:
        if any(o.op in WRITES and o.value == first.answer for o in happened):
            return None
        refused = _writers(changes, first)
        why = "whose write had failed" if refused else "which nobody wrote"
        return Witness(key, (*refused, first), f"{told(first)}, {why}: readers agree on {shown(first.answer)}")
    acknowledged = [o for o in happened if o.op in WRITES and o.completed != NEVER]
    last = max(acknowledged, key=lambda o: o.invoked, default=None)
    if last is None or any(o.op in ERASURES and o.completed > last.invoked for o in happened):
        return None
    return Witness(key, (last, first), f"{told(first)}, although {told(last)} and nothing deleted it later")


def _writers(changes: Sequence[Operation], read: Operation) -> list[Operation]:
    return [o for o in changes if o.op in WRITES and o.value == read.answer][:1]
