"""What a partitioning promises: every key has its nodes, the same ones always, evenly, and few keys move."""

from __future__ import annotations

from collections import Counter
from typing import cast

from kvsim.core.axes import Partitioning
from kvsim.core.message import NodeId
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

KEYS = (b"", b"\x00", b"\xff" * 40, "ключ".encode(), *(b"user%d" % number for number in range(5_000)))
MEMBERS = tuple(f"data-{number}" for number in range(1, 9))
SIZES = (1, 2, 3, 5, 8)
UNEVEN = 2.0
"""The fullest of five nodes may own so many times its share."""
FIVE = 5


def _strategy(subject: Subject) -> type[Partitioning]:
    return cast(type[Partitioning], subject.strategy)


def _made(subject: Subject, members: tuple[NodeId, ...]) -> Partitioning:
    return _strategy(subject)(subject.chosen, members)


def each_key_has_different_nodes(subject: Subject) -> None:
    """Every key, even the empty one, has as many different members as are asked for, or all where there are fewer."""
    for size in SIZES:
        members = MEMBERS[:size]
        placed = _made(subject, members)
        for n in (1, 2, 3, 8):
            for key in KEYS[:200]:
                found: object = placed.preference_list(key, n)
                where = f"preference_list({key!r}, {n}) among {size} nodes is {found!r}"
                if not isinstance(found, tuple):
                    refuse(where, "return a tuple")
                if any(node not in members for node in found):
                    refuse(f"{where}, which names a stranger", "choose among self.members")
                if len(set(found)) < len(found):
                    refuse(f"{where}, which names a node twice", "skip nodes that are in the list already")
                if len(found) != min(n, size):
                    refuse(f"{where}, {len(found)} of {min(n, size)} nodes", "return min(n, len(self.members)) nodes")


def a_longer_list_begins_with_the_shorter(subject: Subject) -> None:
    """Who asks for one more copy finds it behind the others: the first of the list is the owner, for everybody."""
    placed = _made(subject, MEMBERS[:FIVE])
    for key in KEYS[:500]:
        for n in range(1, FIVE):
            short, long = placed.preference_list(key, n), placed.preference_list(key, n + 1)
            if long[:n] != short:
                refuse(f"{key!r} has the nodes {short}, and with one more {long}", "order the nodes, then cut at n")


def a_place_depends_on_key_and_members_alone(subject: Subject) -> None:
    """Two nodes with the same members agree on every key, whatever they were asked before."""
    one, other = (_made(subject, MEMBERS[:FIVE]) for _ in range(2))
    there = {key: other.preference_list(key, 3) for key in reversed(KEYS)}
    for key in KEYS:
        here = one.preference_list(key, 3)
        if here != there[key] or here != one.preference_list(key, 3):
            refuse(f"{key!r} lies on {here} and on {there[key]}", "compute it from the key and self.members alone")


def the_load_is_even(subject: Subject) -> None:
    """Each of five nodes owns some of 5,000 keys, and none more than twice its share."""
    placed = _made(subject, MEMBERS[:FIVE])
    owned = Counter(placed.preference_list(key, 1)[0] for key in KEYS)
    share = len(KEYS) / FIVE
    fullest, keys = owned.most_common(1)[0]
    if len(owned) < FIVE:
        idle = ", ".join(node for node in placed.members if node not in owned)
        refuse(f"{idle} owns none of {len(KEYS):,} keys", "spread by kvsim.core.placing.position(key)")
    if keys > UNEVEN * share:
        refuse(f"{fullest} owns {keys / share:.1f} times its share", "spread by kvsim.core.placing.position(key)")


def growth_moves_what_is_declared(subject: Subject) -> None:
    """Where it declares `monotone = True`, a node that joins takes keys over and no other key changes its owner."""
    if not _strategy(subject).monotone:
        return
    before, after = _made(subject, MEMBERS[:FIVE]), _made(subject, MEMBERS[: FIVE + 1])
    joined = MEMBERS[FIVE]
    for key in KEYS:
        old, new = before.preference_list(key, 1)[0], after.preference_list(key, 1)[0]
        if new not in (old, joined):
            refuse(
                f"when {joined} joins, the owner of {key!r} changes from {old} to {new}",
                "move keys to the new node only, or do not declare monotone",
            )
