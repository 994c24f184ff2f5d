"""Where keys lie, how many move when a node joins, and which are asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from statistics import fmean

import msgspec

from kvsim.core.axes import Partitioning
from kvsim.core.message import SECOND, NodeId
from kvsim.core.placing import POSITIONS
from kvsim.lab.experiment import Setup
from kvsim.lab.published.trial import Measured, world_of
from kvsim.lab.run import SimStage, stock_of
from kvsim.lab.story import Story, difference
from kvsim.strategies.partitioning.consistent_hashing import ConsistentHashing
from kvsim.workload.source import key_name

JOIN_KEYS = {"modulo": 100_000, "consistent_hashing": 10_000}


def balance(setup: Setup, trials: int, seed: int) -> Measured:
    """How evenly a ring divides the key space, over rings of freshly named nodes."""
    count = len(setup.cluster.data)
    squares, largest = [], []
    for trial in range(trials):
        ring = _made(setup, _fresh(count, seed, trial))
        assert isinstance(ring, ConsistentHashing), "only a ring has arcs"
        shares = ring_shares(ring)
        squares += [(count * share - 1) ** 2 for share in shares]
        largest.append(count * max(shares))
    return Measured({"share_cv": fmean(squares) ** 0.5, "largest_share_over_mean": fmean(largest)}, {})


def ring_shares(ring: ConsistentHashing) -> list[float]:
    """Each member's part of the key space: the sum of the arcs that end at its tokens."""
    arcs: Counter[NodeId] = Counter()
    tokens = ring.tokens()
    for (start, _), (end, owner) in pairwise([(tokens[-1][0] - POSITIONS, ""), *tokens]):
        arcs[owner] += end - start
    return [arcs[member] / POSITIONS for member in ring.members]


def join(setup: Setup, trials: int, seed: int) -> Measured:
    """The keys that change their owner when one more node joins."""
    count = len(setup.cluster.data)
    keys = [b"key-%d" % number for number in range(JOIN_KEYS[setup.design["partitioning"].name])]
    moved = between_old = 0
    for trial in range(trials):
        *old, newcomer = _fresh(count + 1, seed, trial)
        before, after = _made(setup, tuple(old)), _made(setup, (*old, newcomer))
        for key in keys:
            [former], [latter] = before.preference_list(key, 1), after.preference_list(key, 1)
            moved += former != latter
            between_old += former != latter != newcomer
    whole = trials * len(keys)
    return Measured({"keys_moved_share": moved / whole, "moved_between_old_nodes_share": between_old / whole}, {})


def _fresh(count: int, seed: int, trial: int) -> tuple[NodeId, ...]:
    return tuple(f"data-{seed}-{trial}-{number}" for number in range(1, count + 1))


def _made(setup: Setup, members: tuple[NodeId, ...]) -> Partitioning:
    choice = setup.design["partitioning"]
    made = choice.strategy(choice.settings, members)  # type: ignore[call-arg]
    assert isinstance(made, Partitioning), "the catalogue looked it up on this axis"
    return made


def hottest_keys(setup: Setup, trials: int, seed: int) -> Measured:
    """The shares of operations on the most frequent key, and on the hundred of lowest rank."""
    rate = setup.workload.rate
    assert rate is not None, "operations have a rate"
    shorter = msgspec.structs.replace(setup.workload, duration_ns=round(trials / rate * SECOND))
    stage = SimStage(world_of(setup, seed), setup)
    story = Story(stage, setup._replace(workload=shorter), seed)
    stage.play(story, None)
    seen = story.seen(difference(*stage.counts), stock_of(stage.world))
    asked = Counter(operation.key for operation in seen.measured)  # not judged, which would take a gigabyte
    metrics = {
        "hottest_key_share": asked.most_common(1)[0][1] / asked.total(),
        "hottest_100_keys_share": sum(asked[key_name(rank).decode()] for rank in range(100)) / asked.total(),
    }
    return Measured(metrics, {})
