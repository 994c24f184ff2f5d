"""Cycles among transactions: the most severe kind that there is, and a short one to show.

Kinds, most severe first (Adya 1999; Kingsbury and Alvaro 2020): G0 has only ww edges; G1c ww and wr; G-single one rw;
G-nonadjacent several rw, of which no two follow each other; G2-item several rw, of which two do. Edges of process order
and real time may stand wherever ww and wr may; the kind then ends in `-process` or `-realtime`.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kvsim.check.search import Limits

KINDS = ("G0", "G1c", "G-single", "G-nonadjacent", "G2-item")
_STARTS = 300
"""Cycles are sought from so many transactions or edges, to find a short one."""

Edges = Mapping[int, Mapping[int, str]]
"""By transaction, those that come after, with the kind of the edge; the most telling kind where there are several."""


class Cycle(NamedTuple):
    """The most severe kind, and a cycle of it: transactions, and the kind of the edge from each to the next."""

    kind: str
    around: tuple[int, ...]
    edges: tuple[str, ...]


def components(edges: Mapping[int, Iterable[int]], count: int) -> list[list[int]]:
    """Strongly connected components of more than one member, of graph nodes 0 to count - 1 (Tarjan 1972)."""
    index = [0] * count
    low = [0] * count
    on_stack = bytearray(count)
    stack: list[int] = []
    found: list[list[int]] = []
    clock = 0
    for root in range(count):
        if index[root]:
            continue
        clock += 1
        index[root] = low[root] = clock
        stack.append(root)
        on_stack[root] = 1
        path = [(root, iter(edges[root]))]
        while path:
            node, rest = path[-1]
            for after in rest:
                if not index[after]:
                    clock += 1
                    index[after] = low[after] = clock
                    stack.append(after)
                    on_stack[after] = 1
                    path.append((after, iter(edges[after])))
                    break
                if on_stack[after] and index[after] < low[node]:
                    low[node] = index[after]
            else:
                path.pop()
                if path and low[node] < low[path[-1][0]]:
                    low[path[-1][0]] = low[node]
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack[member] = 0
                        component.append(member)
                        if member == node:
                            break
                    if len(component) > 1:
                        found.append(component)
    return found


class Cycles:
    """A graph small enough to look into: the transactions that lie on cycles at all, and the edges among them."""

    def __init__(self, members: Iterable[int], graphs: Mapping[str, list[list[int]]]) -> None:
        self.members = sorted(members)
        self.place = {t: i for i, t in enumerate(self.members)}
        self.graphs = {
            kind: {a: [b for b in dict.fromkeys(graph[a]) if b in self.place and b != a] for a in self.members}
            for kind, graph in graphs.items()
        }

    def worst(self, also: tuple[str, ...], limits: Limits) -> Cycle | None:
        """The most severe kind of cycle of ww, wr, rw and the `also` edges. Raises TimeoutError."""
        suffix = f"-{also[-1]}" if also else ""
        for kind, kinds in (("G0", ("ww", *also)), ("G1c", ("ww", "wr", *also))):
            if ring := self._shortest(self._merged(kinds)):
                return self._cycle(kind + suffix, ring, kinds)
        free = self._merged(("ww", "wr", *also))
        if ring := self._nonadjacent(free):
            if single := self._single(free, limits):
                return self._cycle("G-single" + suffix, single, ("ww", "wr", *also), first_rw=True)
            return self._cycle("G-nonadjacent" + suffix, ring, ("ww", "wr", *also))
        if ring := self._shortest(self._merged(("ww", "wr", "rw", *also))):
            return self._cycle("G2-item" + suffix, ring, ("ww", "wr", *also))
        return None

    def _merged(self, kinds: tuple[str, ...]) -> dict[int, list[int]]:
        graphs = [self.graphs[kind] for kind in kinds if kind in self.graphs]
        return {a: list(dict.fromkeys(b for graph in graphs for b in graph[a])) for a in self.members}

    def _components(self, edges: Mapping[int, Iterable[int]]) -> list[list[int]]:
        place = self.place
        dense = {place[a]: [place[b] for b in targets] for a, targets in edges.items()}
        return [[self.members[i] for i in component] for component in components(dense, len(self.members))]

    def _shortest(self, edges: dict[int, list[int]]) -> list[int]:
        """A short cycle, or none."""
        best: list[int] = []
        starts = _STARTS
        for component in sorted(self._components(edges), key=lambda c: (len(c), min(c))):
            inside = set(component)
            for start in sorted(component)[: max(1, starts)]:
                starts -= 1
                ring = path(edges, start, start, inside, len(best) or None)
                if ring and (not best or len(ring) < len(best)):
                    best = ring
            if starts <= 0 or len(best) == 2:
                break
        return best

    def _nonadjacent(self, free: dict[int, list[int]]) -> list[int]:
        """A cycle without two rw in a row: one through states that remember whether the last edge was rw."""
        count = len(self.members)
        doubled: dict[int, list[int]] = {}
        for a in self.members:
            place = self.place[a]
            to = [self.place[b] for b in free[a]]
            doubled[place + count] = to
            doubled[place] = to + [self.place[b] + count for b in self.graphs["rw"][a]]
        best: list[int] = []
        for component in sorted(components(doubled, 2 * count), key=lambda c: (len(c), min(c)))[:_STARTS]:
            inside = set(component)
            for start in sorted(component)[:20]:
                ring = path(doubled, start, start, inside, len(best) or None)
                members = [node % count for node in ring]
                if ring and len(set(members)) == len(members) and (not best or len(ring) < len(best)):
                    best = ring
            if not best:  # every short cycle met a transaction twice; a shorter one without that lies inside
                best = _simple(path(doubled, component[0], component[0], inside, None), count)
        return [self.members[node % count] for node in best]

    def _single(self, free: dict[int, list[int]], limits: Limits) -> list[int]:
        """A cycle with one rw edge, that edge first."""
        component_of = {}
        merged = {a: [*free[a], *self.graphs["rw"][a]] for a in self.members}
        for number, component in enumerate(self._components(merged)):
            component_of.update(dict.fromkeys(component, number))
        insides: dict[int, set[int]] = {}
        for member, number in component_of.items():
            insides.setdefault(number, set()).add(member)
        best: list[int] = []
        tried = 0
        for a in self.members:
            for b in self.graphs["rw"][a]:
                if component_of.get(a, -1) != component_of.get(b, -2):
                    continue
                tried += 1
                if tried % 64 == 0 and limits.over():
                    raise TimeoutError
                way = path(free, b, a, insides[component_of[a]], len(best) - 1 if best else None)
                if way and (not best or len(way) + 1 < len(best)):
                    best = [a, *way]
                if len(best) == 2 or (best and tried > _STARTS):
                    return best
        return best

    def _cycle(self, kind: str, ring: list[int], kinds: tuple[str, ...], first_rw: bool = False) -> Cycle:
        edges = []
        for i, a in enumerate(ring):
            b = ring[(i + 1) % len(ring)]
            fits = [k for k in kinds if k in self.graphs and b in self.graphs[k][a]]
            edges.append("rw" if (first_rw and i == 0) or not fits else fits[0])
        return Cycle(kind, tuple(ring), tuple(edges))

    def write_skew(self) -> tuple[int, int] | None:
        """Two transactions, each of which did not see what the other wrote."""
        rw = self.graphs["rw"]
        for a in self.members:
            for b in rw[a]:
                if a in rw[b]:
                    return a, b
        return None


def path(
    edges: Mapping[int, Iterable[int]], start: int, end: int, inside: set[int], shorter_than: int | None
) -> list[int]:
    """A shortest way from one to another without its last step's target (a cycle where they are the same); or none."""
    came: dict[int, int] = {}
    queue = deque([(start, 1)])
    while queue:
        node, length = queue.popleft()
        if shorter_than is not None and length >= shorter_than:
            return []
        for after in edges[node]:
            if after == end:
                way = [node]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return way[::-1]
            if after in inside and after not in came and after != start:
                came[after] = node
                queue.append((after, length + 1))
    return []


def _simple(ring: list[int], count: int) -> list[int]:
    """Of a cycle of doubled states that meets a transaction twice, the part that begins after its rw edge."""
    again = True
    while again:
        again = False
        at: dict[int, int] = {}
        for i, node in enumerate(ring):
            if node % count in at:
                j = at[node % count]
                ring = ring[j:i] if ring[j] >= count else ring[i:] + ring[:j]
                again = True
                break
            at[node % count] = i
    return ring
