"""Sequential consistency: one order of all operations keeps each process's own order and makes every answer right.

Lamport, "How to make a multiprocessor computer that correctly executes multiprocess programs", 1979. To decide it is
NP-complete even where every read has one source (Gibbons and Korach 1997), so: what must come before what is drawn out,
for keys whose values are unique and never erased, and often refutes; what is left open is guessed, and an order that
was found is tested; then a search looks for one, and may give up. Unlike linearizability the condition is not local:
keys are judged together. Scans and transactions are left out.
"""

from collections.abc import Sequence
from typing import TypeAlias

from kvsim.check.linearizable import linearizable
from kvsim.check.order import Impossible, Order
from kvsim.check.reads_from import Act
from kvsim.check.search import Limits
from kvsim.check.sequential_order import DrawnOrder
from kvsim.check.sequential_search import Found, Step, find_order
from kvsim.check.tale import circle
from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.check.version_choice import order_by_choice, order_by_time
from kvsim.check.wording import listed, shown, told
from kvsim.core.history import ERASURES, WRITES, History, Key, Operation, operations

GIB = 1 << 30
_SHRUNK_AT_MOST = 400
_TRIALS = 20_000
Writers: TypeAlias = dict[tuple[Key | None, object], list[Operation]]


def sequential(history: History, time_limit_s: float = 10.0, memory_limit_bytes: int = GIB) -> Verdict:
    """Refuted where a circle or an exhausted search shows that no order exists; undecided where a limit came first."""
    limits = Limits.of(time_limit_s, memory_limit_bytes)
    if isinstance(linearizable(history, time_limit_s / 5, memory_limit_bytes), NotRefuted):
        return NotRefuted()
    judged = [o for o in operations(history) if _counts(o)]
    writers: Writers = {}
    for o in judged:
        if o.op in WRITES:
            writers.setdefault((o.key, o.value), []).append(o)
    if orphan := _orphan(judged, writers):
        return Refuted(orphan)
    program = _Program(judged, writers)
    if len(program.acts) * len(program.sessions) * 8 > limits.memory_bytes:
        return Undecided(f"memory limit: {len(program.acts):,} operations in {len(program.sessions):,} sessions")
    if program.all_clear and order_by_time(program.acts, program.sessions):
        return NotRefuted()
    try:
        witness = program.draw_out(limits)
        if witness is not None:
            return Refuted(witness)
        if program.all_clear and order_by_choice(program.forced, limits):
            return NotRefuted()
    except TimeoutError:
        return Undecided(f"time limit, with {len(program.acts):,} operations before an order was found")
    found = find_order(program.steps(), limits, program.drawn())
    if found.order:
        return NotRefuted()
    if found.reason:
        return Undecided(found.reason)
    return Refuted(_smallest(program))


def _orphan(judged: Sequence[Operation], writers: Writers) -> Witness | None:
    for o in judged:
        if o.outcome == "ok" and (value := _asked(o)) is not None and (o.key, value) not in writers:
            return Witness(o.key, (o,), f"{told(o)}, although nobody wrote {shown(value)}")
    return None


