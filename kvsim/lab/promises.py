"""What a design claims, beside what its histories say: refuted with a witness, not refuted, or unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kvsim.check.convergence import convergence
from kvsim.check.durability import durability
from kvsim.check.exactly_once import Applications, exactly_once, remembered_twice
from kvsim.check.judges import IMPLIES, Limited, consistency_levels, strongest
from kvsim.check.linearizable import linearizable
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict
from kvsim.check.worm import worm
from kvsim.core.guarantee import Promise
from kvsim.core.history import Key
from kvsim.core.message import NodeId
from kvsim.lab.observations import Observations

ALWAYS_SHOWN = ("linearizable", "durability")
"""Judges whose verdicts a table of promises shows even where the design does not claim what they judge."""
_NOT_CLAIMED = {
    "durability": Promise("durability", "the final reads miss no acknowledged write (not claimed)", "durability"),
}
_LIMITED = Limited(time_limit_s=10.0)


class Judged(NamedTuple):
    """A promise, and what came of it over some runs."""

    promise: Promise
    claimed: bool
    verdict: str
    """`refuted`, `not_refuted`, `unknown`; empty where no judge can refute it."""
    evidence: str
    points: tuple[str, ...]
    """Labels of the points whose designs it belongs to."""


class Evidence(NamedTuple):
    """What a run leaves beside its history, where its world can show it: for the judge of exactly once."""

    applied: Applications | None = None
    """What its trace showed, if it had one."""
    session_tables: Mapping[NodeId, Mapping[str, str]] = {}
    """At the end, by node: each request that is known as done, with its version."""


HISTORY_ALONE = Evidence()


def judge_run(
    seen: Observations, promises: Iterable[Promise], evidence: Evidence = HISTORY_ALONE
) -> dict[str, Verdict]:
    """What the judges say that the promises name, and in any case about linearizability and durability."""
    named = {promise.judge for promise in promises}
    verdicts: dict[str, Verdict] = {
        "linearizable": linearizable(seen.history, _LIMITED.time_limit_s),
        "durability": durability(seen.final_history()),
    }
    if "convergence" in named:
        verdicts["convergence"] = convergence(seen.history, seen.phases.checked_ns)
    if "exactly-once" in named and (verdict := judge_retries(seen, evidence, "linearizable" in named)):
        verdicts["exactly-once"] = verdict
    if "worm" in named:
        verdicts["worm"] = worm(seen.history)
    return verdicts


def judge_retries(seen: Observations, evidence: Evidence, linearizable_reads: bool) -> Verdict | None:
    """Whether operations took effect once: from the trace, the session tables, and a history without stale reads; None
    where there is none of these."""
    witness = evidence.applied.witness if evidence.applied is not None else None
    if witness := witness or remembered_twice(evidence.session_tables):
        return Refuted(witness)
    if linearizable_reads:
        return exactly_once(seen.history, _LIMITED.time_limit_s)
    return NotRefuted() if evidence.applied is not None or evidence.session_tables else None


def levels_satisfied(seen: Observations, promises: Iterable[Promise]) -> dict[str, Verdict]:
    """For a design that claims less than linearizability: which levels of consistency its history happened to satisfy.

    Some levels take long to judge, so one run of a point is asked, not all.
    """
    if any(promise.judge == "linearizable" for promise in promises):
        return {}
    return consistency_levels(seen.history, _LIMITED)


def summed_up(runs: Iterable[tuple[str, str, Iterable[Promise], Mapping[str, Verdict]]]) -> list[Judged]:
    """Promises over runs, given as (point's label, run's label, design's promises, verdicts); alike ones together.

    Beside what is claimed stand linearizability and durability, and the strongest levels that a point's histories
    happened to satisfy.
    """
    given = [(point, run, list(promises), verdicts) for point, run, promises, verdicts in runs]
    satisfied = _satisfied([(point, verdicts) for point, _, _, verdicts in given])
    cases: dict[tuple[Promise, bool], list[tuple[str, str, Verdict | None]]] = {}
    for point, run, claims, verdicts in given:
        claimed = {promise.judge for promise in claims}
        for promise in claims:
            cases.setdefault((promise, True), []).append((point, run, verdicts.get(promise.judge)))
        for judge in dict.fromkeys((*ALWAYS_SHOWN, *satisfied[point])):
            if judge not in claimed and judge in verdicts:
                cases.setdefault((_not_claimed(judge), False), []).append((point, run, verdicts[judge]))
    return [judged for (promise, claimed_), found in cases.items() for judged in _split(promise, claimed_, found)]


def _not_claimed(judge: str) -> Promise:
    return _NOT_CLAIMED.get(judge) or Promise("consistency", f"{judge} (not claimed)", judge)


def _satisfied(runs: Iterable[tuple[str, Mapping[str, Verdict]]]) -> dict[str, list[str]]:
    """By point, the strongest levels of consistency that none of its runs leaves in doubt."""
    kept: dict[str, dict[str, Verdict]] = {}
    for point, verdicts in runs:
        levels = kept.setdefault(point, {level: verdicts[level] for level in IMPLIES if level in verdicts})
        for level in list(levels):
            if level in verdicts and not isinstance(verdicts[level], NotRefuted):
                levels[level] = verdicts[level]
    return {point: strongest(levels) for point, levels in kept.items()}


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
        where = "" if first.witness.key is None else f"key {_named(first.witness.key)}: "
        return f"{run}: {where}{first.witness.sentence}{more}"
    if name == "unknown":
        run, verdict = next((run, verdict) for run, verdict in cases if isinstance(verdict, Undecided))
        return f"{run}: {verdict.reason}"
    if name == "not_refuted":
        kept = sum(isinstance(verdict, NotRefuted) for _, verdict in cases)
        return f"in {kept} {'history' if kept == 1 else 'histories'}"
    return "no judge can refute it from a history"


def _named(key: Key | None) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
