"""Invariants: what must hold of all nodes of a protocol together, at every moment of every run.

A protocol's invariants stand beside it. They see of each node what outlives one operation, its component's `state`,
and its disk as a power cut would leave it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kvsim.core.message import NodeId
from kvsim.core.trace import Event

States = Mapping[NodeId, Any]
"""What each node's replication component holds; None for a node that is down or has no such component."""
Disks = Mapping[NodeId, Mapping[str, bytes]]
"""Each node's files, as they would survive a power cut now."""


class Breach(Exception):
    """An invariant does not hold; the message says which and where."""


class Claim(NamedTuple):
    """What a node's state says for good: whatever another node, or a later moment, says about the same must agree."""

    invariant: str
    """Its name, such as `election safety`."""
    about: Hashable
    """What it is about: `("leader of term", 3)`."""
    says: Hashable
    words: str
    """The same for people: `a leads term 3`."""


Claims = Mapping[Hashable, Claim]
"""All that was claimed so far in a run, by (invariant, about)."""


class Moment(NamedTuple):
    """All nodes together, just after one of them took a step."""

    states: States
    disks: Disks
    claims: Claims
    node: NodeId
    """Who took the step."""
    events: Sequence[Event]
    """What it recorded in it."""


class Invariants:
    """Base of a protocol's invariants."""

    def claims(self, node: NodeId, state: Any, disk: Mapping[str, bytes]) -> Iterable[Claim]:
        """What this node claims now. No two claims about the same may differ over a whole run."""
        return ()

    def check(self, moment: Moment) -> None:
        """Raise `Breach` where all nodes together, or what was claimed before, do not fit."""


def agreed(claims: Claims, new: Iterable[Claim]) -> Claims:
    """All claims with the new ones. Raises `Breach` where one contradicts what was claimed before."""
    added: dict[Hashable, Claim] = {}
    for claim in new:
        before = claims.get(claim[:2])
        if before is None:
            added[claim[:2]] = claim
        elif before.says != claim.says:
            raise Breach(f"{claim.invariant}: {before.words}, and {claim.words}")
    return {**claims, **added} if added else claims
