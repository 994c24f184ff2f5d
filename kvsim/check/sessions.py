"""Session guarantees: what a client may rely on across its own operations, whichever replicas serve them.

Terry et al., "Session guarantees for weakly consistent replicated data", PDIS 1994, as Viotti and Vukolić put it (ACM
Computing Surveys 2016). A read sees a set of writes and returns the last of them, by key, in one order of all writes.
Read your writes: it sees its session's earlier writes. Monotonic reads: and all that the session's earlier reads saw.
Monotonic writes: who sees a write sees its session's earlier writes, and the order keeps them. Writes follow reads: who
sees a write sees all that its session had read before, and the order keeps it.

The smallest sets that the guarantees allow leave the order most free, so they decide: with them, the order must have no
circle. Sets of writes are bits of an integer. The first two guarantees are judged key by key. With all four, sets are
causal pasts, and what is asked for is causal convergence: so long histories are judged by that, with less memory.
"""

from collections.abc import Sequence

from kvsim.check.causal import converges
from kvsim.check.linearizable import clearly_linearizable
from kvsim.check.reads_from import Act, Sessions, judge_readings, name, say, witness_of
from kvsim.check.search import Limits
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.wording import shown
from kvsim.core.history import History

GIB = 1 << 30
READ_YOUR_WRITES = "read-your-writes"
MONOTONIC_READS = "monotonic-reads"
MONOTONIC_WRITES = "monotonic-writes"
WRITES_FOLLOW_READS = "writes-follow-reads"
ALL = (READ_YOUR_WRITES, MONOTONIC_READS, MONOTONIC_WRITES, WRITES_FOLLOW_READS)


def session_guarantees(
    history: History, guarantees: Sequence[str] = ALL, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB
) -> Verdict:
    """Judge some of the four guarantees, by default all at once."""
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    if clearly_linearizable(history):
        return NotRefuted()
    return judge_readings(history, limits, lambda sessions: _judge(sessions, frozenset(guarantees), limits))


def _judge(sessions: Sessions, guarantees: frozenset[str], limits: Limits) -> Verdict:
    if guarantees <= {READ_YOUR_WRITES, MONOTONIC_READS}:
        return _key_by_key(sessions, guarantees, limits)
    writes = sum(act.is_write for act in sessions.acts)
    if writes * writes // 4 <= limits.memory_bytes:
        return _judge_by_sets(sessions, guarantees, limits)
    if guarantees == frozenset(ALL) and all(act.operation.op not in ("scan", "txn") for act in sessions.acts):
        return converges(sessions, limits)
    return Undecided(f"memory limit: {writes:,} writes are too many")


def _key_by_key(sessions: Sessions, guarantees: frozenset[str], limits: Limits) -> Verdict:
    """What a read must see of its key follows from its session's reads and writes of that key alone."""
    of_key: dict[object, list[Act]] = {}
    for act in sessions.acts:
        of_key.setdefault(act.key, []).append(act)
    unknown: Verdict = NotRefuted()
    for acts in of_key.values():
        writes = sum(act.is_write for act in acts)
        if writes * writes // 4 > limits.memory_bytes:
            unknown = Undecided(f"memory limit: {writes:,} writes of {shown(acts[0].key)} are too many")
            continue
        verdict = _judge_by_sets(Sessions(acts), guarantees, limits)
        if isinstance(verdict, Refuted):
            return verdict
        if isinstance(verdict, Undecided):
            unknown = verdict
    return unknown


def _judge_by_sets(sessions: Sessions, guarantees: frozenset[str], limits: Limits) -> Verdict:
    views = _Views(sessions, guarantees)
    if not views.settle(limits):
        return Undecided(f"time limit, with {len(sessions.acts):,} reads and writes")
    witness = views.absent_despite() or views.circle()
    return Refuted(witness) if witness else NotRefuted()


