"""The levels of isolation that the anomalies of a history rule out, and the strongest that is left.

A level is refuted when every order of versions that the history leaves open shows what the level forbids.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kvsim.check.search import Limits
from kvsim.check.transactions.anomalies import Anomaly, acyclic_anomalies, called
from kvsim.check.transactions.cycles import KINDS, Cycle, Cycles, components
from kvsim.check.transactions.dependencies import Dependencies
from kvsim.check.transactions.read import DuplicateValue, Transactions
from kvsim.check.transactions.reasons import told_cycle
from kvsim.check.transactions.version_orders import worst_in_every_order
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.core.history import History

GIB = 1 << 30
LEVELS = (
    "read-uncommitted", "read-committed", "consistent-view", "snapshot-isolation", "serializable",
    "strong-session-serializable", "strict-serializable",
)  # fmt: skip
"""Weakest first; `repeatable-read` is `serializable` here, since nothing reads by predicate."""
_LEVEL_AT = {level: at for at, level in enumerate(LEVELS)} | {"repeatable-read": LEVELS.index("serializable")}
_FIRST_REFUTED = {
    "G0": "read-uncommitted",
    "G1a": "read-committed",
    "G1b": "read-committed",
    "G1c": "read-committed",
    "dirty-update": "read-committed",
    "incompatible-order": "read-committed",
    "unwritten-read": "read-committed",
    "G-single": "consistent-view",
    "lost-update": "consistent-view",
    "G-nonadjacent": "snapshot-isolation",
    "internal": "snapshot-isolation",
    "G2-item": "serializable",
    "write-skew": "serializable",
}
"""The weakest level that each anomaly rules out; with `-process` and `-realtime` the last two."""


class Isolation(msgspec.Struct, frozen=True):
    """What the judge found."""

    levels: Mapping[str, str]
    """Each level: `not_refuted`, `refuted` or `unknown`."""
    strongest: str
    """The strongest level that is not refuted, or `none`."""
    anomalies: tuple[Anomaly, ...]
    reason: str
    """Why levels are unknown, where some are."""
    beyond_inference: str = ""
    """What only a search over all orders of the versions has shown."""


def transactions(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Isolation:
    """Judge the transactions of a history at all levels. Raises HistoryError where one is malformed."""
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    try:
        of = Transactions(history)
    except DuplicateValue as duplicate:
        return Isolation(dict.fromkeys(_LEVEL_AT, "unknown"), "none", (), str(duplicate))
    found = Dependencies(of)
    anomalies = list(acyclic_anomalies(found))
    reason = ""
    try:
        anomalies += _cycles(found, anomalies, limits)
    except TimeoutError:
        reason = f"time limit, while looking for cycles among {len(of.all):,} transactions"
    first = min((_first_refuted(a.name) for a in anomalies), default=len(LEVELS))
    searched = worst_in_every_order(found, first, limits)
    beyond = f"no order of the versions keeps {LEVELS[searched]}" if searched < first else ""
    first = min(first, searched)
    names = {level: _name(at, first, reason) for level, at in _LEVEL_AT.items()}
    strongest = "none" if first == 0 else LEVELS[first - 1]
    return Isolation(names, strongest, tuple(anomalies), reason, beyond)


def _name(at: int, first_refuted: int, reason: str) -> str:
    if at >= first_refuted:
        return "refuted"
    return "unknown" if reason and at > 0 else "not_refuted"


def _first_refuted(name: str) -> int:
    if name.endswith("-process"):
        return LEVELS.index("strong-session-serializable")
    if name.endswith("-realtime"):
        return LEVELS.index("strict-serializable")
    return LEVELS.index(_FIRST_REFUTED[name])


def _cycles(found: Dependencies, others: list[Anomaly], limits: Limits) -> list[Anomaly]:
    """The most severe kind of cycle, told; process order and real time count where nothing else makes a cycle."""
    realtime = found.realtime()
    graphs = {"ww": found.ww, "wr": found.wr, "rw": found.rw}
    stronger = found.registers_in_time(realtime, True)
    count = len(found.of.all)
    everything = {
        n: [*found.ww[n], *found.wr[n], *found.rw[n], *realtime[n], *stronger[n]] for n in range(count)
    }  # fmt: skip
    members = [member for component in components(everything, count) for member in component]
    del everything
    if not members:
        return []
    plain = Cycles(members, graphs)
    worst = plain.worst((), limits)
    if worst is None:
        by_process = found.registers_in_time(realtime, False)
        rw = [[*a, *b] for a, b in zip(found.rw, by_process, strict=True)]
        worst = Cycles(members, {**graphs, "rw": rw, "process": found.process()}).worst(("process",), limits)
    if worst is None:
        rw = [[*a, *b] for a, b in zip(found.rw, stronger, strict=True)]
        worst = Cycles(members, {**graphs, "rw": rw, "realtime": realtime}).worst(("realtime",), limits)
    assert worst is not None, "all edges together make a cycle"
    told = [told_cycle(found, worst)]
    lost = any(a.name == "lost-update" for a in others)
    if worst.kind == "G2-item" and not lost and (skew := plain.write_skew()):
        told.append(told_cycle(found, Cycle("write-skew", skew, ("rw", "rw"))))
    return told


def verdict_of_level(found: Isolation, level: str) -> Verdict:
    """The verdict on one level, with the anomaly that refutes it as the witness."""
    name = found.levels[level]
    if name == "unknown":
        return Undecided(found.reason)
    if name == "not_refuted":
        return NotRefuted()
    at = _LEVEL_AT[level]
    for anomaly in sorted(found.anomalies, key=lambda a: (_first_refuted(a.name), len(a.transactions))):
        if _first_refuted(anomaly.name) <= at:
            operations = tuple(t.operation for t in anomaly.transactions)
            return Refuted(Witness(None, operations, f"{anomaly.name}: {anomaly.sentence}"))
    return Refuted(Witness(None, (), f"{found.beyond_inference}: every order was tried"))


def isolation_as_json(found: Isolation) -> dict[str, Any]:
    """Levels, the strongest, and anomalies as plain data."""
    return {
        "strongest": found.strongest,
        "levels": dict(found.levels),
        "anomalies": [a.name for a in found.anomalies],
        "evidence": [
            {
                "anomaly": a.name,
                "sentence": a.sentence,
                "transactions": [called(t) for t in a.transactions],
                "indexes": [t.invoked for t in a.transactions],
                "edges": [
                    {"from": called(a.transactions[i]), "to": called(a.transactions[j]), "kind": kind}
                    for i, j, kind in a.steps
                ],
            }
            for a in found.anomalies
        ],
        **({"reason": found.reason} if found.reason else {}),
        **({"beyond_inference": found.beyond_inference} if found.beyond_inference else {}),
    }


assert set(KINDS) <= set(_FIRST_REFUTED)
