"""Which write did each read return? Judges of weak consistency follow values, not time, and begin here.

Every operation becomes acts: one read or write of one key, at a place in its session (a process is a session). Where no
value is written twice and absence can only be the beginning, each read has one source; else every choice is tried.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kvsim.check.search import Limits
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.wording import at, deed, shown, told
from kvsim.core.history import ERASURES, WRITES, History, Key, Operation, operations

_CHOICES_AT_MOST = 2_000


class Act:
    """One read or write of one key. A scan or a read-only transaction is several reads that share an operation."""

    __slots__ = ("is_write", "key", "number", "operation", "place", "session", "source", "value")

    def __init__(self, operation: Operation, key: Any, value: Any, is_write: bool) -> None:
        self.operation, self.key, self.value, self.is_write = operation, key, value, is_write
        self.number = self.place = self.session = -1
        self.source: Act | None = None
        """Of a read: the write that it returned; None for the absence that every key begins with."""


class Sessions:
    """All acts, numbered in the order in which their operations began, and by session in the order of the session."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self.acts = list(acts)
        numbers: dict[int, int] = {}
        self.sessions: list[list[Act]] = []
        for number, act in enumerate(self.acts):
            session = numbers.setdefault(act.operation.process, len(numbers))
            if session == len(self.sessions):
                self.sessions.append([])
            act.number, act.session, act.place = number, session, len(self.sessions[session])
            self.sessions[session].append(act)


Judge = Callable[[Sessions], Verdict]


class _OutOfThinAir(Exception):
    """A read of what nobody wrote."""

    def __init__(self, read: Act) -> None:
        self.read = read


class _NotReadsAndWrites(Exception):
    """An operation that is not made of reads and writes of values."""


def judge_readings(history: History, limits: Limits, judge: Judge) -> Verdict:
    """Judge the history under each way to say what its reads returned: not refuted if one is not."""
    try:
        readings = _Readings(history)
    except _OutOfThinAir as found:
        return Refuted(_thin_air(history, found.read))
    except _NotReadsAndWrites as reason:
        return Undecided(str(reason))
    first: Refuted | None = None
    unknown: Undecided | None = None
    for number, sessions in enumerate(readings.all()):
        if number == _CHOICES_AT_MOST or (first and limits.over()):
            which = f"{len(readings.open)} reads could each have returned more than one write or delete"
            return Undecided(f"{which}; the first {number:,} choices are refuted")
        verdict = judge(sessions)
        if isinstance(verdict, NotRefuted):
            return verdict
        if isinstance(verdict, Undecided):
            unknown = unknown or verdict
        else:
            first = first or verdict
    if unknown is not None:
        return unknown
    assert first is not None, "there is always one choice"
    return first


class _Readings:
    """The acts of a history, and for each read the writes that it may have returned."""

    def __init__(self, history: History) -> None:
        self.acts = list(_acts(operations(history)))
        writers: dict[tuple[Any, Any], list[Act]] = {}
        for act in self.acts:
            if act.is_write:
                writers.setdefault((act.key, act.value), []).append(act)
        self.open: list[tuple[Act, list[Act | None]]] = []
        for act in self.acts:
            if not act.is_write:
                self._find(act, writers.get((act.key, act.value), []))

    def _find(self, read: Act, writers: Sequence[Act]) -> None:
        candidates: list[Act | None] = [*sorted(writers, key=lambda w: _preference(w, read))]
        if read.value is None:
            candidates.append(None)
        if not candidates:
            raise _OutOfThinAir(read)
        if len(candidates) == 1:
            read.source = candidates[0]
        else:
            self.open.append((read, candidates))

    def all(self) -> Iterator[Sessions]:
        """Every choice, the one that real time suggests first."""
        chosen = [0] * len(self.open)
        while True:
            for (read, candidates), i in zip(self.open, chosen, strict=True):
                read.source = candidates[i]
            # A write of unknown outcome that nobody read may be left out, and that is always as good.
            seen = {id(a.source) for a in self.acts if a.source is not None}
            yield Sessions([a for a in self.acts if a.operation.outcome == "ok" or id(a) in seen])
            at = len(chosen) - 1
            while at >= 0 and chosen[at] + 1 == len(self.open[at][1]):
                chosen[at] = 0
                at -= 1
            if at < 0:
                return
            chosen[at] += 1


