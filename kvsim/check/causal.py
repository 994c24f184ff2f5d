"""Causal consistency in three strengths, by bad patterns: who has seen an effect has seen its cause.

Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency", POPL 2017. The causal order is session order and
reads-from, closed. Causal consistency (CC): the causal past of every read can be ordered so that the read is right.
Causal memory (CM; Ahamad et al. 1995): that of every session, so that all its reads are right. Causal convergence (CCv):
one order of all writes makes every read right within its causal past. What a session has seen of each session is a
number, so a past is a vector of numbers.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from kvsim.check.linearizable import kept_by_linearizable
from kvsim.check.reads_from import Act, Sessions, judge_readings, name, say, witness_of
from kvsim.check.search import Limits
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.core.history import History

GIB = 1 << 30
_BYTES_PER_ENTRY = 8
Edges: TypeAlias = dict[int, list[tuple[int, Act | None]]]
"""By act: the acts that come next, and the read that is the reason (None: session order or reads-from)."""


def causal(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CC: no causal circle, no read of nothing or of an old value when a newer write is in its causal past."""
    return _judge(history, time_limit_s, memory_limit_bytes, lambda pasts, limits: None)


def causal_memory(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CM: and each session can put its causal past in one order that explains all its own reads."""
    return _judge(history, time_limit_s, memory_limit_bytes, _memory)


def causal_convergence(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CCv: and all sessions can agree on one order of the writes."""
    return _judge(history, time_limit_s, memory_limit_bytes, _convergence)


def _judge(history: History, time_limit_s: float, memory_limit_bytes: int, further: Callable[["_Pasts", Limits], Witness | None]) -> Verdict:
    limits = Limits.of(time_limit_s, memory_limit_bytes)

    def judge(sessions: Sessions) -> Verdict:
        size = len(sessions.acts) * len(sessions.sessions)
        if size * _BYTES_PER_ENTRY > limits.memory_bytes:
            return Undecided(f"memory limit: {len(sessions.acts):,} operations in {len(sessions.sessions):,} sessions")
        try:
            pasts = _Pasts(sessions)
            witness = pasts.circle or _old_read(pasts) or further(pasts, limits)
        except TimeoutError:
            return Undecided(f"time limit, with {len(sessions.acts):,} reads and writes")
        return Refuted(witness) if witness else NotRefuted()

    verdict = judge_readings(history, limits, judge)
    if isinstance(verdict, Undecided) and kept_by_linearizable(history):
        return NotRefuted()
    return verdict


class _Pasts:
    """The causal past of every act: how many acts of each session are in it, itself included."""

    def __init__(self, sessions: Sessions) -> None:
        self.acts, self.sessions = sessions.acts, sessions.sessions
        self.writes: dict[object, dict[int, tuple[list[int], list[Act]]]] = {}
        """By key and session, the writes with their places."""
        for act in self.acts:
            if act.is_write:
                places, writes = self.writes.setdefault(act.key, {}).setdefault(act.session, ([], []))
                places.append(act.place)
                writes.append(act)
        self.edges = causal_edges(sessions)
        order = topological(len(self.acts), self.edges)
        self.circle: Witness | None = None
        self.of: list[list[int]] = []
        if order is None:
            self.circle = _circle(self.acts, self.edges, "no order keeps causes before effects")
        else:
            self._fill(order)

    def _fill(self, order: Sequence[int]) -> None:
        nothing = [0] * len(self.sessions)
        self.of = [nothing] * len(self.acts)
        for number in order:
            act = self.acts[number]
            past = list(self.of[self.sessions[act.session][act.place - 1].number] if act.place else nothing)
            if act.source is not None:
                past = list(map(max, past, self.of[act.source.number]))
            past[act.session] = act.place + 1
            self.of[number] = past

    def latest_writes(self, key: object, past: Sequence[int], but: Act | None) -> Iterator[Act]:
        """Of each session, the latest write of the key in a past, other than one."""
        for session, (places, writes) in self.writes.get(key, {}).items():
            at = bisect_left(places, past[session]) - 1
            if at >= 0 and writes[at] is but:
                at -= 1
            if at >= 0:
                yield writes[at]


def causal_edges(sessions: Sessions) -> Edges:
    """Session order and reads-from."""
    edges: Edges = {}
    for acts in sessions.sessions:
        for act, after in zip(acts, acts[1:], strict=False):
            edges.setdefault(act.number, []).append((after.number, None))
    for act in sessions.acts:
        if act.source is not None:
            edges.setdefault(act.source.number, []).append((act.number, None))
    return edges


def topological(count: int, edges: Edges) -> list[int] | None:
    """The acts in an order that keeps all edges; None if there is none."""
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
    return order if len(order) == count else None


def _old_read(pasts: _Pasts) -> Witness | None:
    """WriteCORead and WriteCOInitRead: a newer write lies in the causal past of a read."""
    for read in pasts.acts:
        if read.is_write:
            continue
        past, source = pasts.of[read.number], read.source
        for write in pasts.latest_writes(read.key, past, source):
            if source is None or pasts.of[write.number][source.session] > source.place:
                return _old(pasts, read, write, source)
    return None


def _old(pasts: _Pasts, read: Act, write: Act, source: Act | None) -> Witness:
    seen, sentence = _path(pasts, write, read)
    if source is None:
        return witness_of([*seen], f"{say(read)}, although {sentence}")
    before, how = _path(pasts, source, write)
    return witness_of([*before, *seen], f"{say(read)}, although a later write was in its past: {how}; and {sentence}")


def _path(pasts: _Pasts, start: Act, end: Act) -> tuple[list[Act], str]:
    """How one act is in the causal past of another: the acts on the shortest way, and in words."""
    numbers = shortest_path(pasts.edges, start.number, end.number)
    way = [pasts.acts[number] for number in numbers]
    return _bends(way), in_words(_bends(way))


def _bends(way: list[Act]) -> list[Act]:
    """Without the acts in the middle of a stretch through one session."""
    inner = range(1, len(way) - 1)
    drop = {i for i in inner if way[i - 1].session == way[i].session == way[i + 1].session}
    return [act for i, act in enumerate(way) if i not in drop]


def in_words(way: Sequence[Act]) -> str:
    """A way through the causal order: who read what, and what came after it in the same session."""
    parts = [f"{name(way[0], True)} came first" if way[0].is_write else say(way[0])]
    for a, b in zip(way, way[1:], strict=False):
        what = name(b, True) if b.is_write else say(b)
        parts.append(f"then, in the same session, {what}" if a.session == b.session else f"{what}, which returned it")
    return ", ".join(parts)


def shortest_path(edges: Edges, start: int, end: int) -> list[int]:
    """The acts from one to another, both included; a circle if they are the same."""
    came: dict[int, int] = {}
    queue = deque([start])
    while queue:
        number = queue.popleft()
        for target, _ in edges.get(number, ()):
            if target not in came:
                came[target] = number
                if target == end:
                    queue.clear()
                    break
                queue.append(target)
    way = [end]
    while len(way) == 1 or way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


def _circle(acts: Sequence[Act], edges: Edges, claim: str) -> Witness:
    """A short circle, with a reason for each step."""
    ring = _ring(len(acts), edges)
    reasons: list[str] = []
    shown: list[Act] = []
    for a, b in zip(ring, ring[1:], strict=False):
        first, second = acts[a], acts[b]
        shown.append(first)
        why = next((by for target, by in edges[a] if target == b), None)
        if first.session == second.session and first.place < second.place:
            reasons.append(f"{_called(first)} comes before {_called(second)} in its session")
        elif second.source is first:
            reasons.append(f"{_called(second)} returned {name(first, True)}")
        else:
            assert why is not None
            shown.append(why)
            reasons.append(f"{name(first, True)} comes before {name(second, True)}, since it was known when {say(why)}")
    return witness_of(shown, f"{claim}: " + "; ".join(reasons))


def _called(act: Act) -> str:
    return name(act, True) if act.is_write else say(act)


def _ring(count: int, edges: Edges) -> list[int]:
    """A shortest circle through some act of a circle; its first act stands at its end again."""
    waits = [0] * count
    for targets in edges.values():
        for target, _ in targets:
            waits[target] += 1
    left = set(range(count))
    order = [number for number in range(count) if not waits[number]]
    for number in order:
        left.discard(number)
        for target, _ in edges.get(number, ()):
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    inside: Edges = {n: [e for e in edges.get(n, ()) if e[0] in left] for n in left}
    back: dict[int, list[int]] = {}
    for number in sorted(left):
        for target, _ in inside[number]:
            back.setdefault(target, []).append(number)
    number = min(left)
    met: set[int] = set()
    while number not in met:  # walking backwards stays inside, and so must close a circle
        met.add(number)
        number = back[number][0]
    return shortest_path(inside, number, number)


# ---- convergence


def _convergence(pasts: _Pasts, limits: Limits) -> Witness | None:
    """CyclicCF: writes of a key that a read had in its past come before the one that it returned."""
    edges: Edges = {number: list(targets) for number, targets in pasts.edges.items()}
    for read in pasts.acts:
        source = read.source
        if read.is_write or source is None:
            continue
        for write in pasts.latest_writes(read.key, pasts.of[read.number], source):
            edges.setdefault(write.number, []).append((source.number, read))
    if limits.over():
        raise TimeoutError
    if topological(len(pasts.acts), edges) is not None:
        return None
    return _circle(pasts.acts, edges, "no one order of the writes explains all reads")


# ---- memory


def _memory(pasts: _Pasts, limits: Limits) -> Witness | None:
    """CyclicHB and WriteHBInitRead, for the last act of each session."""
    for session in range(len(pasts.sessions)):
        witness = _OneView(pasts, session).judge(limits)
        if witness:
            return witness
    return None


class _OneView:
    """The order in which one session can have seen its causal past: it grows until all its reads are right."""

    def __init__(self, pasts: _Pasts, session: int) -> None:
        self.pasts, self.session = pasts, session
        self.own = pasts.sessions[session]
        self.end = pasts.of[self.own[-1].number]
        self.past = dict[int, list[int]]()
        self.more: Edges = {}
        self.reads: dict[int, list[Act]] = {}
        for act in self.own:
            if not act.is_write:
                self.reads.setdefault(act.number, []).append(act)

    def judge(self, limits: Limits) -> Witness | None:
        """A contradiction, if there is one."""
        due = deque(act for act in self.own if not act.is_write)
        waiting = {act.number for act in due}
        while due:
            read = due.popleft()
            waiting.discard(read.number)
            if limits.over():
                raise TimeoutError
            for write in self.pasts.latest_writes(read.key, self._of(read), read.source):
                if read.source is None:
                    return self._contradiction(write, read)
                if self._of(read.source)[write.session] > write.place:
                    continue
                self.more.setdefault(write.number, []).append((read.source.number, read))
                if self._of(write)[read.source.session] > read.source.place:
                    return self._contradiction(read.source, write)
                for later in self._raise(read.source, self._of(write)):
                    if later.number not in waiting:
                        waiting.add(later.number)
                        due.append(later)
        return None

    def _of(self, act: Act) -> list[int]:
        return self.past.get(act.number) or self.pasts.of[act.number]

    def _raise(self, act: Act, by: Sequence[int]) -> list[Act]:
        """Something comes before an act, and so before all that comes after it; the session's own reads among that."""
        touched = []
        queue = deque([(act, by)])
        while queue:
            act, by = queue.popleft()
            if act.place >= self.end[act.session]:
                continue
            old = self._of(act)
            new = list(map(max, old, by))
            if new == old:
                continue
            self.past[act.number] = new
            if act.session == self.session and not act.is_write:
                touched.append(act)
            for edges in (self.pasts.edges, self.more):
                queue.extend((self.pasts.acts[target], new) for target, _ in edges.get(act.number, ()))
        return touched

    def _contradiction(self, start: Act, end: Act) -> Witness:
        edges: Edges = {number: list(targets) for number, targets in self.pasts.edges.items()}
        for number, targets in self.more.items():
            edges.setdefault(number, []).extend(targets)
        who = f"process {self.own[0].operation.process} cannot put what it knew in one order"
        if end.is_write:
            return _circle(self.pasts.acts, edges, who)
        way = [self.pasts.acts[number] for number in shortest_path(edges, start.number, end.number)]
        reads = [by for a, b in zip(way, way[1:], strict=False) for t, by in self.more.get(a.number, ()) if t == b.number]
        because = "".join(f"; {say(by)}, so what it knew before came earlier" for by in reads if by)
        told = f"{who}: {say(end)}, although {name(start, True)} came before it{because}"
        return witness_of([*_bends(way), *(by for by in reads if by)], told)
