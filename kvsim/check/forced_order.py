"""What must come before what in every order that explains all answers, drawn out in bulk until nothing new follows.

Two rules, for keys whose values are unique: a write that comes before a read of another write's value comes before that
write too; and a write that comes after another one comes after all who read that. Each pass applies them to all acts
that learned something in the last one, in arrays, so that tens of thousands of operations take a second.
"""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from kvsim.check.order import Edges, Impossible
from kvsim.check.reads_from import Act
from kvsim.check.search import Limits

_Numbers = npt.NDArray[np.int64]
_ENTRIES_AT_ONCE = 1 << 20
_Because = tuple[int, int, int]
"""An act, one that must come after it, and the read that is the reason."""
Mark = tuple[int, list[list[int]], list[int]]


class ForcedOrder:
    """Acts and what is known of their order: edges, and how many acts of each session come before an act, or are it.

    Rules apply to `clear` acts alone: those on keys with unique values that took place for certain.
    """

    def __init__(self, acts: Sequence[Act], sessions: int, clear: Sequence[Act]) -> None:
        self.acts = acts
        self.count = len(acts)
        self.session = [act.session for act in acts]
        self.place = [act.place for act in acts]
        self.before: list[list[int]] = [[] for _ in acts]
        self.after: list[list[int]] = [[] for _ in acts]
        self.reasons: dict[tuple[int, int], int] = {}
        self._added: list[tuple[int, int]] = []
        self.pasts: list[list[int]] = [[0] * sessions for _ in acts]
        self.sequence = list(range(self.count))
        """The acts in an order that keeps all edges."""
        self.rank = list(range(self.count))
        """Where in the sequence each act stands."""
        self._rules = _Rules(acts, sessions, clear)
        last: dict[int, int] = {}
        for act in acts:
            if act.session in last:
                self._edge(last[act.session], act.number)
            last[act.session] = act.number
            if act.source is not None:
                self._edge(act.source.number, act.number)

    def draw(self, absent: Iterable[Act], clear: Iterable[Act], limits: Limits) -> None:
        """Draw out all that follows. Who found a key absent comes before all its writes.

        Raises Impossible and TimeoutError.
        """
        finders: dict[object, dict[int, Act]] = {}
        for act in absent:
            finders.setdefault(act.key, {})[act.session] = act
        puts = [
            (finder.number, act.number, finder.number)
            for act in clear
            if act.is_write
            for finder in finders.get(act.key, {}).values()
            if finder is not act
        ]
        self._sort(0, self.count - 1)
        self._close(puts, range(self.count), limits)

    def put(self, pairs: Sequence[tuple[int, int]], limits: Limits) -> None:
        """Put the first of each pair before the second, and draw out what follows.

        Raises TimeoutError; and Impossible, with all as it was before.
        """
        mark = self.mark()
        try:
            self._close([(a, b, a) for a, b in pairs], (), limits)
        except Impossible:
            self.back_to(mark)
            raise

    def mark(self) -> Mark:
        """A state to come back to."""
        return len(self._added), list(self.pasts), list(self.sequence)

    def back_to(self, mark: Mark) -> None:
        """Take back all that was put since."""
        added, pasts, sequence = mark
        for a, b in reversed(self._added[added:]):
            self.after[a].pop()
            self.before[b].pop()
            self.reasons.pop((a, b), None)
        del self._added[added:]
        changed = [a for a, (old, new) in enumerate(zip(pasts, self.pasts, strict=True)) if old is not new]
        self.pasts, self.sequence = list(pasts), list(sequence)
        for rank, a in enumerate(sequence):
            self.rank[a] = rank
        self._rules.learn(changed, pasts)

    def has(self, first: int, second: int) -> bool:
        """Whether one act comes before another, or is it."""
        return self.pasts[second][self.session[first]] > self.place[first]

    def all_edges(self) -> Edges:
        """What must come before what, with the reads that are the reasons."""
        edges: Edges = {}
        for a, targets in enumerate(self.after):
            for b in targets:
                why = self.reasons.get((a, b))
                edges.setdefault(a, []).append((b, None if why is None else self.acts[why]))
        return edges

    def positions(self) -> list[int]:
        """A guess at where each act stands: between what must come before it and what must come after."""
        sizes = [0] * len(self.pasts[0]) if self.pasts else []
        for session, place in zip(self.session, self.place, strict=True):
            sizes[session] = max(sizes[session], place + 1)
        futures: list[list[int]] = [sizes] * self.count
        for a in reversed(self.sequence):
            later = self.after[a]
            future = sizes if not later else futures[later[0]]
            if len(later) > 1:
                future = list(map(min, *[futures[b] for b in later]))
            if future[self.session[a]] > self.place[a]:
                future = list(future)
                future[self.session[a]] = self.place[a]
            futures[a] = future
        return [sum(past) + sum(future) for past, future in zip(self.pasts, futures, strict=True)]

    def _edge(self, a: int, b: int) -> None:
        self.after[a].append(b)
        self.before[b].append(a)

    def _close(self, puts: Sequence[_Because], dirty: Iterable[int], limits: Limits) -> None:
        while True:
            if limits.over():
                raise TimeoutError
            for a, b, why in puts:
                self._edge(a, b)
                self._added.append((a, b))
                self.reasons[a, b] = why
            self._sort_again(puts)
            changed = self._spread({*dirty, *(b for _, b, _ in puts)})
            self._rules.learn(changed, self.pasts)
            puts, dirty = self._rules.apply(changed), ()
            if not puts:
                return

    def _sort_again(self, puts: Sequence[_Because]) -> None:
        """Put the sequence right where a new edge leads backwards in it."""
        rank = self.rank
        backwards = sorted((rank[b], rank[a]) for a, b, _ in puts if rank[a] > rank[b])
        low, high = -1, -1
        for begin, end in [*backwards, (self.count, self.count)]:
            if begin > high:
                if low >= 0:
                    self._sort(low, high)
                low, high = begin, end
            high = max(high, end)

    def _sort(self, low: int, high: int) -> None:
        """Sort a stretch of the sequence. Raises Impossible."""
        rank = self.rank
        stretch = self.sequence[low : high + 1]
        waits = {a: sum(low <= rank[b] <= high for b in self.before[a]) for a in stretch}
        order = [a for a in stretch if not waits[a]]
        for a in order:
            for b in self.after[a]:
                if b in waits:
                    waits[b] -= 1
                    if not waits[b]:
                        order.append(b)
        if len(order) < len(stretch):
            raise Impossible
        self.sequence[low : high + 1] = order
        for at, a in enumerate(order, low):
            rank[a] = at

    def _spread(self, dirty: set[int]) -> list[int]:
        """Let pasts grow along the edges, from these acts on; returns the acts whose pasts did."""
        changed: list[int] = []
        pasts, session, place, rank = self.pasts, self.session, self.place, self.rank
        due = sorted(rank[a] for a in dirty)
        while due:
            a = self.sequence[heappop(due)]
            before = self.before[a]
            past = pasts[a]
            if len(before) == 1:
                past = pasts[before[0]]
            elif before:
                past = list(map(max, *[pasts[b] for b in before]))
            if past[session[a]] <= place[a]:
                past = list(past)
                past[session[a]] = place[a] + 1
            if past != pasts[a]:
                pasts[a] = past
                changed.append(a)
                for b in self.after[a]:
                    if b not in dirty:
                        dirty.add(b)
                        heappush(due, rank[b])
        return changed


