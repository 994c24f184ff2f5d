"""All judges by name, and which promises follow from which: a history is put before as few of them as tell all."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kvsim.check.causal import causal, causal_convergence, causal_memory
from kvsim.check.convergence import convergence
from kvsim.check.durability import durability
from kvsim.check.exactly_once import exactly_once
from kvsim.check.linearizable import linearizable
from kvsim.check.sequential import sequential
from kvsim.check.sessions import ALL, session_guarantees
from kvsim.check.staleness import bounded_staleness
from kvsim.check.verdict import NotRefuted, Refuted, Verdict
from kvsim.check.worm import worm
from kvsim.core.history import History

GIB = 1 << 30


class Limited(NamedTuple):
    """What a judge is told beside the history."""

    time_limit_s: float = 10.0
    versions: int | None = None
    seconds: float | None = None
    after_ns: int | None = None


DEFAULT = Limited()
"""The limits that hold where none is given."""


class Judge(NamedTuple):
    """A judge, and in a few words what it means to pass it."""

    meaning: str
    judge: Callable[[History, Limited], Verdict]


def _sessions(*guarantees: str) -> Callable[[History, Limited], Verdict]:
    return lambda history, limited: session_guarantees(history, guarantees, limited.time_limit_s)


JUDGES: Mapping[str, Judge] = {
    "linearizable": Judge(
        "every operation seems to take effect at one instant between its invocation and its completion",
        lambda history, limited: linearizable(history, limited.time_limit_s),
    ),
    "sequential": Judge(
        "one order of all operations explains every answer and keeps each process's own order",
        lambda history, limited: sequential(history, limited.time_limit_s),
    ),
    "causal-convergence": Judge(
        "who sees an effect has seen its causes, and all agree on one order of the writes",
        lambda history, limited: causal_convergence(history, limited.time_limit_s),
    ),
    "causal-memory": Judge(
        "who sees an effect has seen its causes, and each process can put what it knew in one order",
        lambda history, limited: causal_memory(history, limited.time_limit_s),
    ),
    "causal": Judge(
        "who sees an effect has seen its causes", lambda history, limited: causal(history, limited.time_limit_s)
    ),
    "session-guarantees": Judge("all four session guarantees at once", _sessions(*ALL)),
    "read-your-writes": Judge("a read sees its process's earlier writes", _sessions("read-your-writes")),
    "monotonic-reads": Judge("a read sees all that its process's earlier reads saw", _sessions("monotonic-reads")),
    "monotonic-writes": Judge(
        "who sees a write sees the earlier writes of the process that wrote it", _sessions("monotonic-writes")
    ),
    "writes-follow-reads": Judge(
        "who sees a write sees all that its process had read before", _sessions("writes-follow-reads")
    ),
    "bounded-staleness": Judge(
        "no read is further behind than the bound",
        lambda history, limited: bounded_staleness(history, limited.versions, limited.seconds),
    ),
    "convergence": Judge(
        "once the store is quiet and healed, all reads of a key agree on a value that was written",
        lambda history, limited: convergence(history, limited.after_ns),
    ),
    "durability": Judge(
        "what was acknowledged is there at the end, unless something acknowledged replaced it",
        lambda history, limited: durability(history),
    ),
    "worm": Judge("what a key once held never changes and never goes", lambda history, limited: worm(history)),
    "exactly-once": Judge(
        "no operation takes effect twice", lambda history, limited: exactly_once(history, limited.time_limit_s)
    ),
}
"""The judges of single operations; those of transactions are in `kvsim.check.transactions`."""

IMPLIES: Mapping[str, tuple[str, ...]] = {
    "linearizable": ("sequential",),
    "sequential": ("causal-convergence", "causal-memory"),
    "causal-convergence": ("causal", "session-guarantees"),
    "causal-memory": ("causal",),
    "causal": (),
    "session-guarantees": ALL,
    **dict.fromkeys(ALL, ()),
}
"""Consistency, strongest first: a history that passes the one passes the others too."""


def consistency_levels(history: History, limited: Limited = DEFAULT) -> dict[str, Verdict]:
    """The verdict on every consistency level; what follows from a stronger one is not judged again."""
    verdicts: dict[str, Verdict] = {}
    # A scan or transaction counts for causality and sessions, but not for the two strongest levels.
    single = all(e.op not in ("scan", "txn") for e in history.events)
    for level in IMPLIES:
        if level not in verdicts:
            verdicts[level] = JUDGES[level].judge(history, limited)
        if isinstance(verdicts[level], NotRefuted) and (single or level != "sequential"):
            verdicts |= dict.fromkeys(IMPLIES[level], NotRefuted())
    return verdicts


def strongest(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Of the levels that are not refuted, nor any that follows from them, those that follow from no other.

    Scans count for weaker levels alone, so a level may be refuted that follows from one that is not.
    """
    refuted = {level for level, verdict in verdicts.items() if isinstance(verdict, Refuted)}
    unharmed = [level for level, verdict in verdicts.items() if isinstance(verdict, NotRefuted)]
    kept = [level for level in unharmed if not refuted & _below(level)]
    weaker = {below for level in kept for below in _below(level)}
    return [level for level in kept if level not in weaker]


def _below(level: str) -> set[str]:
    return {below for direct in IMPLIES[level] for below in ({direct} | _below(direct))}
