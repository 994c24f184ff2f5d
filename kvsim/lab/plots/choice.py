"""Which points a picture shows when there are too many: those that can be compared, as they differ in few settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from kvsim.lab.expect import Where
from kvsim.lab.experiment import Setup

T = TypeVar("T")

POINTS_AT_MOST = 6
"""Of more points all pictures of an experiment show the same ones."""


class Chosen(NamedTuple):
    """The points that are shown, and in which settings they are alike."""

    wheres: list[Where]
    fixed: dict[str, str]
    """Axes that all of them have at one value, though the experiment varies them."""
    subset: str
    """`3 of 12 points, at clients = 64`; empty where all are shown."""

    def title(self, where: Where) -> str:
        """What tells a shown point from the others: `1 frontend`."""
        return titled([(name, value) for name, value in where if name not in self.fixed])


def choose(wheres: Sequence[Where], most: int, noun: str = "points") -> Chosen:
    """Hold the last axes at their last values until at most `most` points are left; of one axis some, evenly spread."""
    left, fixed = list(wheres), dict[str, str]()
    for name, _ in reversed(wheres[0][1:]) if wheres else ():
        if len(left) <= most:
            break
        counts: dict[str, int] = {}
        for where in left:
            value = dict(where)[name]
            counts[value] = counts.get(value, 0) + 1
        # The last value; but a point may be missing, as its runs could not be made.
        value = max(reversed(list(counts)), key=lambda value: counts[value])
        left = [where for where in left if dict(where)[name] == value]
        fixed = {name: value} | fixed
    left = some(left, most)
    subset = "" if len(left) == len(wheres) else f"{len(left)} of {len(wheres)} {noun}"
    at = f", at {titled(list(fixed.items()))}" if fixed else ""
    return Chosen(left, fixed, subset + at)


def choose_setups(setups: Sequence[Setup]) -> tuple[list[Setup], Chosen]:
    """The points that every picture with a line or a panel a point shows."""
    chosen = choose([setup.where for setup in setups], POINTS_AT_MOST)
    by_where = {setup.where: setup for setup in setups}
    return [by_where[where] for where in chosen.wheres], chosen


def titled(where: Sequence[tuple[str, str]]) -> str:
    """`raft, clients = 16`."""
    return ", ".join(value if name == "variant" else f"{name} = {value}" for name, value in where)


def some(items: Sequence[T], most: int) -> list[T]:
    """All of them, or `most` of them evenly spread, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]
