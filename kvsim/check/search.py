"""Linearizability of one key by search: Wing and Gong 1993, with Lowe's memo and just-in-time steps (2017).

An operation takes its place in the order only when its completion, the event at hand, demands it. Four rules keep the
search small, and none loses an order: a read takes its place as soon as its answer is the state; of operations with one
and the same effect, the one that must complete first goes first; a value that must still be read, and that nobody can
write again, is not left; and what leads nowhere leads nowhere with more operations of unknown outcome used up. Values
that nobody reads are all alike, so most operations of unknown outcome cost next to nothing.
"""

import time
from bisect import insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from kvsim.core.history import NEVER, Operation

ABSENT = 0
_UNREAD = 1
"""The state after a write whose value nobody asks for."""
_ANY = -1
_PRESENT = -2
_BYTES_PER_CONFIGURATION = 256
"""A remembered configuration: a tuple, its integers, its place in the table (measured, rounded up)."""
_CLOCK_EVERY = 1024


class Limits(NamedTuple):
    """When a search gives up: at a time of `time.monotonic()`, or at a number of remembered configurations."""

    deadline_s: float
    configurations: int

    @classmethod
    def of(cls, time_limit_s: float, memory_limit_bytes: int) -> "Limits":
        """Limits that begin to count now."""
        return cls(time.monotonic() + time_limit_s, memory_limit_bytes // _BYTES_PER_CONFIGURATION)

    @property
    def memory_bytes(self) -> int:
        """What the remembered configurations may take."""
        return self.configurations * _BYTES_PER_CONFIGURATION

    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline_s


class Explained(msgspec.Struct, frozen=True):
    """Some order explains every operation."""

    configurations: int


class Stuck(msgspec.Struct, frozen=True):
    """No order explains the operations; `farthest` is the one whose completion no order reached."""

    farthest: Operation
    configurations: int


class GaveUp(msgspec.Struct, frozen=True):
    """A limit came first."""

    reason: str
    configurations: int


class _Step(msgspec.Struct, gc=False, eq=False):
    """An operation as the search sees it: from a state that it needs to a state that it leaves."""

    needs: int
    leaves: int
    is_read: bool
    completed: int
    invoked: int
    operation: Operation
    appends: "_Appends | None" = None
    """Of an append, how to find what it leaves from what it finds."""
    bit: int = 0

    def leaves_from(self, state: int) -> int:
        """The state that the operation leaves."""
        return self.leaves if self.appends is None else self.appends.after(state, self.operation.value)

    @property
    def effect(self) -> object:
        """Operations with equal effects may stand for each other."""
        return (self.needs, self.leaves) if self.appends is None else self.operation.value

    def __lt__(self, other: "_Step") -> bool:
        return (self.completed, self.invoked) < (other.completed, other.invoked)


_Node = tuple[int, int, int, int]
"""Event at hand, state, and (as bits) which open operations and which of unknown outcome have their place."""


class _Appends:
    """Texts that grow. A text that begins no answer is like any other such: nobody will read it or what follows it."""

    def __init__(self, numbers: dict[object, int], written: Iterable[object]) -> None:
        self.numbers = numbers
        answers = [answer for answer in numbers if isinstance(answer, str)]
        self.beginnings = {answer[:end] for answer in answers for end in range(1, len(answer))}.union(answers)
        for text in written:
            if text in self.beginnings:
                numbers.setdefault(text, len(numbers) + 1)
        self.text = {number: answer for answer, number in numbers.items()}
        self.known: dict[tuple[int, str], int] = {}

    def after(self, state: int, piece: str) -> int:
        """The state after a piece is appended."""
        if state == _UNREAD:
            return _UNREAD
        found = self.known.get((state, piece))
        if found is None:
            text = f"{self.text[state] or ''}{piece}"
            found = self.numbers.setdefault(text, len(self.numbers) + 1) if text in self.beginnings else _UNREAD
            self.text[found] = text
            self.known[state, piece] = found
        return found


class _Memo:
    """The configurations met, without those that used up more operations of unknown outcome than another needed."""

    def __init__(self) -> None:
        self.size = 0
        self._used: dict[tuple[int, int, int], list[int]] = {}

    def add(self, node: _Node) -> bool:
        """Whether the configuration leads to anything that those met before do not."""
        position, state, placed, used = node
        met = self._used.setdefault((position, state, placed), [])
        if any(less & used == less for less in met):
            return False
        met.append(used)
        self.size += 1
        return True


def search(
    operations: Sequence[Operation], limits: Limits, before: Sequence[object] = (None,)
) -> Explained | Stuck | GaveUp:
    """Decide whether one order of the operations of one key keeps real time and is legal.

    Failed operations and reads without an answer must have been left out. `before` are the values, one of which the key
    held before (None: absent).
    """
    return _Search(operations, before).run(limits)


class _Search:
    def __init__(self, operations: Sequence[Operation], before: Sequence[object]) -> None:
        numbers = _numbers(operations)
        self.before = sorted({numbers.get(value, _UNREAD) for value in before}, reverse=True)
        steps = _steps(operations, numbers)
        self.grows, self.last_put = False, -1
        self.last_asked: dict[int, int] = {}
        self.last_written: dict[int, int] = {}
        for step in steps:
            self.grows |= step.appends is not None
            if not step.is_read and step.appends is None:
                self.last_put = max(self.last_put, step.invoked)
            if step.needs > _UNREAD and step.completed != NEVER:
                self.last_asked[step.needs] = step.invoked
            if not step.is_read:
                self.last_written[step.leaves] = step.invoked
        self._lay_out(steps)

    def _lay_out(self, steps: list[_Step]) -> None:
        """Put events in order, and note for each completion what is open, soonest completion first.

        What never completes stays open for good: it is kept once, by its effect, in the order of invocations.
        """
        moments = [(step.invoked, step) for step in steps]
        moments += [(step.completed, step) for step in steps if step.completed != NEVER]
        moments.sort(key=lambda moment: moment[0])
        self.events = moments
        self.open_at: list[tuple[_Step, ...]] = []
        open_: list[_Step] = []
        free: list[int] = []
        bits = unknowns = 0
        unknown: dict[object, list[_Step]] = {}
        for index, step in moments:
            if index == step.invoked:
                if step.completed == NEVER:
                    step.bit = 1 << unknowns
                    unknowns += 1
                    unknown.setdefault(step.effect, []).append(step)
                else:
                    step.bit = free.pop() if free else 1 << bits
                    bits += step.bit >> bits  # one more when the bit is new
                    insort(open_, step)
                self.open_at.append(())
            else:
                self.open_at.append(tuple(open_))
                open_.remove(step)
                free.append(step.bit)
        self.unknown = list(unknown.values())
        self.bytes_each = _BYTES_PER_CONFIGURATION + (bits + unknowns) // 8

    def run(self, limits: Limits) -> Explained | Stuck | GaveUp:
        """Depth first, each configuration once."""
        end = len(self.events)
        seen = _Memo()
        waiting = [self._advance(0, state, 0, 0) for state in self.before]
        farthest = 0
        most = limits.configurations * _BYTES_PER_CONFIGURATION // self.bytes_each
        while waiting:
            node = waiting.pop()
            if node[0] == end:
                return Explained(seen.size)
            if not seen.add(node):
                continue
            farthest = max(farthest, node[0])
            if seen.size % _CLOCK_EVERY == 0 and time.monotonic() > limits.deadline_s:
                return GaveUp(f"time limit, at event {farthest:,} of {end:,}", seen.size)
            if seen.size + len(waiting) > most:
                return GaveUp(f"memory limit, at event {farthest:,} of {end:,}", seen.size)
            waiting.extend(self._successors(node))
        return Stuck(self.events[farthest][1].operation, seen.size)

    def _advance(self, position: int, state: int, placed: int, used: int) -> _Node:
        """Go on to the next completion that an operation without a place blocks."""
        events = self.events
        for i in range(position, len(events)):
            index, step = events[i]
            if index == step.invoked:
                if step.is_read and step.needs == state:
                    placed |= step.bit
            elif placed & step.bit:
                placed ^= step.bit
            else:
                return i, state, placed, used
        return len(events), state, 0, 0

    def _successors(self, node: _Node) -> list[_Node]:
        """All ways to give one more operation its place; the most promising last."""
        position, state, placed, used = node
        due = self.events[position][1]
        open_ = self._open(position, placed, used)
        asked, rewritable = self._tied(position, state, open_)
        found: list[_Node] = []
        promising: list[_Node] = []
        tried: set[object] = set()
        for step in open_:
            needs, leaves = step.needs, step.leaves_from(state)
            if step.is_read or not (needs in (state, _ANY) or (needs == _PRESENT and state != ABSENT)):
                continue
            if step.effect in tried:
                continue  # the same effect as one that must complete sooner
            tried.add(step.effect)
            if leaves != state and not rewritable:
                here = needs == state and step.completed != NEVER
                if asked > here:
                    continue  # who still asks for this value would never see it
            after, after_used = (placed | step.bit, used) if step.completed != NEVER else (placed, used | step.bit)
            for other in open_:
                if other.is_read and other.needs == leaves:
                    after |= other.bit
            if after & due.bit:
                (promising if step is due else found).append(self._advance(position, leaves, after, after_used))
            else:
                (promising if leaves == due.needs else found).append((position, leaves, after, after_used))
        found.reverse()
        promising.reverse()
        return found + promising

    def _open(self, position: int, placed: int, used: int) -> list[_Step]:
        """What may take its place now; of operations of unknown outcome with the same effect, the first."""
        open_ = [step for step in self.open_at[position] if not placed & step.bit]
        now = self.events[position][0]
        for alike in self.unknown:
            for step in alike:
                if step.invoked > now:
                    break
                if not used & step.bit:
                    open_.append(step)
                    break
        return open_

    def _tied(self, position: int, state: int, open_: list[_Step]) -> tuple[int, bool]:
        """How many acknowledged operations still ask for this state, and whether somebody can write it again."""
        if state <= _UNREAD:
            return 0, True
        now = self.events[position][0]
        asked = sum(1 for step in open_ if step.needs == state and step.completed != NEVER)
        asked += self.last_asked.get(state, -1) > now
        if self.grows:  # what has grown comes back only after something is put
            return asked, self.last_put > now or any(not s.is_read and s.appends is None for s in open_)
        rewritable = self.last_written.get(state, -1) > now or any(s.leaves == state and not s.is_read for s in open_)
        return asked, rewritable


def _numbers(operations: Sequence[Operation]) -> dict[object, int]:
    """A number for absence and for every value that somebody asks for."""
    numbers: dict[object, int] = {None: ABSENT}
    for o in operations:
        asked = o.answer if o.op == "read" else o.expected if o.op == "cas" else None
        if asked is not None:
            numbers.setdefault(asked, len(numbers) + 1)
    return numbers


def _steps(operations: Sequence[Operation], numbers: dict[object, int]) -> list[_Step]:
    """The operations as steps, without those of unknown outcome that cannot help any order."""
    asks_presence = any(o.op in ("update", "delete") for o in operations)
    asks_absence = any(
        (o.op == "read" and o.answer is None) or o.op == "create" or (o.op == "cas" and o.expected is None)
        for o in operations
    )
    puts = [o.value for o in operations if o.op not in ("read", "append")]
    appends = _Appends(numbers, puts) if any(o.op == "append" for o in operations) else None
    steps = []
    for o in operations:
        if o.op == "append":
            steps.append(_Step(_ANY, _UNREAD, False, o.completed, o.invoked, o, appends))
            continue
        needs, leaves = _effect(o, numbers)
        if o.completed == NEVER:
            if leaves == _UNREAD:
                # Only presence can come of it: put acts as create does, and from presence it is in vain.
                if needs == _PRESENT or needs > ABSENT or not asks_presence:
                    continue
                needs = ABSENT
            elif leaves == ABSENT:
                if not asks_absence:
                    continue
                needs = _PRESENT
        steps.append(_Step(needs, leaves, o.op == "read", o.completed, o.invoked, o))
    return steps


def _effect(o: Operation, numbers: dict[object, int]) -> tuple[int, int]:
    if o.op == "read":
        return numbers[o.answer], numbers[o.answer]
    if o.op == "delete":
        return _PRESENT, ABSENT
    if o.op == "remove":
        return _ANY, ABSENT
    leaves = numbers.get(o.value, _UNREAD)
    if o.op == "put":
        return _ANY, leaves
    if o.op == "update":
        return _PRESENT, leaves
    if o.op == "create":
        return ABSENT, leaves
    return numbers[o.expected], leaves
