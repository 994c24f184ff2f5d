"""Anomalies that are no cycles: reads of what never was, transactions that contradict themselves, lost updates.

Adya, "Weak consistency", 1999 (G1a, G1b); Kingsbury and Alvaro, "Elle", VLDB 2020 (internal, dirty update, incompatible
order).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from kvsim.check.transactions.dependencies import Dependencies
from kvsim.check.transactions.read import Transaction, external_reads, written
from kvsim.check.wording import in_few_digits, listed, shown


class Anomaly(msgspec.Struct, frozen=True):
    """One anomaly: its name, the transactions that show it, and why, in a sentence."""

    name: str
    transactions: tuple[Transaction, ...]
    sentence: str
    steps: tuple[tuple[int, int, str], ...] = ()
    """Of a cycle: edges between the transactions, by their places in it, with their kinds."""

    def __post_init__(self) -> None:
        found = [transaction.operation for transaction in self.transactions]
        msgspec.structs.force_setattr(self, "sentence", in_few_digits(self.sentence, found))


def called(t: Transaction) -> str:
    """A transaction's name in a sentence: `T3 (process 1)`."""
    return f"T{t.number} (process {t.operation.process})"


def acyclic_anomalies(found: Dependencies) -> Iterator[Anomaly]:
    """The first of each kind."""
    seen: set[str] = set()
    for anomaly in _all(found):
        if anomaly.name not in seen:
            seen.add(anomaly.name)
            yield anomaly


def _all(found: Dependencies) -> Iterator[Anomaly]:
    for t in found.of.all:
        if t.outcome == "ok":
            yield from _reads(found, t)
            yield from _internal(found, t)
    for key, first, second in found.incompatible:
        a, b = found.of.all[first[0]], found.of.all[second[0]]
        yield Anomaly(
            "incompatible-order", (a, b),
            f"{called(a)} read {shown(first[1])} from {shown(key)} and {called(b)} read {shown(second[1])}: "
            "neither list begins the other, so they cannot be states of one list",
        )  # fmt: skip
    yield from _dirty_updates(found)
    yield from _lost_updates(found)


def _reads(found: Dependencies, t: Transaction) -> Iterator[Anomaly]:
    """G1a and G1b, and what nobody wrote."""
    for f, key, answer in t.mops:
        if f != "r" or answer is None:
            continue
        values = answer if type(answer) is list else [answer]
        for value in values:
            writer = found.of.writer.get((key, value))
            if writer is None:
                yield Anomaly(
                    "unwritten-read", (t,), f"{called(t)} read {shown(value)} from {shown(key)}, which nobody wrote"
                )
            elif writer.outcome == "fail":
                yield Anomaly(
                    "G1a", (writer, t),
                    f"{called(t)} read {shown(value)} from {shown(key)}, "
                    f"which {called(writer)} wrote before it aborted",
                )  # fmt: skip
        if values:
            writer = found.of.writer.get((key, values[-1]))
            if writer is not None and writer is not t and (last := written(writer)[key][-1]) != values[-1]:
                yield Anomaly(
                    "G1b", (writer, t),
                    f"{called(t)} read {shown(values[-1])} from {shown(key)}, "
                    f"a state in the middle of {called(writer)}, which went on to write {shown(last)}",
                )  # fmt: skip


def _internal(found: Dependencies, t: Transaction) -> Iterator[Anomaly]:
    """What a transaction did before says what it must read next."""
    known: dict[Any, Any] = {}
    own: dict[Any, list[Any]] = {}  # appends to a list that was not read before
    for f, key, value in t.mops:
        if f == "append":
            if key in known:
                known[key] = [*known[key], value]
            else:
                own.setdefault(key, []).append(value)
            continue
        now = list(value or []) if key in found.of.lists else value
        if f == "r":
            appended = own.pop(key, [])
            if key in known and known[key] != now:
                yield _contradiction(t, key, value, f"by its own reads and writes it was {shown(known[key])}")
            elif appended and now[-len(appended) :] != appended:
                yield _contradiction(t, key, value, f"it had itself appended {listed([shown(x) for x in appended])}")
        known[key] = now


def _contradiction(t: Transaction, key: Any, value: Any, but: str) -> Anomaly:
    return Anomaly("internal", (t,), f"{called(t)} read {shown(value)} from {shown(key)}, although {but}")


def _dirty_updates(found: Dependencies) -> Iterator[Anomaly]:
    for key, order in found.orders.items():
        aborted: tuple[Any, Transaction] | None = None
        for value in order:
            writer = found.of.writer.get((key, value))
            if writer is None:
                continue
            if writer.outcome == "fail":
                aborted = aborted or (value, writer)
            elif aborted and writer.committed:
                yield Anomaly(
                    "dirty-update", (aborted[1], writer),
                    f"{called(writer)} committed {shown(value)} to {shown(key)} on top of {shown(aborted[0])}, "
                    f"which {called(aborted[1])} appended before it aborted",
                )  # fmt: skip
                break


def _lost_updates(found: Dependencies) -> Iterator[Anomaly]:
    """Two committed transactions read one version of a key, and both write the key."""
    first: dict[tuple[Any, Any, int], Transaction] = {}
    for t in found.of.all:
        if t.outcome != "ok":
            continue
        writes = {key for f, key, _ in t.mops if f != "r"}
        if not writes:
            continue
        for key, value in external_reads(t):
            if key not in writes:
                continue
            version = (value[-1] if value else None, len(value)) if type(value) is list else (value, 0)
            other = first.setdefault((key, *version), t)
            if other is not t:
                yield Anomaly(
                    "lost-update", (other, t),
                    f"{called(other)} and {called(t)} both read {shown(value or None)} from {shown(key)} "
                    "and both wrote it: "
                    "one did not see the other's change",
                )  # fmt: skip
