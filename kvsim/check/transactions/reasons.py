"""Why one transaction comes before another: a sentence for each edge of a cycle."""

from typing import Any

from kvsim.check.transactions.anomalies import Anomaly, called
from kvsim.check.transactions.cycles import Cycle
from kvsim.check.transactions.dependencies import Dependencies
from kvsim.check.transactions.read import Transaction, external_reads, written
from kvsim.check.wording import at, shown


def told_cycle(found: Dependencies, cycle: Cycle) -> Anomaly:
    """A cycle as an anomaly, told edge by edge."""
    around = [found.of.all[number] for number in cycle.around]
    sentences, steps = [], []
    for i, kind in enumerate(cycle.edges):
        j = (i + 1) % len(around)
        sentences.append(reason(found, around[i], around[j], kind))
        steps.append((i, j, kind))
    return Anomaly(cycle.kind, tuple(around), "; ".join(sentences) + ": round in a circle", tuple(steps))


def reason(found: Dependencies, a: Transaction, b: Transaction, kind: str) -> str:
    """Why a comes before b."""
    if kind == "process":
        return f"{called(a)} came before {called(b)} in their process"
    if kind == "realtime":
        ended, began = at(a.operation.completed_ns), at(b.operation.invoked_ns)
        return f"{called(a)} ended at {ended}, before {called(b)} began at {began}"
    how = {"ww": _overwrote, "wr": _returned, "rw": _missed}[kind](found, a, b)
    return how or f"{called(a)} came before {called(b)} ({kind})"


def _overwrote(found: Dependencies, a: Transaction, b: Transaction) -> str:
    mine, theirs = written(a), written(b)
    for key in mine.keys() & theirs.keys():
        order = found.orders.get(key, [])
        for x in mine[key]:
            for y in theirs[key]:
                if x in order and (y not in order or order.index(x) < order.index(y)):
                    after = f"follows {shown(x)} of {called(a)}" + (
                        "" if y in order else ", since no read shows it yet"
                    )
                    return f"{called(b)}'s {shown(y)} in {shown(key)} {after}"
    return ""


def _returned(found: Dependencies, a: Transaction, b: Transaction) -> str:
    mine = written(a)
    for key, answer in external_reads(b):
        value = _last(answer)
        if value is not None and value in mine.get(key, ()):
            return f"{called(b)} read {shown(value)} from {shown(key)}, which {called(a)} wrote"
    return ""


def _missed(found: Dependencies, a: Transaction, b: Transaction) -> str:
    theirs = written(b)
    for key, answer in external_reads(a):
        if key not in theirs:
            continue
        if key in found.of.lists:
            missed = [x for x in theirs[key] if x not in (answer or [])]
            if not missed:
                continue
            found_ = f"{called(a)} read {shown(answer or None)} from {shown(key)}"
            return f"{found_} and so did not see {shown(missed[0])} of {called(b)}"
        if answer not in theirs[key] or answer != theirs[key][-1]:
            return (
                f"{called(a)} read {shown(answer)} from {shown(key)} and so did not see {shown(theirs[key][-1])}, "
                f"with which {called(b)} replaced it"
            )
    return ""


def _last(answer: Any) -> Any:
    return (answer[-1] if answer else None) if type(answer) is list else answer
