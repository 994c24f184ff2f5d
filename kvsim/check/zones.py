"""Linearizability of one key in O(n log n), if no value is written twice: the zones of Gibbons and Korach 1997.

A value with its write and its readers is a cluster. All of it stands together in every legal order, and a
compare-and-set joins the cluster that it expects with the one that it writes into a chain that stands together too.
So only chains need an order. Chain A must come before B if something in A ended before something in B began; all is
well if no two chains must each come before the other. With A's first end f(A) and last beginning s(A), the time from
f to s is A's zone, forward if f < s: two forward zones may not overlap, and a backward zone may not lie in a forward
one. A write of unknown outcome took place if its value was read; otherwise it may be left out.

Absence has no identity: where acknowledged deletes meet creates and absent reads, zones can refute but not clear a
key, and the answer is None: ask the search.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

from kvsim.check.verdict import NotRefuted, Refuted, Witness
from kvsim.check.wording import at, deed, shown, told
from kvsim.core.history import ERASURES, NEVER, Operation


class _Group:
    """Operations that stand together in any order: all that matters is who ended first and who began last."""

    __slots__ = ("first_end", "last_begin")

    def __init__(self, operation: Operation) -> None:
        self.first_end = operation
        self.last_begin = operation

    def add(self, operation: Operation) -> None:
        if operation.completed < self.first_end.completed:
            self.first_end = operation
        if operation.invoked > self.last_begin.invoked:
            self.last_begin = operation


class _Chain:
    """Clusters that stand together; `root` is the first write, or None for the absence that every key begins with."""

    __slots__ = ("begin", "end", "first_end", "last_begin", "root")

    def __init__(self, root: Operation | None, groups: Sequence[_Group]) -> None:
        self.root = root
        self.first_end: Operation | None = None
        self.last_begin: Operation | None = None
        self.end = NEVER if root else -1
        self.begin = -1
        for group in groups:
            if group.last_begin.invoked > self.begin:
                self.begin, self.last_begin = group.last_begin.invoked, group.last_begin
            if group.first_end.completed < self.end:
                self.end, self.first_end = group.first_end.completed, group.first_end


class _Conflict(Exception):
    """Leaves the judging of a key at the first contradiction."""

    def __init__(self, sentence: str, *operations: Operation | None, absence: bool = False) -> None:
        self.sentence = sentence
        self.operations = tuple(sorted({o.invoked: o for o in operations if o}.values(), key=lambda o: o.invoked))
        self.absence = absence
        """Whether an erasure of unknown outcome might resolve it."""


def judge_by_zones(operations: Sequence[Operation]) -> Refuted | NotRefuted | None:
    """Judge the operations of one key; None if zones cannot tell (values repeat, or absence is ambiguous).

    Failed operations and reads without an answer must have been left out.
    """
    if _clearly_kept(operations):
        return NotRefuted()
    key = _Key(operations)
    if key.repeats:
        return None
    try:
        return NotRefuted() if key.judge() else None
    except _Conflict as conflict:
        if conflict.absence and key.erasures:
            return None
        return Refuted(key.witness(conflict))


def _clearly_kept(operations: Sequence[Operation]) -> bool:
    """The same test for plain reads and writes alone, of which most histories are made; it says yes or nothing."""
    ends: dict[Hashable, int] = {}
    begins: dict[Hashable, int] = {}
    written: dict[Hashable, int] = {}
    absent = -1
    for o in operations:  # in the order of invocations, so that the last to be met began last
        if o.op == "read":
            value = o.answer
            if value is None:
                absent = o.invoked
                continue
        elif o.op == "put":
            value = o.value
            if value in written:
                return False
            written[value] = o.invoked
        else:
            return False
        begins[value] = o.invoked
        if o.completed < ends.get(value, NEVER):
            ends[value] = o.completed
    if ends and min(ends.values()) < absent:
        return False
    if any(end < written.get(value, NEVER) for value, end in ends.items()):
        return False  # read before it was written, or never written
    return _no_zones_clash([(end, begins[value]) for value, end in ends.items()])


def _no_zones_clash(zones: Sequence[tuple[int, int]]) -> bool:
    """Whether no two forward zones overlap, and no backward zone lies in a forward one."""
    forward = sorted(zone for zone in zones if zone[0] < zone[1])
    if any(b[0] < a[1] for a, b in pairwise(forward)):
        return False
    starts = [end for end, _ in forward]
    for end, begin in zones:
        if end > begin and (i := bisect_left(starts, begin)) and end < forward[i - 1][1]:
            return False
    return True


class _Key:
    """The operations of one key, sorted by what they have to do with which value."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.writes: dict[Hashable, Operation] = {}
        self.readers: dict[Hashable, _Group] = {}
        self.absent: list[Operation] = []
        self.erasures: list[Operation] = []
        self.repeats = False
        for o in operations:
            if o.op == "read":
                if o.answer is None:
                    self.absent.append(o)
                elif (group := self.readers.get(o.answer)) is None:
                    self.readers[o.answer] = _Group(o)
                else:
                    group.add(o)
            elif o.op in ERASURES:
                self.erasures.append(o)
            elif o.op == "append":
                self.repeats = True  # what it leaves is not what it writes
            elif self.writes.setdefault(o.value, o) is not o:
                self.repeats = True
        self.erased = any(o.completed != NEVER for o in self.erasures)
        self.happened: dict[Hashable, Operation] = {}
        """The writes that took place for certain, as far as they have been followed."""

    def judge(self) -> bool:
        """Whether the key is cleared (else: cannot tell). Raises _Conflict where it is refuted."""
        happened = self._happened()
        successors = self._successors(happened)
        roots = [w for w in happened.values() if not _expects_value(w)]
        chains = [self._chain(root, successors) for root in roots]
        if successors:
            reached = set(self._walk(roots, successors))
            if len(reached) < len(happened):
                raise _circle(happened, reached)
        if self.erased:
            singles = [_Chain(o, [_Group(o)]) for o in self.erasures + self.absent if o.completed != NEVER]
            _check_zones(chains + singles)
            return False
        _check_zones(chains)
        self._check_absence(chains, successors)
        if not any(c.root and _wants_absence(c.root) for c in chains):
            self._check_updates(chains, happened)
        return True

    def _happened(self) -> dict[Hashable, Operation]:
        """The writes that took place for certain: acknowledged, read, or expected by one that took place."""
        self.happened = happened = {v: w for v, w in self.writes.items() if w.completed != NEVER}
        asked: list[tuple[Hashable, Operation]] = [(v, group.first_end) for v, group in self.readers.items()]
        asked += [(w.expected, w) for w in happened.values() if _expects_value(w)]
        while asked:
            value, by = asked.pop()
            write = self.writes.get(value)
            if write is None:
                raise _Conflict(nobody_wrote(by, value), by)
            if value not in happened:
                happened[value] = write
                if _expects_value(write):
                    asked.append((write.expected, write))
        return happened

    def _successors(self, happened: dict[Hashable, Operation]) -> dict[Hashable, Operation]:
        """By value, the compare-and-set that replaced it: one at most."""
        successors: dict[Hashable, Operation] = {}
        for write in happened.values():
            if _expects_value(write):
                other = successors.setdefault(write.expected, write)
                if other is not write:
                    raise _two_winners(other, write, self.writes[write.expected])
        return successors

    def _walk(self, roots: list[Operation], successors: dict[Hashable, Operation]) -> Iterator[Hashable]:
        for root in roots:
            write: Operation | None = root
            while write is not None:
                yield write.value
                write = successors.get(write.value)

    def _groups(self, root: Operation, successors: dict[Hashable, Operation]) -> list[_Group]:
        groups = []
        write: Operation | None = root
        while write is not None:
            groups.append(_Group(write))
            readers = self.readers.get(write.value)
            if readers is not None:
                groups.append(readers)
            write = successors.get(write.value)
        return groups

    def _chain(self, root: Operation, successors: dict[Hashable, Operation]) -> _Chain:
        groups = self._groups(root, successors)
        self._check_inside(groups)
        return _Chain(root, groups)

    def _check_inside(self, groups: list[_Group]) -> None:
        """What stands later in a chain may not have ended before what stands earlier began."""
        latest = groups[0].last_begin
        for group in groups[1:]:
            if group.first_end.completed < latest.invoked:
                raise self._disorder(latest, group.first_end)
            if group.last_begin.invoked > latest.invoked:
                latest = group.last_begin

    def _check_absence(self, chains: list[_Chain], successors: dict[Hashable, Operation]) -> None:
        """Without erasures the key is absent once, at the beginning, and at most one create ends that."""
        creates = [c for c in chains if c.root and _wants_absence(c.root)]
        if len(creates) > 1:
            raise _two_creates(creates[0], creates[1])
        groups: list[_Group] = []
        for o in self.absent:
            groups[0].add(o) if groups else groups.append(_Group(o))
        for create in creates:
            assert create.root is not None
            groups += self._groups(create.root, successors)
        if groups:
            self._check_inside(groups)
        others = [c for c in chains if c not in creates]
        first = min(others, key=lambda c: c.end, default=None)
        beginning = _Chain(None, groups)
        if first is not None and first.end < beginning.begin:
            raise self._not_first(beginning, first, creates)

    def _check_updates(self, chains: list[_Chain], happened: dict[Hashable, Operation]) -> None:
        """An update finds the key present, so some chain that begins otherwise can come first."""
        updates = [c for c in chains if c.root and c.root.op == "update"]
        if not updates:
            return
        by_end = sorted(chains, key=lambda c: c.end)[:2]
        for chain in chains:
            others = [c for c in by_end if c is not chain]
            if chain not in updates and (not others or others[0].end > chain.begin):
                return
        for value, w in self.writes.items():  # or one of unknown outcome whose value nobody read
            begins = w.op != "update" and not _expects_value(w)
            if begins and value not in happened and by_end[0].end > w.invoked:
                return
        update = min(updates, key=lambda c: c.end)
        assert update.root is not None
        raise _Conflict(f"{told(update.root)}, although nothing had been written that it could update", update.root)

    def witness(self, conflict: _Conflict) -> Witness:
        """The conflict, and by whom it is known that its writes of unknown outcome took place."""
        known, proofs = list(conflict.operations), []
        for write in known:  # grows: who expected the value may be of unknown outcome too
            if write.completed == NEVER and not any(o.op == "read" and o.answer == write.value for o in known):
                by = self._seen_by(write)
                proofs.append(f"; {deed(write)} took place, since {told(by)}")
                if by not in known:
                    known.append(by)
        ordered = tuple(sorted(known, key=lambda o: o.invoked))
        return Witness(ordered[0].key, ordered, conflict.sentence + "".join(proofs))

    def _seen_by(self, write: Operation) -> Operation:
        """Who first read the value of a write of unknown outcome that took place, or else replaced it."""
        readers = self.readers.get(write.value)
        if readers is not None:
            return readers.first_end
        return next(w for w in self.happened.values() if _expects_value(w) and w.expected == write.value)

    def _disorder(self, earlier: Operation, later: Operation) -> _Conflict:
        """`earlier` stands before `later` in one chain, but began after its end."""
        if earlier.op != "read":
            if later.op == "read" and later.answer == earlier.value:
                sentence = f"{told(later)}, although {deed(earlier)} began only at {at(earlier.invoked_ns)}"
                return _Conflict(sentence, later, earlier)
            sentence = f"{told(later)}, although {deed(earlier)}, which must come first, began only at"
            return _Conflict(f"{sentence} {at(earlier.invoked_ns)}", later, earlier)
        again = "nothing deleted it" if earlier.answer is None else f"nothing wrote {shown(earlier.answer)} again"
        write = self.writes.get(later.answer) if later.op == "read" else None
        return _Conflict(
            f"{told(earlier)}, although {told(later)} and {again}",
            earlier,
            later,
            write,
            self.writes.get(earlier.answer),
            absence=earlier.answer is None,
        )

    def _not_first(self, beginning: _Chain, other: _Chain, creates: list[_Chain]) -> _Conflict:
        late, early = beginning.last_begin, other.first_end
        assert late is not None and early is not None
        create = creates[0].root if creates else None
        if (late.op == "read" and late.answer is None) or late is create:
            sentence = f"{told(late)}, although {told(early)} and nothing deleted it"
        else:
            assert create is not None
            sentence = (
                f"{told(late)}, although {told(early)}; {deed(create)} needs the key absent, so it came before all "
                f"other writes, and nothing wrote {shown(create.value)} again"
            )
        return _Conflict(sentence, late, early, other.root, create, absence=True)


