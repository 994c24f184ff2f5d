"""How witnesses tell of orders: a circle with a reason for each step, a way through sessions and reads."""

import itertools
from collections.abc import Sequence

from kvsim.check.order import Edges, ring
from kvsim.check.reads_from import Act, say, witness_of
from kvsim.check.verdict import Witness
from kvsim.check.wording import deed, shown


def named(write: Act) -> str:
    """A write with its key: `process 1's write of 2 to "x"`."""
    on = "to" if write.operation.op in ("put", "create") else "on"
    return f"{deed(write.operation)} {on} {shown(write.key)}"


def called(act: Act) -> str:
    """A read as it was answered, a write with its key."""
    return named(act) if act.is_write else say(act, True)


def bends(way: list[Act]) -> list[Act]:
    """A way without the acts in the middle of a stretch through one session."""
    inner = range(1, len(way) - 1)
    drop = {i for i in inner if way[i - 1].session == way[i].session == way[i + 1].session}
    return [act for i, act in enumerate(way) if i not in drop]


def in_words(way: Sequence[Act]) -> str:
    """A way through the causal order: who returned what, and what came after it in the same session."""
    parts = [called(way[0])]
    for a, b in itertools.pairwise(way):
        if b.source is a and a.session != b.session:
            parts.append(f"which was seen when {say(b, True)}")
        elif a.session != b.session:
            parts.append(f"which was seen when several keys were read at once and {say(b, True)}")
        else:
            parts.append(f"then in the same session {called(b)}")
    return ", ".join(parts)


def circle(acts: Sequence[Act], edges: Edges, claim: str, around: Sequence[int] | None = None) -> Witness:
    """A circle, by default a short one of those that there are, with a reason for each step.

    A step from the end of `around` to its beginning stands for a read of absence, which comes before every write.
    """
    numbers = around or ring(len(acts), edges)
    reasons: list[str] = []
    told: list[Act] = []
    for a, b in itertools.pairwise(numbers):
        first, second = acts[a], acts[b]
        told.append(first)
        why = next((by for target, by in edges.get(a, ()) if target == b), None)
        reasons.append(_reason(first, second, why))
        if why is not None:
            told.append(why)
    return witness_of(told, f"{claim}: " + "; ".join(reasons))


def _reason(first: Act, second: Act, why: Act | None) -> str:
    if first.session == second.session and first.place < second.place:
        return f"{called(first)}, then in the same session {called(second)}"
    if second.source is first:
        return f"{called(second)} returned {named(first)}"
    if why is None and not second.is_write:
        return f"{called(first)} was seen when several keys were read at once and {called(second)}"
    if why is None:
        return f"{called(first)} must come before {named(second)}"
    if why.source is second:
        return f"{called(first)} came before {called(second)}, since {say(why, True)}, and knew both"
    return f"{called(first)}, so it came before {called(second)}, which replaced what it found"
