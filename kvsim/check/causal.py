"""Causal consistency in three strengths, by bad patterns: who has seen an effect has seen its cause.

Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency", POPL 2017. The causal order is session order
and reads-from, closed. Causal consistency (CC): the causal past of every read can be ordered so that the read is right.
Causal memory (CM; Ahamad et al. 1995): that of every session, so that all its own reads are right. Causal convergence
(CCv): one order of all writes makes every read right within its causal past.
"""

from collections import deque
from collections.abc import Callable

from kvsim.check.linearizable import clearly_linearizable
from kvsim.check.order import Contradiction, Edges, Order, WritesByKey, causal_edges, shortest_path, topological
from kvsim.check.reads_from import Act, Sessions, judge_readings, say, witness_of
from kvsim.check.search import Limits
from kvsim.check.tale import bends, circle, in_words, named
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.core.history import History

GIB = 1 << 30
_BYTES_PER_ENTRY = 8


def causal(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CC: no causal circle, and no read of what a write in its causal past had replaced."""
    return _judge(history, time_limit_s, memory_limit_bytes, lambda pasts, limits: None)


def causal_memory(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CM: and each session can put its causal past in one order that explains all its own reads."""
    return _judge(history, time_limit_s, memory_limit_bytes, _memory)


def causal_convergence(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """CCv: and all sessions can agree on one order of the writes."""
    return _judge(history, time_limit_s, memory_limit_bytes, _convergence)


class _Pasts:
    """The acts, the causal order, and the writes of each key."""

    def __init__(self, sessions: Sessions) -> None:
        self.acts, self.sessions = sessions.acts, sessions.sessions
        self.writes = WritesByKey(self.acts)
        self.order = Order(self.sessions, self.acts, causal_edges(self.sessions, self.acts))


Further = Callable[[_Pasts, Limits], Witness | None]


def _judge(history: History, time_limit_s: float, memory_limit_bytes: int, further: Further) -> Verdict:
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    if clearly_linearizable(history):
        return NotRefuted()
    return judge_readings(history, limits, lambda sessions: _judge_sessions(sessions, limits, further))


def converges(sessions: Sessions, limits: Limits) -> Verdict:
    """CCv, where it is known what each read returned."""
    return _judge_sessions(sessions, limits, _convergence)


def _judge_sessions(sessions: Sessions, limits: Limits, further: Further) -> Verdict:
    entries = len(sessions.acts) * len(sessions.sessions)
    if entries * _BYTES_PER_ENTRY > limits.memory_bytes:
        return Undecided(f"memory limit: {len(sessions.acts):,} operations in {len(sessions.sessions):,} sessions")
    pasts = _Pasts(sessions)
    if not pasts.order.sound:
        return Refuted(circle(pasts.acts, pasts.order.edges, "no order keeps causes before effects"))
    try:
        witness = _old_read(pasts, limits) or further(pasts, limits)
    except TimeoutError:
        return Undecided(f"time limit, with {len(sessions.acts):,} reads and writes")
    return Refuted(witness) if witness else NotRefuted()


def _old_read(pasts: _Pasts, limits: Limits) -> Witness | None:
    """WriteCORead and WriteCOInitRead: a newer write lies in the causal past of a read."""
    order = pasts.order
    for read in pasts.acts:
        if read.number % 1024 == 0 and limits.over():
            raise TimeoutError
        if read.is_write:
            continue
        for write in pasts.writes.latest(read.key, order.past(read), read.source):
            if read.source is None or order.has(read.source, write):
                return _old(order.edges, pasts.acts, read, write)
    return None


def _old(edges: Edges, acts: list[Act], read: Act, write: Act) -> Witness:
    """How the newer write follows the returned one, and how it came to the reader."""
    seen = bends([acts[n] for n in shortest_path(edges, write.number, read.number)])
    if read.source is None:
        return witness_of(seen, f"{say(read, True)}, although {named(write)} was in its past: {in_words(seen)}")
    before = bends([acts[n] for n in shortest_path(edges, read.source.number, write.number)])
    sentence = (
        f"{say(read, True)}, although {named(write)} had replaced that in its past: {in_words(before)}. "
        f"And the reader knew: {in_words(seen)}"
    )
    return witness_of([*before, *seen], sentence)


def _convergence(pasts: _Pasts, limits: Limits) -> Witness | None:
    """CyclicCF: writes of a key that a read had in its past come before the one that it returned."""
    edges = pasts.order.all_edges()
    for read in pasts.acts:
        if read.source is None:
            continue
        for write in pasts.writes.latest(read.key, pasts.order.past(read), read.source):
            edges.setdefault(write.number, []).append((read.source.number, read))
    if limits.over():
        raise TimeoutError
    if topological(len(pasts.acts), edges) is not None:
        return None
    return circle(pasts.acts, edges, "no one order of the writes explains all reads")


def _memory(pasts: _Pasts, limits: Limits) -> Witness | None:
    """CyclicHB and WriteHBInitRead, for the last act of each session."""
    for own in pasts.sessions:
        order = pasts.order.grown()
        try:
            _let_grow(pasts, order, own, limits)
        except Contradiction as found:
            return _no_view(pasts, order, own, found)
    return None


def _let_grow(pasts: _Pasts, order: Order, own: list[Act], limits: Limits) -> None:
    """What the session knew at a read came before what the read returned, until nothing new follows."""
    end = order.past(own[-1])
    due = deque(act for act in own if not act.is_write)
    waiting = {act.number for act in due}
    while due:
        read = due.popleft()
        waiting.discard(read.number)
        if limits.over():
            raise TimeoutError
        for write in pasts.writes.latest(read.key, order.past(read), read.source):
            if read.source is None:
                raise Contradiction(write, read)
            for later in order.put(write, read.source, read, end):
                if later.session == read.session and not later.is_write and later.number not in waiting:
                    waiting.add(later.number)
                    due.append(later)


def _no_view(pasts: _Pasts, order: Order, own: list[Act], found: Contradiction) -> Witness:
    edges = order.all_edges()
    who = f"process {own[0].operation.process} cannot put what it knew in one order"
    if found.second.is_write:
        return circle(pasts.acts, edges, who)
    way = shortest_path(edges, found.first.number, found.second.number)
    return circle(pasts.acts, edges, who, [*way, way[0]])