class _Views:
    """What each read sees at least, and which writes must therefore come before which."""

    def __init__(self, sessions: Sessions, guarantees: frozenset[str]) -> None:
        self.own, self.again = READ_YOUR_WRITES in guarantees, MONOTONIC_READS in guarantees
        self.in_order, self.follow = MONOTONIC_WRITES in guarantees, WRITES_FOLLOW_READS in guarantees
        self.sessions = sessions
        self.writes = [act for act in sessions.acts if act.is_write]
        self.bit = {act.number: 1 << i for i, act in enumerate(self.writes)}
        self.seen_with: dict[int, int] = dict(self.bit)
        """Of each write, all that is seen by who sees it."""
        self.before: dict[int, int] = dict.fromkeys(self.bit, 0)
        """Of each write, the writes that the order must put before it."""
        self.of_key: dict[object, int] = {}
        for act in self.writes:
            self.of_key[act.key] = self.of_key.get(act.key, 0) | self.bit[act.number]
        self.last_views: list[tuple[Act, int]] = []

    def settle(self, limits: Limits) -> bool:
        """Let every set grow until none does; whether there was time for it."""
        while self._grow():
            if limits.over():
                return False
        return True

    def _grow(self) -> bool:
        """One pass over all acts in the order of time: what earlier acts saw is then mostly known."""
        count = len(self.sessions.sessions)
        written, seen, read = [0] * count, [0] * count, [0] * count
        grown = False
        self.last_views.clear()
        acts = self.sessions.acts
        at = 0
        while at < len(acts):
            act, session = acts[at], acts[at].session
            if act.is_write:
                with_it = self.bit[act.number]
                if self.in_order:
                    with_it |= written[session]
                    self.before[act.number] |= written[session]
                if self.follow:
                    with_it |= read[session]
                    self.before[act.number] |= read[session]
                grown |= with_it | self.seen_with[act.number] != self.seen_with[act.number]
                self.seen_with[act.number] |= with_it
                written[session] |= self.seen_with[act.number]
                at += 1
                continue
            end = at
            view = (written[session] if self.own else 0) | (seen[session] if self.again else 0)
            while end < len(acts) and acts[end].operation is act.operation:
                source = acts[end].source
                if source is not None:
                    view |= self.seen_with[source.number]
                end += 1
            for read_act in acts[at:end]:
                self.last_views.append((read_act, view))
                if read_act.source is not None:
                    others = view & self.of_key[read_act.key] & ~self.bit[read_act.source.number]
                    self.before[read_act.source.number] |= others
            seen[session] |= view
            read[session] |= view
            at = end
        return grown

    def absent_despite(self) -> Witness | None:
        """A read that found nothing, although it had to see a write of the key."""
        for read, view in self.last_views:
            if read.source is None and (view & self.of_key.get(read.key, 0)):
                seen = self._first(view & self.of_key[read.key])
                why = self._why_seen(read, seen)
                return witness_of([*why[1], seen, read], f"{say(read)}, although {why[0]}")
        return None

    def _first(self, bits: int) -> Act:
        return self.writes[(bits & -bits).bit_length() - 1]

    # ---- circles in the order of the writes

    def circle(self) -> Witness | None:
        """Writes, each of which must come before the next, and the last before the first."""
        ring = self._ring()
        if ring is None:
            return None
        ring = self._shortened(ring)
        several = len({act.key for act in ring}) > 1
        reasons, acts = [], list(ring)
        for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
            reason, more = self._why_before(a, b)
            reasons.append(f"{name(a, several)} comes before {name(b, several)}, since {reason}")
            acts += more
        return witness_of(acts, "no order of the writes is left: " + "; ".join(reasons))

    def _ring(self) -> list[Act] | None:
        """Put writes in order, each after those before it; a write met again on the way closes a circle."""
        done = 0
        for root in self.writes:
            path, on_path = [root], self.bit[root.number]
            if done & on_path:
                continue
            while path:
                act = path[-1]
                missing = self.before[act.number] & ~done
                if not missing:
                    done |= self.bit[act.number]
                    on_path &= ~self.bit[act.number]
                    path.pop()
                elif closing := missing & on_path:
                    first = self._first(closing)
                    return path[path.index(first) :][::-1]
                else:
                    path.append(self._first(missing))
                    on_path |= self.bit[path[-1].number]
        return None

    def _shortened(self, ring: list[Act]) -> list[Act]:
        """The shortest circle that a chord of this one makes; `ring[i]` comes before `ring[i + 1]`."""
        size = len(ring)
        for length in range(1, size):
            for i in range(size):
                first, last = ring[i], ring[(i + length - 1) % size]
                if self.before[first.number] & self.bit[last.number]:
                    return [ring[(i + j) % size] for j in range(length)]
        return ring

    def _why_before(self, a: Act, b: Act) -> tuple[str, list[Act]]:
        if self.in_order and a.session == b.session and a.place < b.place:
            return "its session wrote them so (monotonic writes)", []
        for read, view in self.last_views:
            if read.source is b and a is not b and view & self.bit[a.number] and read.key == a.key:
                why, acts = self._why_seen(read, a)
                return f"{say(read)}, although {why}", [*acts, read]
        session = self.sessions.sessions[b.session]
        for read, view in self.last_views:
            if self.follow and read.session == b.session and read.place < b.place and view & self.bit[a.number]:
                found = [x for x in session[: b.place] if x.source is a] or [read]
                return f"its session had seen it before: {say(found[0])} (writes follow reads)", [found[0]]
        return "who saw it wrote afterwards", []

    def _why_seen(self, read: Act, write: Act) -> tuple[str, list[Act]]:
        """Why a read had to see a write."""
        several = read.key != write.key
        session = self.sessions.sessions[read.session]
        what = name(write, several)
        if self.own and write.session == read.session and write.place < read.place:
            return f"{what} was its own and earlier (read your writes)", []
        earlier = [a for a in session[: read.place] if a.operation is not read.operation]
        if self.again:
            for a in earlier:
                if a.source is write:
                    return f"its session had seen {what} before: {say(a)} (monotonic reads)", [a]
        beside = [a for a in session if a.operation is read.operation]
        visible = [a for a in (*beside, *(earlier if self.again else ())) if a.source is not None]
        for a in visible:
            assert a.source is not None
            if self.seen_with[a.source.number] & self.bit[write.number]:
                seen = a.source
                if self.in_order and write.session == seen.session and write.place < seen.place:
                    why = f"its session wrote {what} before {name(seen, True)} (monotonic writes)"
                else:
                    why = f"who wrote {shown(seen.value)} to {shown(seen.key)} had seen {what} (writes follow reads)"
                shows = "" if a is read else f", and {say(a)}"
                return f"{why}{shows}", [a, seen, *self._seen_by(seen, write)]
        return f"{what} is in what its session has seen", []

    def _seen_by(self, write: Act, earlier: Act) -> list[Act]:
        """How the session of a write had come to see another: the read that returned it, if there is one."""
        return [a for a in self.sessions.sessions[write.session][: write.place] if a.source is earlier][:1]
