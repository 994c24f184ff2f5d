"""Transactions as the judge sees them: what each read and wrote, and which of them committed."""

from collections.abc import Sequence
from typing import Any

import msgspec

from kvsim.core.history import NEVER, History, HistoryError, Operation, operations

Mop = Sequence[Any]
"""A micro-operation: `["r", key, answer]`, `["append", key, element]` or `["w", key, value]`."""
Version = tuple[Any, Any]
"""A key and the value written to it, which nobody else writes to it."""


class Transaction(msgspec.Struct, gc=False, eq=False):
    """One transaction. Its number is its place in the order of the beginnings, and its name in witnesses."""

    number: int
    operation: Operation
    mops: Sequence[Mop]
    outcome: str
    committed: bool
    """Acknowledged, or of unknown outcome and seen by one that was acknowledged."""

    @property
    def invoked(self) -> int:
        return self.operation.invoked

    @property
    def completed(self) -> int:
        """When it had certainly committed; NEVER where its client was not told."""
        return self.operation.completed if self.outcome == "ok" else NEVER


class DuplicateValue(Exception):
    """A key is given one value twice, so that a read says nothing about who wrote it."""


class Transactions:
    """All transactions of a history, and who wrote what."""

    def __init__(self, history: History) -> None:
        self.all: list[Transaction] = []
        self.writer: dict[Version, Transaction] = {}
        self.lists: set[Any] = set()
        """The keys that hold lists; the others are registers."""
        for o in operations(history):
            if o.op == "txn":
                mops = o.answer if o.outcome == "ok" else o.value
                self._admit(Transaction(len(self.all), o, mops, o.outcome, o.outcome == "ok"))
        self._mark_observed()

    def _admit(self, t: Transaction) -> None:
        if not isinstance(t.mops, list | tuple):
            raise _malformed(t)
        self.all.append(t)
        for mop in t.mops:
            try:
                f, key, value = mop
                if f == "r":
                    if type(value) is list:
                        self.lists.add(key)
                    continue
                if f == "append":
                    self.lists.add(key)
                elif f != "w":
                    raise _malformed(t)
                if self.writer.setdefault((key, value), t) is not t:
                    raise DuplicateValue(f"two transactions write {value!r} to {key!r}")
            except (TypeError, ValueError):
                raise _malformed(t) from None

    def _mark_observed(self) -> None:
        unknown = [t for t in self.all if t.outcome == "info"]
        if not unknown:
            return
        waiting = {version: t for version, t in self.writer.items() if t.outcome == "info"}
        for t in self.all:
            if t.outcome != "ok":
                continue
            for f, key, answer in t.mops:
                if f == "r":
                    for value in answer if type(answer) is list else (answer,):
                        if (seen := waiting.get((key, value))) is not None:
                            seen.committed = True


def _malformed(t: Transaction) -> HistoryError:
    return HistoryError(
        t.invoked + 1, 'a transaction is a list of ["r", key, answer], ["append", key, x], ["w", key, x]'
    )


def external_reads(t: Transaction) -> list[tuple[Any, Any]]:
    """The first read of each key that the transaction had not written itself: what it saw of others."""
    found: list[tuple[Any, Any]] = []
    touched: set[Any] = set()
    for f, key, value in t.mops:
        if key not in touched:
            touched.add(key)
            if f == "r":
                found.append((key, value))
    return found


def written(t: Transaction) -> dict[Any, list[Any]]:
    """By key, the values that the transaction wrote or appended, in order."""
    found: dict[Any, list[Any]] = {}
    for f, key, value in t.mops:
        if f != "r":
            found.setdefault(key, []).append(value)
    return found
