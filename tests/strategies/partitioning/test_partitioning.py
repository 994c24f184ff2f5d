"""Partitioning places keys as its definition says, on distinct nodes, and moves no more of them than it must."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.axes import OneGroup, Partitioning, Placement
from kvsim.core.placing import POSITIONS, position
from kvsim.strategies.partitioning.consistent_hashing import ConsistentHashing, RingSettings
from kvsim.strategies.partitioning.modulo import Modulo

NODES = st.integers(1, 8).map(lambda count: tuple(f"data-{number}" for number in range(1, count + 1)))
KEYS = st.binary(max_size=8)
COPIES = st.integers(1, 10)


def ring(members: tuple[str, ...], vnodes: int = 16) -> ConsistentHashing:
    return ConsistentHashing(RingSettings(vnodes), members)


def by_walking_the_ring(members: tuple[str, ...], vnodes: int, key: bytes, n: int) -> tuple[str, ...]:
    """The definition, with no cleverness: go round from the key's place and note each node that is met first."""
    start = position(key)
    tokens = [(position(f"{member}#{token}".encode()), member) for member in members for token in range(vnodes)]
    met = sorted(((place - start - 1) % POSITIONS, member) for place, member in tokens)
    found: list[str] = []
    for _, member in met:
        if member not in found:
            found.append(member)
    return tuple(found[:n])


@given(NODES, st.integers(1, 20), KEYS, COPIES)
def test_consistent_hashing_is_a_walk_on_the_ring(members: tuple[str, ...], vnodes: int, key: bytes, n: int) -> None:
    assert ring(members, vnodes).preference_list(key, n) == by_walking_the_ring(members, vnodes, key, n)


@given(NODES, KEYS, COPIES)
def test_modulo_counts_on_from_the_owner_and_wraps(members: tuple[str, ...], key: bytes, n: int) -> None:
    found = Modulo(None, members).preference_list(key, n)
    owner = position(key) % len(members)
    assert found == tuple((members * 2)[owner : owner + min(n, len(members))])


@pytest.mark.parametrize("make", [ring, lambda members: Modulo(None, members), lambda members: OneGroup(None, members)])
@given(members=NODES, key=KEYS, n=COPIES)
def test_a_preference_list_has_distinct_members_and_a_longer_one_begins_with_it(
    make: Any, members: tuple[str, ...], key: bytes, n: int
) -> None:
    placed = make(members)
    found = placed.preference_list(key, n)
    assert len(set(found)) == len(found) == min(n, len(members))
    assert set(found) <= set(members)
    assert placed.preference_list(key, n + 1)[: len(found)] == found


@given(st.permutations([f"data-{number}" for number in range(1, 6)]), KEYS)
def test_the_ring_does_not_depend_on_the_order_of_the_members(members: list[str], key: bytes) -> None:
    assert ring(tuple(members)).preference_list(key, 3) == ring(tuple(sorted(members))).preference_list(key, 3)


@given(st.integers(1, 7), st.lists(KEYS, min_size=1, max_size=30))
def test_a_joining_node_takes_keys_and_no_other_key_moves(count: int, keys: list[bytes]) -> None:
    """Karger et al. 1997: monotonicity."""
    members = tuple(f"data-{number}" for number in range(1, count + 1))
    before, after = ring(members), ring((*members, "new"))
    for key in keys:
        [old], [now] = before.preference_list(key, 1), after.preference_list(key, 1)
        assert now in (old, "new")
        replicas = [node for node in after.preference_list(key, 3) if node != "new"]
        assert replicas == list(before.preference_list(key, 3))[: len(replicas)], "the others keep their places"


def moved(make: Any, keys: int = 4_000) -> float:
    """The share of keys whose owner changes when a tenth node joins nine."""
    members = tuple(f"data-{number}" for number in range(1, 10))
    before, after = make(members), make((*members, "data-10"))
    names = [b"user%d" % number for number in range(keys)]
    return sum(before.preference_list(name, 1) != after.preference_list(name, 1) for name in names) / keys


def test_a_tenth_node_moves_a_tenth_of_the_keys_on_the_ring_and_nine_tenths_under_modulo() -> None:
    assert moved(lambda members: ring(members, 256)) == pytest.approx(0.1, abs=0.03)
    assert moved(lambda members: Modulo(None, members)) == pytest.approx(0.9, abs=0.03)


def test_more_virtual_nodes_make_the_load_more_even() -> None:
    """Dynamo, section 6.2; the deviation falls with the square root of the number of tokens."""

    def deviation(vnodes: int) -> float:
        placed = ring(tuple(f"data-{number}" for number in range(1, 11)), vnodes)
        loads = Counter(placed.preference_list(b"user%d" % number, 1)[0] for number in range(10_000))
        return sum((loads[node] / 1_000 - 1) ** 2 for node in placed.members) / 10

    one, many = deviation(1), deviation(256)
    assert many < one / 20
    assert many < 0.02


# Placement: what a node remembers of it --------------------------------------------------------


def test_a_placement_remembers_and_forgets_when_the_members_change() -> None:
    made: list[tuple[str, ...]] = []

    class Counting(Partitioning):
        def preference_list(self, key: bytes, n: int) -> tuple[str, ...]:
            made.append(self.members)
            return self.members[:n]

    placement = Placement(Counting, Counting.Settings(), ("a", "b"), 1)
    assert placement.replicas(b"k") == placement.replicas(b"k") == ("a",)
    assert len(made) == 1
    placement.change(("c", "b"))
    assert placement.replicas(b"k") == ("c",)
    assert placement.members == ("c", "b")


def test_placements_that_think_the_same_share_one_partitioning() -> None:
    made: list[tuple[str, ...]] = []

    class Counting(ConsistentHashing):
        def __init__(self, settings: RingSettings, members: tuple[str, ...]) -> None:
            super().__init__(settings, members)
            made.append(members)

    def names() -> tuple[str, ...]:
        return tuple(f"data-{number}" for number in range(1, 6))

    one, same = (Placement(Counting, RingSettings(vnodes=8), names(), 3) for _ in range(2))
    assert len(made) == 1
    other_ring = Placement(Counting, RingSettings(vnodes=9), names(), 3)
    fewer_copies = Placement(Counting, RingSettings(vnodes=8), names(), 2)
    assert len(made) == 3
    same.change(names()[:3])
    assert made[-1] == names()[:3]
    for placement in (one, same, other_ring, fewer_copies):
        alone = ConsistentHashing(placement.settings, placement.members)
        assert placement.replicas(b"k") == alone.preference_list(b"k", placement.n)


def test_a_partitioning_that_nobody_uses_is_forgotten() -> None:
    placement = Placement(ConsistentHashing, RingSettings(vnodes=8), ("a", "b", "c"), 3)
    ring_of_three = weakref.ref(placement.spread.partitioning)
    placement.change(("a", "b"))
    assert ring_of_three() is None
