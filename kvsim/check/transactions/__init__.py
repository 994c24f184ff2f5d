"""Isolation of transactions: which levels a history of list appends or register writes rules out, and by what anomaly.

Adya, "Weak consistency: a generalized theory and optimistic implementations for distributed transactions", 1999;
Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations", VLDB 2020.

from kvsim.check.transactions import transactions
transactions(read("history.jsonl")).strongest
"""

from kvsim.check.transactions.anomalies import Anomaly
from kvsim.check.transactions.judge import LEVELS, Isolation, isolation_as_json, transactions, verdict_of_level

__all__ = ["LEVELS", "Anomaly", "Isolation", "isolation_as_json", "transactions", "verdict_of_level"]
