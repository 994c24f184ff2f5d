"""Small histories whose order of versions is partly open: try every order, and see what all of them forbid.

The inference from reads is sound, but not complete: registers that are written blindly, and appends that nobody read,
may be ordered in several ways, each of which makes another cycle.
"""

from collections.abc import Iterator
from itertools import pairwise, permutations, product
from math import factorial, prod
from typing import Any

from kvsim.check.search import Limits
from kvsim.check.transactions.cycles import KINDS, Cycles
from kvsim.check.transactions.dependencies import Dependencies
from kvsim.check.transactions.read import Transaction, written

_ORDERS_AT_MOST = 2_000
_TRANSACTIONS_AT_MOST = 40
_NONE = 7
_REFUTES = {"G0": 0, "G1c": 1, "G-single": 2, "G-nonadjacent": 3, "G2-item": 4}
"""By kind, the place of the weakest level that it rules out; with process order 5, with real time 6."""


def worst_in_every_order(found: Dependencies, known: int, limits: Limits) -> int:
    """The place of the weakest level that every order of versions rules out; 7 where none is, or there is too much."""
    if known == 0 or len(found.of.all) > _TRANSACTIONS_AT_MOST:
        return _NONE
    open_ = {key: ends for key in found.writers if len(ends := _open(found, key)) > 1}
    if not open_ or prod(factorial(len(ends)) for ends in open_.values()) > _ORDERS_AT_MOST:
        return _NONE
    best = -1
    for orders in product(*(permutations(ends) for ends in open_.values())):
        best = max(best, _level(found, dict(zip(open_, orders, strict=True)), limits))
        if best >= known or limits.over():
            return _NONE
    return best


def _open(found: Dependencies, key: Any) -> list[Transaction]:
    """The writers whose versions no read puts in order."""
    writers = found.writers[key]
    if key not in found.of.lists:
        return writers
    observed = set(found.orders.get(key, ()))
    return [t for t in writers if not observed.issuperset(written(t)[key])]


def _level(found: Dependencies, orders: dict[Any, tuple[Transaction, ...]], limits: Limits) -> int:
    ww = [list(targets) for targets in found.ww]
    rw = [list(targets) for targets in found.rw]
    for key, order in orders.items():
        for a, b in _pairs(order):
            ww[a.number].append(b.number)
        if key not in found.of.lists:
            _add_missed(found, key, order, rw)
    graphs = {"ww": ww, "wr": found.wr, "rw": rw}
    everyone = range(len(found.of.all))
    try:
        if (worst := Cycles(everyone, graphs).worst((), limits)) is not None:
            return _REFUTES[worst.kind]
        for also, graph, refutes in (("process", found.process(), 5), ("realtime", found.realtime(), 6)):
            if Cycles(everyone, {**graphs, also: graph}).worst((also,), limits) is not None:
                return refutes
    except TimeoutError:
        pass
    return _NONE


def _pairs(order: tuple[Transaction, ...]) -> Iterator[tuple[Transaction, Transaction]]:
    return pairwise(order)


def _add_missed(found: Dependencies, key: Any, order: tuple[Transaction, ...], rw: list[list[int]]) -> None:
    """Who read a version did not see the one that follows it."""
    follows: dict[Any, Transaction] = {None: order[0]}
    for a, b in _pairs(order):
        follows[written(a)[key][-1]] = b
    for reader, value in found.readers.get(key, ()):
        after = follows.get(value)
        if after is not None and after is not reader:
            rw[reader.number].append(after.number)


assert set(_REFUTES) == set(KINDS)
