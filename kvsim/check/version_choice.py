"""An order of each key's versions that explains all answers, guessed and tested, where what is forced leaves it open.

With every key's versions in an order, one order of all operations is a matter of sorting. First the versions are taken
as they appeared in time. If that makes a circle, pairs that are still open are decided by where their writes seem to
stand, the clearest first, and what follows is drawn out; what then makes a circle is taken back and asked again later,
when more is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kvsim.check.order import Impossible
from kvsim.check.reads_from import Act
from kvsim.check.search import Limits
from kvsim.core.history import ERASURES

if TYPE_CHECKING:
    from kvsim.check.forced_order import ForcedOrder

_AT_LEAST = 50


def order_by_time(acts: Sequence[Act], sessions: Sequence[Sequence[Act]]) -> list[Act] | None:
    """An order of all acts in which each key's versions come as they appeared in time, if there is one."""
    seen = [act.operation.completed for act in acts]
    readers: dict[int, list[int]] = {}
    for act in acts:
        if act.source is not None:
            seen[act.source.number] = min(seen[act.source.number], act.operation.completed)
            readers.setdefault(act.source.number, []).append(act.number)
    after: list[list[int]] = [list(readers.get(act.number, ())) for act in acts]
    for own in sessions:
        for act, later in pairwise(own):
            after[act.number].append(later.number)
    versions: dict[object, list[int]] = {}
    for number in sorted((act.number for act in acts if act.is_write), key=seen.__getitem__):
        versions.setdefault(acts[number].key, []).append(number)
    for act in acts:
        if not act.is_write and act.source is None and act.key in versions:
            after[act.number].append(versions[act.key][0])
    for of_key in versions.values():
        for a, b in pairwise(of_key):
            after[a].append(b)
            for reader in readers.get(a, ()):
                if reader != b:
                    after[reader].append(b)
    return _explaining(acts, _sorted(after))


def _sorted(after: Sequence[Sequence[int]]) -> list[int]:
    waits = [0] * len(after)
    for later in after:
        for b in later:
            waits[b] += 1
    ready = deque(a for a, waiting in enumerate(waits) if not waiting)
    order: list[int] = []
    while ready:
        order.append(ready.popleft())
        for b in after[order[-1]]:
            waits[b] -= 1
            if not waits[b]:
                ready.append(b)
    return order


def order_by_choice(forced: ForcedOrder, limits: Limits) -> list[Act] | None:
    """An order of all acts, found by deciding what is open; None if it came to nothing, with all as it was before.

    Raises TimeoutError.
    """
    writes = [act for act in forced.acts if act.is_write]
    mark = forced.mark()
    _decide(forced, _in_real_time(writes), limits)
    while pairs := _open(forced, writes):
        pairs = pairs[: max(_AT_LEAST, len(pairs) // 2)]
        while not (some := _decide_some(forced, pairs, limits)) and len(pairs) > 1:
            pairs = pairs[: len(pairs) // 8 + 1]
        if not some:
            break
    else:
        if order := _explaining(forced.acts, forced.sequence):
            return order
    forced.back_to(mark)
    return None


def _in_real_time(writes: Sequence[Act]) -> list[tuple[int, int]]:
    """Writes that ended before others began, beside those, but for what follows from other pairs.

    In many stores writes are linearizable, and only reads may be old.
    """
    moments = [(act.operation.invoked, act.number, True, act) for act in writes]
    moments += [(act.operation.completed, act.number, False, act) for act in writes]
    pairs: list[tuple[int, int]] = []
    ended: list[Act] = []
    for _, _, begins, act in sorted(moments, key=lambda moment: moment[:2]):
        if begins:
            pairs += [(earlier.number, act.number) for earlier in ended]
        else:
            ended = [earlier for earlier in ended if earlier.operation.completed > act.operation.invoked]
            ended.append(act)
    return pairs


def _open(forced: ForcedOrder, writes: Iterable[Act]) -> list[tuple[int, int]]:
    """Neighbours among a key's versions whose order is not known, the farthest from each other first."""
    at = forced.positions()
    last: dict[object, int] = {}
    pairs: list[tuple[int, int]] = []
    for write in sorted((act.number for act in writes), key=lambda a: (at[a], a)):
        key = forced.acts[write].key
        if key in last and not forced.has(last[key], write):
            pairs.append((last[key], write))
        last[key] = write
    return sorted(pairs, key=lambda pair: at[pair[0]] - at[pair[1]])


def _decide(forced: ForcedOrder, pairs: Sequence[tuple[int, int]], limits: Limits) -> bool:
    """Put these pairs in order; whether they go together."""
    try:
        forced.put([pair for pair in pairs if not forced.has(*pair)], limits)
    except Impossible:
        return False
    return True


def _decide_some(forced: ForcedOrder, pairs: Sequence[tuple[int, int]], limits: Limits, splits: int = 3) -> bool:
    """Put pairs in order, in parts where they do not go together, down to an eighth; whether any were put.

    A single pair that does not go so is put the other way round.
    """
    if _decide(forced, pairs, limits):
        return True
    if len(pairs) == 1:
        return _decide(forced, [pairs[0][::-1]], limits)
    middle = (len(pairs) + 1) // 2
    if splits:
        first = _decide_some(forced, pairs[:middle], limits, splits - 1)
        second = _decide_some(forced, pairs[middle:], limits, splits - 1)
        return first or second
    return False


def _explaining(acts: Sequence[Act], order: Sequence[int]) -> list[Act] | None:
    """The order as acts, if in it each answer is what was written last: the proof, whatever the order came from."""
    if len(order) < len(acts):
        return None
    held: dict[object, object] = {}
    done: dict[int, int] = {}
    for number in order:
        act = acts[number]
        if act.place != done.get(act.session, 0) or not _right(act, held.get(act.key)):
            return None
        done[act.session] = act.place + 1
        if act.is_write:
            held[act.key] = None if act.operation.op in ERASURES else act.value
    return [acts[number] for number in order]


def _right(act: Act, held: object) -> bool:
    o = act.operation
    if o.op in ("read", "cas"):
        return bool(held == (o.answer if o.op == "read" else o.expected))
    if o.op in ("update", "delete"):
        return held is not None
    return held is None if o.op == "create" else True
