"""One moment of a whole explored world as one immutable value, and what a step led to."""

from __future__ import annotations

from typing import Any, NamedTuple

from kvsim.core.invariant import Claims
from kvsim.explore.action import Footprint
from kvsim.explore.clients import Client, Seen
from kvsim.explore.local import Local, Step

BROKEN = -3
"""In a stream's queue: the news that it broke."""
PLENTY = 1_000


class State(NamedTuple):
    """One moment of the whole world."""

    locals: tuple[Local, ...]
    streams: tuple[tuple[int, ...], ...]
    """What is on the way from each node to each, oldest first: numbers of parcels."""
    datagrams: tuple[tuple[int, ...], ...]
    clients: tuple[Client, ...]
    seen: tuple[Seen, ...]
    left: tuple[int, ...]
    """What is left of each bound; at the end, of all together."""
    claims: Claims
    claims_key: int
    clock_ns: int

    def key(self) -> int:
        """Equal for moments from which the same can follow, and that have been judged by the same."""
        return hash(
            (
                tuple([local.number for local in self.locals]),
                self.streams,
                self.datagrams,
                self.clients,
                self.seen,
                self.left,
                self.claims_key,
                self.clock_ns,
            )
        )


class Outcome(NamedTuple):
    """A step: what it touched, where it led, and what was wrong about it."""

    state: State
    footprint: Footprint
    step: Step | None
    """What the node did that took part; None where only a message was lost or a stream broke."""
    wrong: str = ""
    """Which invariant does not hold, or how a node failed by its own fault."""


class Draft:
    """A moment while a step changes it."""

    __slots__ = ("claims", "claims_key", "clients", "clock_ns", "datagrams", "left", "locals", "seen", "streams")

    locals: tuple[Local, ...]
    streams: tuple[tuple[int, ...], ...]
    datagrams: tuple[tuple[int, ...], ...]
    clients: tuple[Client, ...]
    seen: tuple[Seen, ...]
    left: tuple[int, ...]
    claims: Claims
    claims_key: int
    clock_ns: int

    def __init__(self, state: State) -> None:
        (
            self.locals, self.streams, self.datagrams, self.clients, self.seen, self.left, self.claims,
            self.claims_key, self.clock_ns,
        ) = state  # fmt: skip

    def done(self) -> State:
        """The moment that it has become."""
        return State(
            self.locals, self.streams, self.datagrams, self.clients, self.seen, self.left, self.claims,
            self.claims_key, self.clock_ns,
        )  # fmt: skip


def with_item(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    """The same items with another one at this place."""
    return (*items[:at], item, *items[at + 1 :])
