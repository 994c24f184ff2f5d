"""Linearizability: every operation seems to take effect at one instant between its invocation and its completion.

Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", TOPLAS 1990. The condition is
local, so each key is judged alone: by zones where no value was written twice, else by search. Scans and transactions
are left out, and so are operations that failed. An operation of unknown outcome may take effect at any later time, or
never; if it is conditional, only at an instant when its condition holds.
"""

from collections.abc import Iterable

from kvsim.check.search import GaveUp, Limits, Stuck, search
from kvsim.check.shrink import explain
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.wording import at, deed, shown, told
from kvsim.check.zones import judge_by_zones
from kvsim.core.history import History, Key, Operation, operations

GIB = 1 << 30
_JUDGED = frozenset({"create", "read", "update", "delete", "remove", "put", "cas", "append"})


def linearizable(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """Judge every key; refuted if one is, undecided if a limit came before the answer of one."""
    hard: list[list[Operation]] = []
    for of_key in by_key(operations(history)).values():
        verdict = judge_by_zones(of_key)
        if isinstance(verdict, Refuted):
            return _with_failed_write(verdict, history)
        if verdict is None:
            hard.append(of_key)
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    unknown: list[str] = []
    for of_key in sorted(hard, key=len):
        found = search(of_key, limits)
        if isinstance(found, Stuck):
            return _with_failed_write(Refuted(explain(of_key, found)), history)
        if isinstance(found, GaveUp):
            unknown.append(f"key {shown(of_key[0].key)}: {found.reason}")
    return Undecided("; ".join(unknown[:3]) + ("; …" if len(unknown) > 3 else "")) if unknown else NotRefuted()


def clearly_linearizable(history: History) -> bool:
    """Whether zones alone show it, and all operations are single: then all weaker promises are kept too."""
    if any(e.op in ("scan", "txn") for e in history.events):
        return False
    return all(isinstance(judge_by_zones(of_key), NotRefuted) for of_key in by_key(operations(history)).values())


def _with_failed_write(refuted: Refuted, history: History) -> Refuted:
    """Say so if a value that nobody wrote was the value of a write that failed."""
    witness = refuted.witness
    if len(witness.operations) > 1 or witness.operations[0].op != "read":
        return refuted
    read = witness.operations[0]
    for o in operations(history):
        if o.outcome == "fail" and o.key == read.key and o.op != "read" and o.value == read.answer is not None:
            sentence = f"{told(read)}, although {deed(o)} failed (at {at(o.completed_ns)}) and nobody else wrote it"
            return Refuted(Witness(witness.key, (o, read), sentence))
    return refuted


def by_key(found: Iterable[Operation]) -> dict[Key, list[Operation]]:
    """What counts for linearizability, key by key, in the order of invocations."""
    keys: dict[Key, list[Operation]] = {}
    for o in found:
        if o.outcome == "fail" or o.op not in _JUDGED or o.key is None or (o.op == "read" and o.outcome != "ok"):
            continue
        of_key = keys.get(o.key)
        if of_key is None:
            keys[o.key] = [o]
        else:
            of_key.append(o)
    return keys
