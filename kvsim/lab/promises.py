"""What a design claims, beside what its histories say: refuted with a witness, not refuted, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kvsim.check.durability import durability
from kvsim.check.linearizable import linearizable
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict
from kvsim.core.guarantee import Promise
from kvsim.core.history import Key
from kvsim.lab.observations import Observations

JUDGES: Mapping[str, Callable[[Observations], Verdict]] = {
    "linearizable": lambda seen: linearizable(seen.history),
    "durability": lambda seen: durability(seen.final_history()),
}
"""The judges that promises name; every run is put before all of them, claimed or not."""
NOT_CLAIMED = {
    "linearizable": Promise("consistency", "linearizable (not claimed)", "linearizable"),
    "durability": Promise("durability", "acknowledged writes are kept (not claimed)", "durability"),
}


class Judged(NamedTuple):
    """A promise, and what came of it over some runs."""

    promise: Promise
    claimed: bool
    verdict: str
    """`refuted`, `not_refuted`, `unknown`; empty where no judge can refute it."""
    evidence: str
    points: tuple[str, ...]
    """Labels of the points whose designs it belongs to."""


def judge_run(seen: Observations) -> dict[str, Verdict]:
    """What every judge says."""
    return {name: judge(seen) for name, judge in JUDGES.items()}


def summed_up(runs: Iterable[tuple[str, str, Iterable[Promise], Mapping[str, Verdict]]]) -> list[Judged]:
    """Promises over runs, given as (point's label, run's label, design's promises, verdicts); alike ones together."""
    cases: dict[tuple[Promise, bool], list[tuple[str, str, Verdict | None]]] = {}
    for point, run, promises, verdicts in runs:
        claims = list(promises)
        claimed = {promise.judge for promise in claims}
        for promise in claims:
            cases.setdefault((promise, True), []).append((point, run, verdicts.get(promise.judge)))
        for judge, verdict in verdicts.items():
            if judge not in claimed:
                cases.setdefault((NOT_CLAIMED[judge], False), []).append((point, run, verdict))
    return [judged for (promise, claimed_), found in cases.items() for judged in _split(promise, claimed_, found)]


def _split(promise: Promise, claimed: bool, found: list[tuple[str, str, Verdict | None]]) -> list[Judged]:
    """One row a verdict of points: a point is refuted by one of its runs, and unknown if a run is and none refutes."""
    by_point: dict[str, list[tuple[str, Verdict | None]]] = {}
    for point, run, verdict in found:
        by_point.setdefault(point, []).append((run, verdict))
    rows: dict[str, list[str]] = {}
    for point, verdicts in by_point.items():
        rows.setdefault(_worst([verdict for _, verdict in verdicts]), []).append(point)
    return [
        Judged(
            promise,
            claimed,
            name,
            _evidence(name, [case for point in points for case in by_point[point]]),
            tuple(points),
        )
        for name, points in rows.items()
    ]


def _worst(verdicts: list[Verdict | None]) -> str:
    kinds = {verdict.name for verdict in verdicts if verdict is not None}
    return next((name for name in ("refuted", "unknown", "not_refuted") if name in kinds), "")


def _evidence(name: str, cases: list[tuple[str, Verdict | None]]) -> str:
    if name == "refuted":
        refuted = [(run, verdict) for run, verdict in cases if isinstance(verdict, Refuted)]
        run, first = refuted[0]
        more = f" (and in {len(refuted) - 1} more of {len(cases)} histories)" if len(refuted) > 1 else ""
        return f"{run}: key {_named(first.witness.key)}: {first.witness.sentence}{more}"
    if name == "unknown":
        run, verdict = next((run, verdict) for run, verdict in cases if isinstance(verdict, Undecided))
        return f"{run}: {verdict.reason}"
    if name == "not_refuted":
        kept = sum(isinstance(verdict, NotRefuted) for _, verdict in cases)
        return f"in {kept} {'history' if kept == 1 else 'histories'}"
    return "no judge can refute it from a history"


def _named(key: Key | None) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
