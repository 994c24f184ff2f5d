"""An order of reads and writes that grows as a judge learns what must come before what.

What precedes an act is closed under session order, so a number for each session says it all.
"""

import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from kvsim.check.reads_from import Act

Edges: TypeAlias = dict[int, list[tuple[int, Act | None]]]
"""By act: the acts that come next, and the read that is the reason (None: session order or reads-from)."""


COMPOUND = frozenset({"scan", "txn"})
"""Operations that may read several keys at once."""


class Contradiction(Exception):
    """One act must come both before and after another."""

    def __init__(self, first: Act, second: Act) -> None:
        self.first, self.second = first, second


class Impossible(Exception):
    """What must come before what makes a circle."""


class WritesByKey:
    """The writes of each key in each session, to find the latest in a past."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self._of: dict[object, dict[int, tuple[list[int], list[Act]]]] = {}
        for act in acts:
            if act.is_write:
                places, writes = self._of.setdefault(act.key, {}).setdefault(act.session, ([], []))
                places.append(act.place)
                writes.append(act)

    def latest(self, key: object, past: Sequence[int], but: Act | None) -> Iterator[Act]:
        """Of each session, the latest write of the key in a past, other than one."""
        for session, (places, writes) in self._of.get(key, {}).items():
            at = bisect_left(places, past[session]) - 1
            if at >= 0 and writes[at] is but:
                at -= 1
            if at >= 0:
                yield writes[at]

    def first_left(self, key: object, done: Sequence[int]) -> Iterator[Act]:
        """Of each session, the first write of the key that is not done."""
        for session, (places, writes) in self._of.get(key, {}).items():
            at = bisect_left(places, done[session])
            if at < len(writes):
                yield writes[at]


class Order:
    """Pasts and edges; `grown` starts from the same order and leaves it as it is."""

    def __init__(
        self,
        sessions: Sequence[Sequence[Act]],
        acts: Sequence[Act],
        edges: Edges,
        pasts: list[list[int]] | None = None,
    ) -> None:
        """From edges; with the pasts to which they lead, if somebody knows them."""
        self.sessions, self.acts, self.edges = sessions, acts, edges
        self.more: Edges = {}
        self.trail: list[tuple[int, list[int] | None]] = []
        """What each change replaced: an act and its past; or, with its complement, an act that got an edge."""
        self._raised: dict[int, list[int]] = {}
        sequence = topological(len(acts), edges) if pasts is None else None
        self.sound = pasts is not None or sequence is not None
        """Whether the edges make an order at all."""
        self._pasts: list[list[int]] = pasts or (self._fill(sequence) if sequence is not None else [])

    def _fill(self, sequence: Sequence[int]) -> list[list[int]]:
        nothing = [0] * len(self.sessions)
        pasts = [nothing] * len(self.acts)
        for number in sequence:
            act = self.acts[number]
            past = list(pasts[self.sessions[act.session][act.place - 1].number] if act.place else nothing)
            for read in reads_at_once(self.sessions[act.session], act):
                if read.source is not None:
                    past = list(map(max, past, pasts[read.source.number]))
            past[act.session] = act.place + 1
            pasts[number] = past
        return pasts

    def grown(self) -> "Order":
        """A copy that may grow."""
        copy = Order.__new__(Order)
        copy.sessions, copy.acts, copy.edges, copy.sound = self.sessions, self.acts, self.edges, self.sound
        copy.more, copy.trail, copy._raised, copy._pasts = {}, [], {}, self._pasts
        return copy

    def past(self, act: Act) -> list[int]:
        """How many acts of each session come before an act, or are it."""
        return self._raised.get(act.number) or self._pasts[act.number]

    def has(self, first: Act, second: Act) -> bool:
        """Whether one act comes before another, or is it."""
        return self.past(second)[first.session] > first.place

    def put(self, first: Act, second: Act, because: Act, end: Sequence[int] | None = None) -> list[Act]:
        """Put one act before another; returns the acts before which more comes now.

        `end` bounds the acts of each session that matter. Raises Contradiction.
        """
        if self.has(first, second):
            return []
        self.more.setdefault(first.number, []).append((second.number, because))
        self.trail.append((~first.number, None))
        if self.has(second, first):
            raise Contradiction(second, first)
        touched: dict[int, Act] = {}
        queue = deque([(second, self.past(first))])
        while queue:
            act, by = queue.popleft()
            if end is not None and act.place >= end[act.session]:
                continue
            old = self.past(act)
            new = list(map(max, old, by))
            if new != old:
                self.trail.append((act.number, self._raised.get(act.number)))
                self._raised[act.number] = new
                touched[act.number] = act
                for edges in (self.edges, self.more):
                    queue.extend((self.acts[target], new) for target, _ in edges.get(act.number, ()))
        return list(touched.values())

    def undo(self, mark: int) -> None:
        """Take back all changes since the trail had this length."""
        while len(self.trail) > mark:
            number, past = self.trail.pop()
            if number < 0:
                self.more[~number].pop()
            elif past is None:
                del self._raised[number]
            else:
                self._raised[number] = past

    def all_edges(self) -> Edges:
        """What was given and what was put."""
        edges: Edges = {number: list(targets) for number, targets in self.edges.items()}
        for number, targets in self.more.items():
            edges.setdefault(number, []).extend(targets)
        return edges


def reads_at_once(own: Sequence[Act], first: Act) -> Sequence[Act]:
    """The acts of an operation that reads several keys at once, from the first of them; of any other act itself."""
    if first.operation.op not in COMPOUND:
        return (first,)
    if first.place and own[first.place - 1].operation is first.operation:
        return ()
    rest = (own[place] for place in range(first.place, len(own)))
    return list(itertools.takewhile(lambda act: act.operation is first.operation, rest))


def causal_edges(sessions: Sequence[Sequence[Act]], acts: Sequence[Act]) -> Edges:
    """Session order and reads-from; who reads several keys at once has seen the causes of all with the first."""
    edges: Edges = {}
    for own in sessions:
        for act, after in itertools.pairwise(own):
            edges.setdefault(act.number, []).append((after.number, None))
    for act in acts:
        for read in reads_at_once(sessions[act.session], act):
            if read.source is not None:
                edges.setdefault(read.source.number, []).append((act.number, None))
    return edges


def topological(count: int, edges: Edges) -> list[int] | None:
    """The acts in an order that keeps all edges; None if there is none."""
    order = _peeled(count, edges)
    return order if len(order) == count else None


def _peeled(count: int, edges: Edges) -> list[int]:
    """The acts that no circle precedes, each after those before it."""
    waits = [0] * count
    for targets in edges.values():
        for target, _ in targets:
            waits[target] += 1
    order = [number for number in range(count) if not waits[number]]
    for number in order:
        for target, _ in edges.get(number, ()):
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    return order


def ring(count: int, edges: Edges) -> list[int]:
    """A short circle, which there must be; its first act stands at its end again."""
    left = set(range(count)).difference(_peeled(count, edges))
    inside: Edges = {n: [edge for edge in edges.get(n, ()) if edge[0] in left] for n in sorted(left)}
    back: dict[int, int] = {}
    for number, targets in inside.items():
        for target, _ in targets:
            back.setdefault(target, number)
    number = min(left)
    met: set[int] = set()
    while number not in met:  # walking backwards stays inside, and so must close a circle
        met.add(number)
        number = back[number]
    return shortest_path(inside, number, number)


def shortest_path(edges: Edges, start: int, end: int) -> list[int]:
    """The acts from one to another, both included; a circle if they are the same."""
    came: dict[int, int] = {}
    queue = deque([start])
    while queue and end not in came:
        number = queue.popleft()
        for target, _ in edges.get(number, ()):
            if target not in came:
                came[target] = number
                queue.append(target)
    way = [end]
    while len(way) == 1 or way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]
