"""What one run leaves behind, whichever world it ran in: the material of metrics, plots and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from kvsim.core.design import Cluster
from kvsim.core.history import History, Operation, operations
from kvsim.core.message import Nanoseconds, NodeId
from kvsim.core.operation import Key
from kvsim.core.stock import Held

ANSWERED_BY_CONDITION = frozenset({"already_exists", "not_found", "mismatch", "written_once"})
"""Refusals that are answers: the store was available, and the condition did not hold."""


class Phases(NamedTuple):
    """When the parts of a run began, on the observer's clock."""

    workload_ns: Nanoseconds
    """The keys are loaded; the workload begins. Faults and plots count their times from here."""
    measured_ns: Nanoseconds
    """The warm-up is over."""
    ended_ns: Nanoseconds
    """No operation begins any more."""
    checked_ns: Nanoseconds
    """All is healed, quiet and read once, which repairs what reads repair; the final reads begin."""
    finished_ns: Nanoseconds


class FaultWindow(NamedTuple):
    """One fault, as it really was."""

    name: str
    """Its kind; `crash-2` where there are several of a kind."""
    start_ns: Nanoseconds
    end_ns: Nanoseconds
    nodes: tuple[NodeId, ...] = ()


class Costs(msgspec.Struct, frozen=True):
    """What the measured part cost, counted by the world. A count that a world cannot take is None."""

    messages: int | None = None
    bytes: int | None = None
    syncs: int | None = None
    disk_bytes: int | None = None
    load_by_node: dict[NodeId, int] = {}
    """Messages that each node handled."""
    busy_ns_by_node: dict[NodeId, Nanoseconds] = {}
    """How long each node's CPU worked."""
    kills_by_node: dict[NodeId, int] | None = None
    """How often each node held more than its machine's memory and was killed, over the whole run; None where memory has
    no limit."""


class Stock(msgspec.Struct, frozen=True):
    """What the replicas hold at the end, where the world can look."""

    keys_by_node: dict[NodeId, int]
    stored_bytes: int
    """Bytes of keys and values in all replicas."""
    data_bytes: int
    """The same, each key counted once."""
    diverged_keys: int
    """Keys of which two running replicas hold different records."""


def stock_from(held: Mapping[NodeId, Sequence[Held]], cluster: Cluster) -> Stock:
    """The stock of the running replicas, from what each says that it holds."""
    copies: dict[Key, dict[NodeId, Held]] = {}
    for node, rows in held.items():
        for row in rows:
            copies.setdefault(row.key, {})[node] = row
    return Stock(
        keys_by_node={node: len(held.get(node, ())) for node in cluster.data},
        stored_bytes=sum(row.size_bytes for rows in held.values() for row in rows),
        data_bytes=sum(max(row.size_bytes for row in by_node.values()) for by_node in copies.values()),
        diverged_keys=sum(_differ(by_node, held) for by_node in copies.values()),
    )


def _differ(by_node: Mapping[NodeId, Held], running: Mapping[NodeId, Sequence[Held]]) -> bool:
    """Whether two running replicas of a key hold different records, or one holds none."""
    some = next(iter(by_node.values()))
    found = {row.digest if (row := by_node.get(node)) else None for node in some.replicas if node in running}
    return len(found) > 1


class Observations:
    """One run, as it was seen."""

    def __init__(
        self,
        history: History,
        phases: Phases,
        cluster: Cluster,
        *,
        errors: dict[int, str],
        intended_ns: dict[int, Nanoseconds],
        faults: list[FaultWindow],
        costs: Costs,
        stock: Stock | None = None,
        not_loaded: int = 0,
        never_struck: tuple[str, ...] = (),
    ) -> None:
        self.history, self.phases, self.cluster = history, phases, cluster
        self.errors, self.intended_ns = errors, intended_ns
        self.faults, self.costs, self.stock = faults, costs, stock
        self.not_loaded = not_loaded
        self.never_struck = never_struck
        """Kinds of faults that found nobody to strike: a crash of the leader where there was none."""
        self.operations = operations(history)
        self.measured = [op for op in self.operations if phases.measured_ns <= op.invoked_ns < phases.ended_ns]
        """Operations that began in the measured part."""

    @property
    def measured_s(self) -> float:
        """How long the measured part was."""
        return (self.phases.ended_ns - self.phases.measured_ns) / 1e9

    def answered(self, op: Operation) -> bool:
        """Whether the store did what was asked, or answered that the condition did not hold."""
        return op.outcome == "ok" or self.errors.get(op.invoked, "") in ANSWERED_BY_CONDITION

    def latency_ns(self, op: Operation) -> int:
        """From when the operation should have begun to its answer."""
        assert op.completed_ns is not None, "only an operation that ended has a latency"
        return op.completed_ns - self.intended_ns.get(op.invoked, op.invoked_ns)

    def final_history(self) -> History:
        """All writes, but of the reads only the final ones: an earlier one may be stale with nothing being lost."""
        checked_ns = self.phases.checked_ns
        return History(e for e in self.history.events if e.op != "read" or e.time_ns >= checked_ns)

    def since_start_s(self, time_ns: Nanoseconds) -> float:
        """A time as plots show it: seconds since the workload began."""
        return (time_ns - self.phases.workload_ns) / 1e9
