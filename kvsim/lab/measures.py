"""Further metrics, for which an experiment asks by `[measure] use = ["pbs"]`: functions of what a run left behind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping

from kvsim.core.history import WRITES, Key, Operation
from kvsim.core.settings import shown_duration
from kvsim.lab.metrics import stale_reads_ns
from kvsim.lab.observations import Observations

Measure = Callable[[Observations], dict[str, float]]

AFTER_NS = (0, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000)


def pbs(seen: Observations) -> dict[str, float]:
    """Probabilistically bounded staleness: the share of reads, begun t after a write was acknowledged, that see it.

    Bailis et al., "Probabilistically bounded staleness for practical partial quorums", VLDB 2012: their
    t-visibility, as `pbs_consistent_share[5 ms]`. Counted are reads whose key's last acknowledged write ended at least
    t and less than the next t of the list before they began.
    """
    hits = [0] * len(AFTER_NS)
    counts = [0] * len(AFTER_NS)
    for age_ns, fresh in _ages(seen):
        slot = bisect_right(AFTER_NS, age_ns) - 1
        counts[slot] += 1
        hits[slot] += fresh
    return {
        f"pbs_consistent_share[{shown_duration(after_ns)}]": hits[slot] / counts[slot]
        for slot, after_ns in enumerate(AFTER_NS)
        if counts[slot]
    }


def _ages(seen: Observations) -> Iterator[tuple[int, bool]]:
    """For each measured read: how long ago its key's last acknowledged write ended, and whether it missed none."""
    ends = _ends_by_key(seen.operations)
    for read, behind_ns in stale_reads_ns(seen):
        assert read.key is not None, "a read has a key"
        before = ends.get(read.key, [])
        at = bisect_right(before, read.invoked_ns)
        if at:
            yield read.invoked_ns - before[at - 1], behind_ns == 0


def _ends_by_key(operations: list[Operation]) -> Mapping[Key, list[int]]:
    ends: dict[Key, list[int]] = {}
    for op in operations:
        if op.op in WRITES and op.outcome == "ok" and op.key is not None and op.completed_ns is not None:
            ends.setdefault(op.key, []).append(op.completed_ns)
    return {key: sorted(times) for key, times in ends.items()}


MEASURES: dict[str, Measure] = {"pbs": pbs}
"""What `measure.use` may name; each gives metrics whose names begin with its own."""