def _preference(write: Act, read: Act) -> tuple[bool, int]:
    """The latest write that began before the read ended; those that began later come last."""
    begun = write.operation.invoked
    future = begun > read.operation.completed
    return future, begun if future else -begun


def _acts(found: Sequence[Operation]) -> Iterator[Act]:
    keys: list[Any] = sorted({o.key for o in found if o.op in WRITES and isinstance(o.key, str)})
    for o in found:
        if o.outcome == "fail":
            continue
        if o.op in WRITES:
            yield Act(o, o.key, o.value, True)
        elif o.op in ERASURES:
            yield Act(o, o.key, None, True)
        elif o.outcome == "ok":
            if o.op == "read":
                yield Act(o, o.key, o.answer, False)
            else:
                yield from _many(o, keys)


def _many(o: Operation, keys: Sequence[Any]) -> Iterator[Act]:
    """The reads of a scan or of a transaction."""
    if o.op == "scan":
        found = dict(o.answer or [])
        end, limit = o.value["end"], o.value["limit"]
        last = max(found, default=None) if len(found) >= limit else None
        asked = [k for k in keys if k >= o.key and (end is None or k < end) and (last is None or k <= last)]
        for key in sorted({*asked, *found}):
            yield Act(o, key, found.get(key), False)
        return
    for f, key, value in o.answer or []:
        if f != "r" or isinstance(value, list):
            raise _NotReadsAndWrites("transactions that write, or read lists, are for the judge `transactions`")
        yield Act(o, key, value, False)


def _thin_air(history: History, read: Act) -> Witness:
    about, key = read.operation, read.key
    where = "" if about.op == "read" else f" in {shown(key)}"
    value = shown(read.value)
    for o in operations(history):
        if o.outcome == "fail" and o.key == key and o.value == read.value and o.op in WRITES:
            sentence = f"{say(read)}, although {deed(o)} failed and nobody else wrote {value}{where}"
            return Witness(key, tuple(sorted((o, about), key=lambda x: x.invoked)), sentence)
    return Witness(key, (about,), f"{say(read)}, although nobody wrote {value}{where}")


def say(act: Act, with_key: bool = False) -> str:
    """What an act was, as a witness tells it: `process 3 read 0 from "x" at 1.204 s`, the key on demand."""
    o = act.operation
    where = f" from {shown(act.key)}" if with_key else ""
    if o.op in ("scan", "txn"):
        found = "found no" if act.value is None else f"read {shown(act.value)} from"
        return f"process {o.process}'s {'scan' if o.op == 'scan' else 'transaction'} {found} {shown(act.key)}"
    if o.op != "read" or not with_key:
        return told(o)
    found = f"found {shown(act.key)} absent" if act.value is None else f"read {shown(act.value)}{where}"
    return f"process {o.process} {found} at {at(o.completed_ns)}"


def name(act: Act, several_keys: bool) -> str:
    """A write, named: `process 1's write of 2 to "x"`."""
    return deed(act.operation) + (f" to {shown(act.key)}" if several_keys else "")


def witness_of(acts: Sequence[Act], sentence: str) -> Witness:
    """A witness from acts; its key is theirs if they share one."""
    chosen = {act.operation.invoked: act.operation for act in acts}
    keys: list[Key] = list(dict.fromkeys(act.key for act in acts))
    return Witness(keys[0] if len(keys) == 1 else None, tuple(chosen[i] for i in sorted(chosen)), sentence)
