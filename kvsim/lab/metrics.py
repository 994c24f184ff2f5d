"""The metrics of one run: flat names with the unit in the name, from what its clients saw and its world counted.

A metric that a run cannot give is absent: without reads no read latency, with fewer than a thousand no p999 of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kvsim.check.availability import clients_of, key_range_of, longest_outage_ns
from kvsim.check.durability import lost_writes
from kvsim.check.staleness import staleness
from kvsim.core.history import Operation
from kvsim.lab.observations import Observations
from kvsim.lab.recovery import recovery_ns

PERCENTILES = {"p50": (50, 100), "p90": (90, 100), "p99": (99, 100), "p999": (999, 1000)}
ORDINALS = {"p50": "50th", "p90": "90th", "p99": "99th", "p999": "99.9th"}
GROUPS = ("read", "write", "scan")


class Meaning(NamedTuple):
    """What a metric says."""

    unit: str
    text: str
    better: str = ""
    """`higher` or `lower`, where one is better."""


METRICS: dict[str, Meaning] = {
    "throughput_ops_per_s": Meaning("1/s", "operations that succeeded in the measured part, a second", "higher"),
    "availability_share": Meaning("", "share of operations that were answered, a refused condition included", "higher"),
    "client_outage_max_s": Meaning(
        "s", "the longest time between two answers in which a client asked in vain", "lower"
    ),
    "key_range_outage_max_s": Meaning(
        "s", "the same of all clients together, on one of four ranges that hold as many of the keys each", "lower"
    ),
    **{
        f"{group}_latency_{name}_s": Meaning("s", f"{ORDINALS[name]} percentile of {group} latency", "lower")
        for group in GROUPS
        for name in PERCENTILES
    },
    "stale_read_share": Meaning("", "share of reads that missed a write acknowledged before they began", "lower"),
    "staleness_p99_s": Meaning(
        "s", "how long ago the first missed write was acknowledged; 0 for a fresh read", "lower"
    ),
    "acknowledged_writes_lost": Meaning("", "acknowledged writes that the final reads prove to be gone", "lower"),
    "messages_per_op": Meaning("", "messages sent, heartbeats included, for each answered operation", "lower"),
    "bytes_per_op": Meaning("B", "bytes sent for each answered operation", "lower"),
    "syncs_per_op": Meaning("", "disk syncs for each answered operation", "lower"),
    "disk_bytes_per_op": Meaning("B", "bytes written to disks for each answered operation", "lower"),
    "stored_bytes_over_data": Meaning("", "bytes in all replicas over the bytes of the data itself", "lower"),
    "load_max_over_mean": Meaning("", "messages that the busiest ServerData handled, over their mean", "lower"),
    "cpu_busy_max_share": Meaning(
        "", "share of the time that the busiest node's CPU worked; over 1 with several cores", "lower"
    ),
    "keys_max_over_mean": Meaning("", "keys on the fullest ServerData, over the mean", "lower"),
    "keys_deviation_over_mean": Meaning("", "standard deviation of keys on a ServerData, over the mean", "lower"),
    "diverged_keys": Meaning("", "keys of which two running replicas differ at the end", "lower"),
    "recovery_s": Meaning(
        "s", "from a fault's start until operations succeed at half the pace they had before", "lower"
    ),
    "out_of_memory_kills": Meaning("", "times that a node held more than its memory and was killed, in all", "lower"),
    "operations": Meaning("", "operations that began in the measured part"),
    "unknown_share": Meaning("", "share of operations whose outcome their clients do not know", "lower"),
    "keys_not_loaded": Meaning("", "keys that the store did not take before the workload began", "lower"),
}


def measure(seen: Observations) -> dict[str, float]:
    """All metrics of a run, sorted by name."""
    return dict(sorted(_all(seen)))


def _all(seen: Observations) -> Iterator[tuple[str, float]]:
    yield "operations", len(seen.measured)
    if seen.not_loaded:
        yield "keys_not_loaded", seen.not_loaded
    if seen.measured:
        yield "availability_share", _share(map(seen.answered, seen.measured), len(seen.measured))
        yield "unknown_share", _share((op.outcome == "info" for op in seen.measured), len(seen.measured))
    yield "throughput_ops_per_s", len(successes_ns(seen)) / seen.measured_s
    yield from _outages(seen)
    yield from _latencies(seen)
    yield from _staleness(seen)
    yield from _costs(seen)
    yield from _kills(seen)
    yield from _stock(seen)
    yield from _recoveries(seen)


def _outages(seen: Observations) -> Iterator[tuple[str, float]]:
    found = [op for op in seen.measured if op.key is not None]
    if found:
        clients = clients_of(seen.history)
        by_client = longest_outage_ns(found, lambda op: str(clients[op.process]), seen.answered)
        yield "client_outage_max_s", by_client / 1e9
        yield "key_range_outage_max_s", longest_outage_ns(found, key_range_of(found), seen.answered) / 1e9


def successes_ns(seen: Observations) -> list[int]:
    """When operations succeeded in the measured part, ascending."""
    start, end = seen.phases.measured_ns, seen.phases.ended_ns
    return sorted(
        op.completed_ns
        for op in seen.operations
        if op.completed_ns is not None and start <= op.completed_ns < end and seen.answered(op)
    )


def group_of(op: Operation) -> str:
    """`read`, `scan`, or `write` for all that changes a key."""
    return op.op if op.op in ("read", "scan") else "write"


def latencies_ns(seen: Observations, group: str) -> list[int]:
    """Latencies of the measured operations of a group that succeeded, ascending."""
    return sorted(seen.latency_ns(op) for op in seen.measured if op.outcome == "ok" and group_of(op) == group)


def percentile(ascending: Sequence[int], of: tuple[int, int]) -> int | None:
    """The nearest-rank percentile `part/whole`; None where there are too few values for it to be one of them."""
    part, whole = of
    if len(ascending) * (whole - part) < whole:
        return None
    return ascending[math.ceil(len(ascending) * part / whole) - 1]


def _latencies(seen: Observations) -> Iterator[tuple[str, float]]:
    for group in GROUPS:
        ascending = latencies_ns(seen, group)
        for name, of in PERCENTILES.items():
            if (found := percentile(ascending, of)) is not None:
                yield f"{group}_latency_{name}_s", found / 1e9


def stale_reads_ns(seen: Observations) -> list[tuple[Operation, int]]:
    """The measured reads that were answered, and how long each was behind; 0 for a fresh one."""
    reads = [op for op in seen.operations if op.op == "read" and op.outcome == "ok"]
    start, end = seen.phases.measured_ns, seen.phases.ended_ns
    behind = zip(reads, staleness(seen.history), strict=True)
    return [(read, by_ns) for read, by_ns in behind if start <= read.invoked_ns < end]


def _staleness(seen: Observations) -> Iterator[tuple[str, float]]:
    stale = sorted(by_ns for _, by_ns in stale_reads_ns(seen))
    if stale:
        yield "stale_read_share", sum(1 for by_ns in stale if by_ns) / len(stale)
        if (found := percentile(stale, PERCENTILES["p99"])) is not None:
            yield "staleness_p99_s", found / 1e9
    yield "acknowledged_writes_lost", len(lost_writes(seen.final_history()))


def _costs(seen: Observations) -> Iterator[tuple[str, float]]:
    costs, done = seen.costs, len(successes_ns(seen))
    counts = {"messages": costs.messages, "bytes": costs.bytes, "syncs": costs.syncs, "disk_bytes": costs.disk_bytes}
    for name, count in counts.items():
        if count is not None and done:
            yield f"{name}_per_op", count / done
    load = [costs.load_by_node.get(node, 0) for node in seen.cluster.data]
    if sum(load):
        yield "load_max_over_mean", _max_over_mean(load)
    if costs.busy_ns_by_node:
        yield "cpu_busy_max_share", max(costs.busy_ns_by_node.values()) / 1e9 / seen.measured_s


def _kills(seen: Observations) -> Iterator[tuple[str, float]]:
    if seen.costs.kills_by_node is not None:
        yield "out_of_memory_kills", sum(seen.costs.kills_by_node.values())


def _stock(seen: Observations) -> Iterator[tuple[str, float]]:
    if seen.stock is None:
        return
    yield "diverged_keys", seen.stock.diverged_keys
    if seen.stock.data_bytes:
        yield "stored_bytes_over_data", seen.stock.stored_bytes / seen.stock.data_bytes
        yield "keys_max_over_mean", _max_over_mean(seen.stock.keys_by_node.values())
        yield "keys_deviation_over_mean", _deviation_over_mean(seen.stock.keys_by_node.values())


def _recoveries(seen: Observations) -> Iterator[tuple[str, float]]:
    done = successes_ns(seen)
    for fault in seen.faults:
        found = recovery_ns(done, seen.phases.measured_ns, fault.start_ns, fault.end_ns, seen.phases.ended_ns)
        if found is not None:
            yield f"recovery_s[{fault.name}]", found / 1e9


def _share(flags: Iterable[bool], of: int) -> float:
    return sum(1 for flag in flags if flag) / of


def _max_over_mean(counts: Iterable[int]) -> float:
    counts = list(counts)
    return max(counts) * len(counts) / sum(counts)


def _deviation_over_mean(counts: Iterable[int]) -> float:
    counts = list(counts)
    squares = len(counts) * sum(count * count for count in counts) - sum(counts) ** 2
    return math.sqrt(squares) / sum(counts)
