"""Guarantees: what a design promises, in words that a judge can check against a history.

The order of the consistency levels follows Viotti and Vukolić, "Consistency in non-transactional distributed storage
systems", ACM Computing Surveys 2016.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Level(IntEnum):
    """Consistency levels of single operations, weakest first; a higher one implies all below it."""

    EVENTUAL = 0
    CAUSAL = 1
    SEQUENTIAL = 2
    LINEARIZABLE = 3


class Promise(msgspec.Struct, frozen=True):
    """One sentence that a design stands by."""

    subject: str
    """What it is about: `consistency`, `durability`, `faults`, `conditional operations`, `retries`, `writes`."""
    claim: str
    judge: str = ""
    """The judge in `kvsim/check/` that can refute it from a history; empty where none can."""


_JUDGES = {
    Level.LINEARIZABLE: "linearizable",
    Level.SEQUENTIAL: "sequential",
    Level.CAUSAL: "causal",
    Level.EVENTUAL: "convergence",
}


def consistency(level: Level, why: str) -> Promise:
    """The promise of a consistency level. Eventual consistency is refuted by readers that differ once all is quiet."""
    return Promise("consistency", f"{level.name.lower()}: {why}", _JUDGES[level])


def durability(claim: str, judged: bool) -> Promise:
    """The promise that acknowledged writes are kept. `judged`: lost ones refute it."""
    return Promise("durability", claim, "durability" if judged else "")
