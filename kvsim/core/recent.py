"""Tables that remember what was added last: sessions, retries, questions. What is oldest is forgotten first."""

from __future__ import annotations

from itertools import islice
from typing import Any


def forget_oldest(table: dict[Any, Any]) -> None:
    """Drop the oldest sixteenth of a table that has grown too large.

    Many at once, since a dict takes long to find its first entry when many were dropped before it.
    """
    for key in list(islice(table, len(table) // 16 + 1)):
        del table[key]