class _Rules:
    """Both rules over arrays. A write is found by key, session and place, in one sorted table of all writes."""

    def __init__(self, acts: Sequence[Act], sessions: int, clear: Sequence[Act]) -> None:
        self.sessions = sessions
        self.factor = len(acts) + 1
        keys: dict[object, int] = {}
        self.key = np.array([keys.setdefault(act.key, len(keys)) for act in acts], np.int64)
        self.session = np.array([act.session for act in acts], np.int64)
        self.place = np.array([act.place for act in acts], np.int64)
        self.clear, self.writes = np.zeros(len(acts), bool), np.zeros(len(acts), bool)
        self.source = np.full(len(acts), -1, np.int64)
        for act in clear:
            self.clear[act.number], self.writes[act.number] = True, act.is_write
            if act.source is not None:
                self.source[act.number] = act.source.number
        written = np.nonzero(self.writes)[0]
        codes = self._code(self.key[written] * sessions + self.session[written], self.place[written])
        order = np.argsort(codes)
        self.codes, self.written = codes[order], written[order]
        self.pasts = np.zeros((len(acts), sessions), np.int32)
        self._gather_readers(clear)

    def _gather_readers(self, clear: Sequence[Act]) -> None:
        """Of each write, the last reader in each session."""
        readers: dict[int, dict[int, int]] = {}
        for act in clear:
            if act.source is not None:
                readers.setdefault(act.source.number, {})[act.session] = act.number
        sizes = np.zeros(len(self.key) + 1, np.int64)
        for number, found in readers.items():
            sizes[number + 1] = len(found)
        self.first_reader = np.cumsum(sizes)
        self.readers = np.array([r for n in sorted(readers) for r in readers[n].values()], np.int64)

    def _code(self, group: _Numbers, place: _Numbers | int) -> _Numbers:
        code: _Numbers = group * self.factor + place
        return code

    def learn(self, changed: Sequence[int], pasts: Sequence[Sequence[int]]) -> None:
        """Take over the pasts of these acts."""
        if changed:
            self.pasts[changed] = [pasts[a] for a in changed]

    def apply(self, changed: Sequence[int]) -> list[_Because]:
        """What follows for acts whose pasts have grown, and is not yet known."""
        acts = np.array(changed, np.int64)
        acts = acts[self.clear[acts]] if len(self.written) else acts[:0]
        rows = max(1, _ENTRIES_AT_ONCE // self.sessions)
        found = [self._of(acts[i : i + rows]) for i in range(0, len(acts), rows)]
        return self._needed(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else []

    def _of(self, acts: _Numbers) -> tuple[_Numbers, _Numbers, _Numbers]:
        group = self.key[acts][:, None] * self.sessions + np.arange(self.sessions)
        start = self._code(group, 0)
        at = np.searchsorted(self.codes, start + self.pasts[acts]) - 1
        at -= self.written[np.maximum(at, 0)] == acts[:, None]  # its own write does not count
        there = (at >= 0) & (self.codes[np.maximum(at, 0)] >= start)
        act = acts[np.nonzero(there)[0]]
        earlier = self.written[at[there]]
        other = (self.source[act] >= 0) & (self.source[act] != earlier)
        first = earlier[other], self.source[act[other]], act[other]
        over = self.writes[act]
        readers, later = self._readers_of(earlier[over], act[over])
        return (
            np.concatenate((first[0], readers)),
            np.concatenate((first[1], later)),
            np.concatenate((first[2], readers)),
        )

    def _readers_of(self, earlier: _Numbers, act: _Numbers) -> tuple[_Numbers, _Numbers]:
        """All who read the earlier writes, each beside the write that comes after."""
        begin = self.first_reader[earlier]
        counts = self.first_reader[earlier + 1] - begin
        which = np.repeat(np.arange(len(earlier)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        readers, later = self.readers[begin[which] + within], act[which]
        others = readers != later
        return readers[others], later[others]

    def _needed(self, first: _Numbers, second: _Numbers, why: _Numbers) -> list[_Because]:
        """Without what is known, and of each session only the last that must come before an act."""
        new = self.pasts[second, self.session[first]] <= self.place[first]
        first, second, why = first[new], second[new], why[new]
        codes = self._code(second * self.sessions + self.session[first], self.place[first])
        order = np.argsort(codes, kind="stable")
        groups = codes[order] // self.factor
        last = np.ones(len(order), bool)
        last[:-1] = groups[1:] != groups[:-1]
        kept = order[last]
        return list(zip(first[kept].tolist(), second[kept].tolist(), why[kept].tolist(), strict=True))
