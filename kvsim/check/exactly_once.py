"""Exactly once: no operation takes effect a second time, however often its client or a node sent it again.

A trace shows each effect: a request that changed one replica twice, with neither a restart nor another's snapshot
between, took effect twice. So do session tables that remember one request with two versions, where one order of all
changes was promised. A history shows no sending. It shows a second effect where no order explains a key's answers, but
an order does in which one of its writes happens twice: a value was replaced, and then was back. (A stale read can look
the same: the history suits designs that claim linearizable reads.) In a list, an element that stands twice is proof.
"""

from collections.abc import Mapping, Sequence

import msgspec

from kvsim.check.linearizable import by_key
from kvsim.check.search import Explained, Limits, Stuck, search
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.wording import at, deed, digits_for, shown, told
from kvsim.check.zones import judge_by_zones
from kvsim.core.history import NEVER, WRITES, History, Operation, operations

GIB = 1 << 30


class Applications:
    """Watches a trace, given as lines of trace.jsonl, for a request that takes effect twice at one node."""

    def __init__(self) -> None:
        self.witness: Witness | None = None
        self.seen = 0
        """How many effects the trace has shown."""
        self._applied: dict[str, dict[str, _Line]] = {}
        self._decode = msgspec.json.Decoder(_Line).decode

    def read(self, lines: bytes) -> None:
        """More of the trace: whole lines."""
        if self.witness is not None or not any(mark in lines for mark in _MARKS):
            return
        for text in lines.splitlines():
            if any(mark in text for mark in _MARKS):
                self._take(self._decode(text))

    def _take(self, line: "_Line") -> None:
        here = self._applied.setdefault(line.node, {})
        if line.event != "replica.applied":
            here.clear()  # what it does from now on builds on what a disk or another replica kept
            return
        self.seen += 1
        before = here.setdefault(line.request, line)
        if before is not line and self.witness is None:
            digits = digits_for([before.time_ns, line.time_ns])
            sentence = (
                f"{line.node} applied the request {line.request} to {shown(line.key)} at "
                f"{at(before.time_ns, digits)} as version {before.version}, and again at "
                f"{at(line.time_ns, digits)} as version {line.version}"
            )
            self.witness = Witness(line.key, (), sentence)


_MARKS = (b'"replica.applied"', b'"replica.replaced"', b'"world.crashed"', b'"world.restarted"')


class _Line(msgspec.Struct):
    node: str
    time_ns: int
    event: str
    request: str = ""
    key: str = ""
    version: str = ""


def remembered_twice(tables: Mapping[str, Mapping[str, str]]) -> Witness | None:
    """A request that two nodes remember with different versions, given by node what its session table holds."""
    first: dict[str, tuple[str, str]] = {}
    for node, table in tables.items():
        for request, version in table.items():
            other, known = first.setdefault(request, (node, version))
            if known != version:
                sentence = (
                    f"{other} remembers the request {request} as version {known}, and {node} as version {version}"
                )
                return Witness(None, (), f"{sentence}: it took two places in their order")
    return None


def exactly_once(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """Refuted by a write that must have happened twice."""
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    found = operations(history)
    if witness := _twice_in_a_list(found):
        return Refuted(witness)
    for of_key in by_key(found).values():
        verdict = judge_by_zones(of_key)
        if isinstance(verdict, NotRefuted):
            continue
        if verdict is None:
            result = search(of_key, limits)
            if isinstance(result, Explained):
                continue
            if not isinstance(result, Stuck):
                return Undecided(f"key {shown(of_key[0].key)}: {result.reason}")
        if witness := _explained_by_two(of_key, limits):
            return Refuted(witness)
    return NotRefuted()


def _twice_in_a_list(found: Sequence[Operation]) -> Witness | None:
    for o in found:
        if o.op != "txn" or o.outcome != "ok":
            continue
        for f, key, answer in o.answer or ():
            if f == "r" and type(answer) is list and len(set(answer)) < len(answer):
                twice = next(x for i, x in enumerate(answer) if x in answer[:i])
                appends = [w for w in found if w.op == "txn" and ["append", key, twice] in (w.value or [])]
                sentence = f"process {o.process} read {shown(answer)} from {shown(key)}, with {shown(twice)} twice"
                return Witness(None, (*appends, o), sentence) if len(appends) < 2 else None
    return None


def _explained_by_two(of_key: Sequence[Operation], limits: Limits) -> Witness | None:
    """A write that makes the key explicable if it may happen again."""
    spaced = [_spaced(o) for o in of_key]
    read = {o.answer for o in of_key if o.op == "read"}
    for i, write in enumerate(of_key):
        if write.op not in WRITES or write.value not in read or limits.over():
            continue
        w = spaced[i]
        again = msgspec.structs.replace(
            w, op="put", expected=None, process=-1, invoked=w.invoked + 1, completed=NEVER, outcome="info"
        )
        trial = sorted([*spaced, again], key=lambda o: o.invoked)
        if isinstance(search(trial, limits), Explained):
            return _witness(of_key, write)
    return None


def _spaced(o: Operation) -> Operation:
    """Room between events for one more."""
    completed = o.completed if o.completed == NEVER else 2 * o.completed
    return msgspec.structs.replace(o, invoked=2 * o.invoked, completed=completed)


def _witness(of_key: Sequence[Operation], write: Operation) -> Witness:
    """The write, what replaced it, and who then found it again."""
    finds = [o for o in of_key if o.op == "read" and o.answer == write.value]
    back = finds[-1]
    between = [o for o in of_key if o.op == "read" and o.answer != write.value and write.completed < o.invoked]
    between = [o for o in between if o.completed < back.invoked][-1:]
    middle = f"{told(between[0])} and then " if between else ""
    sentence = f"{middle}{told(back)}: no order explains that unless {deed(write)} happened twice"
    return Witness(write.key, tuple(sorted((write, *between, back), key=lambda o: o.invoked)), sentence)
