"""Progress: once all is healed and has had time to recover, the store answers again.

Judged are reads and blind writes, which no condition can refuse. A key of which every final read went unanswered
refutes it, and so do several writes at the end of which none was acknowledged.
"""

from collections.abc import Iterable

from kvsim.check.verdict import NotRefuted, Refuted, Verdict, Witness
from kvsim.check.wording import at
from kvsim.core.history import History, Key, Operation, operations

FEW = 3
"""So many writes in vain are no accident."""


def progress(history: History, recovered_ns: int, final_ns: int) -> Verdict:
    """Judge the writes begun at `recovered_ns` or later, and of each key the reads begun at `final_ns` or later."""
    writes: list[Operation] = []
    reads: dict[Key | None, list[Operation]] = {}
    for o in operations(history):
        if o.op in ("put", "remove") and o.invoked_ns >= recovered_ns:
            writes.append(o)
        elif o.op == "read" and o.invoked_ns >= final_ns:
            reads.setdefault(o.key, []).append(o)
    for key, of_key in reads.items():
        if _in_vain(of_key):
            return Refuted(Witness(key, (of_key[0], of_key[-1]), _sentence(of_key, "reads of the key", final_ns)))
    if len(writes) >= FEW and _in_vain(writes):
        return Refuted(Witness(writes[0].key, (writes[0], writes[-1]), _sentence(writes, "writes", recovered_ns)))
    return NotRefuted()


def _in_vain(operations_: Iterable[Operation]) -> bool:
    return all(o.outcome != "ok" for o in operations_)


def _sentence(found: list[Operation], what: str, since_ns: int) -> str:
    return f"none of {len(found)} {what} from {at(since_ns)} on was answered, although all had been healed long before"
