"""The judges: did the design keep its promise? Each takes a history, whatever produced it, and gives a verdict.

from kvsim.check import linearizable, read
linearizable(read("history.jsonl"))
"""

from kvsim.check.durability import LostWrite, durability, lost_writes
from kvsim.check.formats import read
from kvsim.check.linearizable import linearizable
from kvsim.check.staleness import staleness
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness, verdict_as_json

__all__ = [
    "LostWrite",
    "NotRefuted",
    "Refuted",
    "Undecided",
    "Verdict",
    "Witness",
    "durability",
    "linearizable",
    "lost_writes",
    "read",
    "staleness",
    "verdict_as_json",
]