class _Program:
    """The operations of each process, and what is known of their order."""

    def __init__(self, judged: Sequence[Operation], writers: Writers) -> None:
        self.writers = writers
        erased = {o.key for o in judged if o.op in ERASURES}
        repeated = {key for (key, _), writers in self.writers.items() if len(writers) > 1}
        self.unclear = erased | repeated
        """Keys of which a read may have more than one source."""
        happened = self._happened(judged)
        choosy = {o.key for o in judged if o.op in ("update", "delete", "create")} | self.unclear
        kept = [o for o in judged if o.invoked in happened or o.key in choosy]
        self.certain = happened
        self.acts = [Act(o, o.key, o.answer if o.op == "read" else o.value, o.op != "read") for o in kept]
        self.sessions: list[list[Act]] = []
        numbers: dict[int, int] = {}
        for number, act in enumerate(self.acts):
            session = numbers.setdefault(act.operation.process, len(numbers))
            if session == len(self.sessions):
                self.sessions.append([])
            act.number, act.session, act.place = number, session, len(self.sessions[session])
            self.sessions[session].append(act)
        self._find_sources()
        self.clear = [act for act in self.acts if act.key not in self.unclear and act.operation.invoked in happened]
        self.all_clear = len(self.clear) == len(self.acts)
        """Whether the order is all that is open."""

    def _happened(self, judged: Sequence[Operation]) -> set[int]:
        """Operations that took place: acknowledged, or the only ones that wrote what somebody found."""
        happened = {o.invoked for o in judged if o.outcome == "ok"}
        due = [o for o in judged if o.outcome == "ok"]
        while due:
            o = due.pop()
            writers = self.writers.get((o.key, _asked(o)), [])
            if len(writers) == 1 and writers[0].invoked not in happened:
                happened.add(writers[0].invoked)
                due.append(writers[0])
        return happened

    def _find_sources(self) -> None:
        by_invocation = {act.operation.invoked: act for act in self.acts}
        for act in self.acts:
            value = _asked(act.operation)
            if value is not None and act.key not in self.unclear and act.operation.invoked in self.certain:
                act.source = by_invocation[self.writers[act.key, value][0].invoked]

    def _asks_absence(self, act: Act) -> bool:
        o = act.operation
        if act.key in self.unclear or o.invoked not in self.certain:
            return False
        return o.op == "create" or (o.op == "read" and o.answer is None) or (o.op == "cas" and o.expected is None)

    # ---- what must come before what

    def draw_out(self, limits: Limits) -> Witness | None:
        """Let the order grow until nothing new follows; a circle refutes. Raises TimeoutError."""
        from kvsim.check.forced_order import ForcedOrder  # imported late, since numpy is slow to import

        self.forced = ForcedOrder(self.acts, len(self.sessions), self.clear)
        try:
            self.forced.draw(filter(self._asks_absence, self.clear), self.clear, limits)
        except Impossible:
            return circle(self.acts, self.forced.all_edges(), "no order keeps what each process did and saw")
        return None

    def drawn(self) -> DrawnOrder:
        """What must come before what, for the search."""
        order = Order(self.sessions, self.acts, self.forced.all_edges(), self.forced.pasts)
        return DrawnOrder(order, self.clear)

    def steps(self) -> list[list[Step]]:
        """The operations of each process for the search."""
        return [
            [Step(a.operation, a.operation.invoked in self.certain, a.key not in self.unclear) for a in own]
            for own in self.sessions
        ]


def _counts(o: Operation) -> bool:
    return o.outcome != "fail" and o.op not in ("scan", "txn") and (o.op != "read" or o.outcome == "ok")


def _asked(o: Operation) -> object:
    """The value that an operation must have found, if it names one."""
    return o.answer if o.op == "read" else o.expected if o.op == "cas" else None


# ---- the witness of an exhausted search


def _smallest(program: _Program) -> Witness:
    """Drop operations while no order exists: reads altogether, writes by leaving open whether they happened."""
    sessions = program.steps()
    if sum(map(len, sessions)) <= _SHRUNK_AT_MOST:
        sessions = _shrunk([[step._replace(clear=False) for step in own] for own in sessions])
    core = sorted((s.operation for own in sessions for s in own if s.certain), key=lambda o: o.invoked)
    keys = {o.key for o in core}
    told_ = [told(o) for o in core[:8]]
    sentence = f"no order that keeps each process's own order explains that {listed(told_)}"
    return Witness(keys.pop() if len(keys) == 1 else None, tuple(core[:8]), sentence)


def _shrunk(sessions: list[list[Step]]) -> list[list[Step]]:
    left = _TRIALS

    def impossible(trial: list[list[Step]]) -> bool:
        nonlocal left
        found: Found = find_order(trial, Limits(float("inf"), max(left, 0)))
        left -= found.configurations + 1
        return not found.order and not found.reason

    if not impossible(sessions):
        return sessions
    for s in range(len(sessions)):
        i = len(sessions[s]) - 1
        while i >= 0 and left > 0:
            own, step = sessions[s], sessions[s][i]
            less = [] if step.operation.op == "read" else [step._replace(certain=False)]
            trial = [*sessions[:s], [*own[:i], *less, *own[i + 1 :]], *sessions[s + 1 :]]
            if step.certain and impossible(trial):
                sessions = trial
            i -= 1
    return sessions
