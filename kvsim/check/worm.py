"""Write once, read many: what a key once held never changes and never goes.

A key has at most one acknowledged write and no acknowledged delete, and all its reads that find something find the
same.
"""

from kvsim.check.verdict import NotRefuted, Refuted, Verdict, Witness
from kvsim.check.wording import told
from kvsim.core.history import ERASURES, WRITES, History, Key, Operation, operations


def worm(history: History) -> Verdict:
    """Refuted by the first operation that shows a change."""
    written: dict[Key | None, Operation] = {}
    found: dict[Key | None, Operation] = {}
    for o in operations(history):
        if o.outcome != "ok" or o.key is None:
            continue
        before = None
        if o.op in WRITES:
            before = written.setdefault(o.key, o)
        elif o.op == "delete" or (o.op in ERASURES and o.key in written):
            return _refuted(o, written.get(o.key))
        elif o.op == "read" and o.answer is not None:
            before = found.setdefault(o.key, o)
            if before.answer == o.answer:
                continue
        if before is not None and before is not o:
            return _refuted(o, before)
    return NotRefuted()


def _refuted(change: Operation, before: Operation | None) -> Refuted:
    if before is None:
        return Refuted(Witness(change.key, (change,), f"{told(change)}: a key that held something was emptied"))
    first, second = sorted((before, change), key=lambda o: o.completed)
    sentence = f"{told(second)}, although {told(first)}, and that may not change"
    return Refuted(Witness(change.key, (first, second), sentence))
