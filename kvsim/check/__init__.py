"""The judges: did the design keep its promise? Each takes a history, whatever produced it, and gives a verdict.

from kvsim.check import linearizable, read
linearizable(read("history.jsonl"))
"""

from kvsim.check.availability import Outage, outages
from kvsim.check.causal import causal, causal_convergence, causal_memory
from kvsim.check.convergence import convergence
from kvsim.check.durability import LostWrite, durability, lost_writes
from kvsim.check.exactly_once import exactly_once
from kvsim.check.formats import read
from kvsim.check.linearizable import linearizable
from kvsim.check.sequential import sequential
from kvsim.check.sessions import session_guarantees
from kvsim.check.staleness import bounded_staleness, staleness
from kvsim.check.transactions import Isolation, transactions, verdict_of_level
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness, verdict_as_json
from kvsim.check.worm import worm

__all__ = [
    "Isolation",
    "LostWrite",
    "NotRefuted",
    "Outage",
    "Refuted",
    "Undecided",
    "Verdict",
    "Witness",
    "bounded_staleness",
    "causal",
    "causal_convergence",
    "causal_memory",
    "convergence",
    "durability",
    "exactly_once",
    "linearizable",
    "lost_writes",
    "outages",
    "read",
    "sequential",
    "session_guarantees",
    "staleness",
    "transactions",
    "verdict_as_json",
    "verdict_of_level",
    "worm",
]