def _expects_value(write: Operation) -> bool:
    return write.op == "cas" and write.expected is not None


def _wants_absence(write: Operation) -> bool:
    return write.op == "create" or (write.op == "cas" and write.expected is None)


def _check_zones(chains: list[_Chain]) -> None:
    forward = sorted((c for c in chains if c.end < c.begin), key=lambda c: c.end)
    for a, b in pairwise(forward):
        if b.end < a.begin:
            raise _crossing(a, b)
    if not forward:
        return
    ends = [c.end for c in forward]
    for chain in chains:
        if chain.end < chain.begin:
            continue
        i = bisect_left(ends, chain.begin) - 1
        if i >= 0 and chain.end < forward[i].begin:
            raise _crossing(forward[i], chain)


def _crossing(a: _Chain, b: _Chain) -> _Conflict:
    """Each of two chains must come before the other."""
    old, new = (a, b) if a.begin > b.begin else (b, a)
    late, early, proof, before = old.last_begin, new.first_end, new.last_begin, old.first_end
    assert late and early and proof and before and old.root
    operations = (late, early, proof, before, old.root, new.root)
    if early.op == "read" and early.answer is None:
        return _Conflict(f"{told(early)}, although {told(before)}, {told(late)} and nothing came between", *operations)
    old_value = shown(late.answer if late.op == "read" else late.expected)  # a chain with a forward zone ends so
    if new.root and new.root.invoked > before.completed and new.root.completed < late.invoked:
        early = proof = new.root
    if proof is early:
        return _Conflict(
            f"{told(late)}, although {told(early)}, begun after {told(before)}, and nothing wrote {old_value} again",
            *(late, early, before, old.root),
        )
    new_value = shown(proof.answer if proof.op == "read" else proof.value)
    return _Conflict(
        f"{told(late)}, begun after {told(early)}, although {told(proof)}, begun after {told(before)}: "
        f"so {new_value} replaced {old_value}, and nothing wrote {old_value} again",
        *operations,
    )


def nobody_wrote(by: Operation, value: object) -> str:
    """The sentence on a value that came from nowhere."""
    return f"{told(by)}, although nobody wrote {shown(value)}"


def _two_winners(a: Operation, b: Operation, source: Operation) -> _Conflict:
    first, second = sorted((a, b), key=lambda o: o.completed)
    found = shown(first.expected)
    return _Conflict(f"{told(second)}, although {told(first)} and nothing wrote {found} again", first, second, source)


def _two_creates(a: _Chain, b: _Chain) -> _Conflict:
    assert a.root and b.root
    first, second = sorted((a.root, b.root), key=lambda o: o.completed)
    return _Conflict(f"{told(second)}, although {told(first)} and nothing deleted it", first, second, absence=True)


def _circle(happened: dict[Hashable, Operation], reached: set[Hashable]) -> _Conflict:
    ring = [w for v, w in happened.items() if v not in reached]
    last = max(ring, key=lambda o: o.completed)
    return _Conflict(f"{told(last)}, but every value that leads to it was itself made from it", *ring)
