"""Sequential and causal consistency and session guarantees against their definitions, on small random histories."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.judges import old_reads, shifted
from kvsim.check import NotRefuted, Refuted, Undecided
from kvsim.check.causal import causal, causal_convergence, causal_memory
from kvsim.check.forced_order import ForcedOrder
from kvsim.check.judges import IMPLIES, JUDGES, Limited, consistency_levels, strongest
from kvsim.check.linearizable import linearizable
from kvsim.check.reads_from import Act, _Readings
from kvsim.check.search import Limits
from kvsim.check.sequential import sequential
from kvsim.check.sessions import ALL, session_guarantees
from kvsim.check.version_choice import order_by_choice, order_by_time
from kvsim.core.history import History, Operation, Recorder, operations
from tests.check.worlds import ALL as ALL_OPERATIONS
from tests.check.worlds import REGISTER, run, step, story


def made_up(random: Random, count: int, processes: int, keys: int, pairs: bool = False) -> History:
    """Writes of unique values, and reads that return anything written to their key, or nothing."""
    plan = []
    for token in range(count):
        process, key = random.randrange(processes), "xy"[random.randrange(keys)]
        plan.append((process, "put" if random.random() < 0.5 else "read", key, token))
    values: dict[str, list[Any]] = {"x": [None], "y": [None]}
    for _, op, key, token in plan:
        if op == "put":
            values[key].append(token)
    recorder = Recorder()
    for at, (process, op, key, token) in enumerate(plan):
        if op == "read" and pairs and random.random() < 0.5:
            answers = [["r", k, random.choice(values[k])] for k in "xy"]
            recorder.invoke(process, 2 * at, "txn", None, [["r", k, None] for k in "xy"])
            recorder.complete(process, 2 * at + 1, "ok", answers)
            continue
        recorder.invoke(process, 2 * at, op, key, token if op == "put" else None)  # type: ignore[arg-type]
        recorder.complete(process, 2 * at + 1, "ok", random.choice(values[key]) if op == "read" else None)
    return recorder.history


# ---- the definitions, with no cleverness


def is_sequential(history: History) -> bool:
    found = [o for o in operations(history) if o.outcome != "fail"]
    sessions: dict[int, list[Operation]] = {}
    for o in found:
        if not (o.op == "read" and o.outcome == "info"):
            sessions.setdefault(o.process, []).append(o)

    def extends(left: tuple[tuple[Operation, ...], ...], state: dict[Any, Any]) -> bool:
        if all(o.outcome == "info" for own in left for o in own):
            return True
        for i, own in enumerate(left):
            if own:
                legal, after = step(state.get(own[0].key), own[0])
                if legal and extends((*left[:i], own[1:], *left[i + 1 :]), {**state, own[0].key: after}):
                    return True
        return False

    return extends(tuple(tuple(own) for own in sessions.values()), {})


class Causality:
    """The causal order of reads and writes of unique values, closed by brute force."""

    def __init__(self, history: History) -> None:
        self.all = operations(history)
        self.source = {
            o.invoked: next((w for w in self.all if w.op == "put" and (w.key, w.value) == (o.key, o.answer)), None)
            for o in self.all
            if o.op == "read"
        }
        before = {
            (a.invoked, b.invoked)
            for a in self.all
            for b in self.all
            if a.process == b.process and a.invoked < b.invoked
        }
        before |= {(w.invoked, r) for r, w in self.source.items() if w is not None}
        while True:
            more = {(a, d) for a, b in before for c, d in before if b == c} - before
            if not more:
                break
            before |= more
        self.before = before
        self.cyclic = any(a == b for a, b in before)

    def past(self, o: Operation) -> list[Operation]:
        return [a for a in self.all if a is o or (a.invoked, o.invoked) in self.before]

    def orders(self, found: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
        for order in permutations(found):
            at = {o.invoked: i for i, o in enumerate(order)}
            if all(at[a] < at[b] for a, b in self.before if a in at and b in at):
                yield order

    def right(self, order: Sequence[Operation], reads: Sequence[Operation]) -> bool:
        state: dict[Any, Any] = {}
        for o in order:
            if o.op == "put":
                state[o.key] = o.value
            elif o in reads and state.get(o.key) != o.answer:
                return False
        return True


def is_causal(history: History) -> bool:
    c = Causality(history)
    reads = [o for o in c.all if o.op == "read"]
    return not c.cyclic and all(any(c.right(order, [r]) for order in c.orders(c.past(r))) for r in reads)


def is_causal_memory(history: History) -> bool:
    c = Causality(history)
    if c.cyclic:
        return False
    for process in {o.process for o in c.all}:
        own = [o for o in c.all if o.process == process]
        if not any(c.right(order, own) for order in c.orders(c.past(own[-1]))):
            return False
    return True


def is_convergent(history: History) -> bool:
    c = Causality(history)
    writes = [o for o in c.all if o.op == "put"]
    reads = [o for o in c.all if o.op == "read"]

    def last(order: Sequence[Operation], read: Operation) -> Any:
        seen = c.past(read)
        return next((w.value for w in reversed(order) if w.key == read.key and w in seen), None)

    return not c.cyclic and any(all(last(order, r) == r.answer for r in reads) for order in c.orders(writes))


def keeps(history: History, guarantees: Sequence[str]) -> bool:
    """Try every order of the writes, and every choice of what each read sees."""
    found = operations(history)
    writes = [o for o in found if o.op == "put"]
    reads = [o for o in found if o.op != "put"]
    numbers = range(len(writes))
    subsets = [frozenset(i for i in numbers if bits >> i & 1) for bits in range(1 << len(writes))]
    earlier = {w: [v for v in numbers if writes[v].process == writes[w].process and v < w] for w in numbers}
    read_before = {
        w: [i for i, r in enumerate(reads) if r.process == writes[w].process and r.invoked < writes[w].invoked]
        for w in numbers
    }

    def answers(read: Operation) -> list[tuple[Any, Any]]:
        return [(read.key, read.answer)] if read.op == "read" else [(k, v) for _, k, v in read.answer]

    def fits(read: Operation, seen: frozenset[int], order: Sequence[int]) -> bool:
        return all(
            next((writes[w].value for w in reversed(order) if w in seen and writes[w].key == key), None) == value
            for key, value in answers(read)
        )

    def allowed(i: int, views: Sequence[frozenset[int]]) -> bool:
        read, seen = reads[i], views[i]
        own = {w for w in numbers if writes[w].process == read.process and writes[w].invoked < read.invoked}
        again = [views[j] for j in range(i) if reads[j].process == read.process]
        followed = [views[j] for w in seen for j in read_before[w]]
        return (
            ("read-your-writes" not in guarantees or own <= seen)
            and ("monotonic-reads" not in guarantees or all(view <= seen for view in again))
            and ("monotonic-writes" not in guarantees or all(seen.issuperset(earlier[w]) for w in seen))
            and ("writes-follow-reads" not in guarantees or all(view <= seen for view in followed))
        )

    def kept(views: Sequence[frozenset[int]], order: Sequence[int]) -> bool:
        at = {w: i for i, w in enumerate(order)}
        if not all(allowed(i, views) for i in range(len(reads))):
            return False
        if "monotonic-writes" in guarantees and any(at[v] > at[w] for w in numbers for v in earlier[w]):
            return False
        if "writes-follow-reads" in guarantees:
            return all(v != w and at[v] < at[w] for w in numbers for j in read_before[w] for v in views[j])
        return True

    for order in permutations(numbers):
        possible = [[seen for seen in subsets if fits(read, seen, order)] for read in reads]
        if any(kept(views, order) for views in product(*possible)):
            return True
    return False


# ---- agreement

SEEDS = st.integers(0, 1 << 32)


@settings(max_examples=800, deadline=None)
@given(SEEDS, st.integers(4, 8), st.integers(2, 3), st.integers(1, 2))
def test_sequential_agrees_with_the_definition(seed: int, count: int, processes: int, keys: int) -> None:
    history = made_up(Random(seed), count, processes, keys)
    assert isinstance(sequential(history), NotRefuted) == is_sequential(history)


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.booleans(), st.sampled_from((1.0, 0.6)), st.integers(2, 3))
def test_sequential_agrees_on_all_operations(seed: int, unique: bool, honest: float, clients: int) -> None:
    history = run(Random(seed), 7, clients, ALL_OPERATIONS, unique, honest, unknown=0.1, keys=2)
    verdict = sequential(history)
    assert not isinstance(verdict, Undecided)
    assert isinstance(verdict, NotRefuted) == is_sequential(history)


@pytest.mark.parametrize(
    ("judge", "definition"),
    [(causal, is_causal), (causal_memory, is_causal_memory), (causal_convergence, is_convergent)],
)
@settings(max_examples=600, deadline=None)
@given(seed=SEEDS, count=st.integers(4, 7), processes=st.integers(2, 3))
def test_causality_agrees_with_the_definition(
    judge: Any, definition: Any, seed: int, count: int, processes: int
) -> None:
    history = made_up(Random(seed), count, processes, 2)
    assert isinstance(judge(history), NotRefuted) == definition(history)


@settings(max_examples=500, deadline=None)
@given(
    SEEDS,
    st.integers(2, 6),
    st.sampled_from([ALL, *((guarantee,) for guarantee in ALL), ALL[:2], ALL[2:], ALL[1:3]]),
)
def test_session_guarantees_agree_with_the_definition(seed: int, count: int, guarantees: tuple[str, ...]) -> None:
    history = made_up(Random(seed), count, 2, 2, pairs=True)
    if sum(o.op != "put" for o in operations(history)) <= 3 and sum(o.op == "put" for o in operations(history)) <= 4:
        assert isinstance(session_guarantees(history, guarantees), NotRefuted) == keeps(history, guarantees)


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.integers(4, 12), st.integers(2, 4))
def test_all_session_guarantees_of_single_reads_and_writes_are_causal_convergence(
    seed: int, count: int, processes: int
) -> None:
    """As which long histories are judged."""
    history = made_up(Random(seed), count, processes, 2)
    assert session_guarantees(history).name == causal_convergence(history).name


def test_histories_whose_writes_are_too_many_for_sets_are_judged_too() -> None:
    history = old_reads(2_000, 5, 10)
    writes = sum(o.op == "put" for o in operations(history))
    small = 100_000
    assert writes * writes // 4 > small
    for guarantees in (ALL, *((guarantee,) for guarantee in ALL[:2])):
        assert isinstance(session_guarantees(history, guarantees, memory_limit_bytes=small), NotRefuted)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(3, 8))
def test_stronger_levels_imply_weaker_ones(seed: int, count: int) -> None:
    history = made_up(Random(seed), count, 3, 2)
    kept = {
        judge: isinstance(judge(history), NotRefuted)
        for judge in (sequential, causal, causal_memory, causal_convergence)
    }
    assert not kept[sequential] or (kept[causal_memory] and kept[causal_convergence])
    assert kept[causal] or not (kept[causal_memory] or kept[causal_convergence])


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.integers(3, 7), st.booleans())
def test_all_levels_at_once_are_judged_as_each_alone(seed: int, count: int, pairs: bool) -> None:
    """Also where several keys are read at once, which counts for some levels alone."""
    history = made_up(Random(seed), count, 3, 2, pairs)
    together = {level: verdict.name for level, verdict in consistency_levels(history).items()}
    assert together == {level: JUDGES[level].judge(history, Limited()).name for level in IMPLIES}


# ---- long histories whose order is for the judge to find


def test_old_reads_of_writes_in_one_order_are_sequential_and_not_linearizable() -> None:
    history = old_reads(2_000, 20, 20)
    assert isinstance(linearizable(history), Refuted)
    assert isinstance(sequential(history, time_limit_s=300.0), NotRefuted)


@pytest.mark.parametrize("keys", [2, 30])
def test_clients_whose_clocks_differ_are_sequential_and_not_linearizable(keys: int) -> None:
    history = shifted(1_500, 8, keys)
    assert isinstance(linearizable(history), Refuted)
    assert isinstance(sequential(history, time_limit_s=300.0), NotRefuted)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 4), st.integers(1, 3))
def test_an_order_that_was_guessed_explains_all_answers(seed: int, processes: int, keys: int) -> None:
    acts, own, forced = drawn(run(Random(seed), 60, processes, REGISTER, unknown=0.0, keys=keys))
    for order in (order_by_time(acts, own), order_by_choice(forced, Limits.of(60.0, 1 << 30))):
        if order is not None:
            state: dict[Any, Any] = {}
            for act in order:
                legal, state[act.key] = step(state.get(act.key), act.operation)
                assert legal
            assert sorted(act.number for act in order) == list(range(len(acts)))
            for mine in own:
                assert [act for act in order if act.session == mine[0].session] == mine


def drawn(history: History) -> tuple[list[Act], list[list[Act]], ForcedOrder]:
    """The acts of a history of reads and writes, by session too, and what must come before what."""
    found = _Readings(history)
    sessions = next(found.all())
    forced = ForcedOrder(sessions.acts, len(sessions.sessions), sessions.acts)
    absent = [act for act in sessions.acts if not act.is_write and act.source is None]
    forced.draw(absent, sessions.acts, Limits.of(60.0, 1 << 30))
    return sessions.acts, sessions.sessions, forced


# ---- witnesses and limits

PASSED_ON = """
    0 put 1 1 2
    0 put 2 3 4
    1 read 2 5 6
    1 put 3 7 8
    2 read 3 9 10
    2 read 1 11 12
"""


def test_a_causal_witness_tells_how_the_newer_write_came_to_the_reader() -> None:
    verdict = causal(story(PASSED_ON))
    assert isinstance(verdict, Refuted)
    assert verdict.witness.sentence == (
        'process 2 read 1 from "x" at 12.000 s, although process 0\'s write of 2 to "x" had replaced that in its past: '
        'process 0\'s write of 1 to "x", then in the same session process 0\'s write of 2 to "x". And the reader knew: '
        'process 0\'s write of 2 to "x", which was seen when process 1 read 2 from "x" at 6.000 s, then in the same '
        'session process 1\'s write of 3 to "x", which was seen when process 2 read 3 from "x" at 10.000 s, then in '
        'the same session process 2 read 1 from "x" at 12.000 s'
    )


def test_a_causal_witness_tells_of_keys_that_were_read_at_once() -> None:
    recorder = Recorder()
    for at, key in enumerate("xy"):
        recorder.invoke(0, 2 * at, "put", key, 1)
        recorder.complete(0, 2 * at + 1, "ok")
    recorder.invoke(1, 5, "txn", None, [["r", "x", None], ["r", "y", None]])
    recorder.complete(1, 6, "ok", [["r", "x", None], ["r", "y", 1]])
    verdict = causal(recorder.history)
    assert isinstance(verdict, Refuted)
    assert verdict.witness.sentence.endswith(
        ', then in the same session process 0\'s write of 1 to "y", which was seen when several keys were read at once '
        'and process 1\'s transaction found no "x"'
    )
    assert strongest(consistency_levels(recorder.history)) == [
        "read-your-writes", "monotonic-reads", "writes-follow-reads",
    ]  # fmt: skip


def test_a_session_witness_names_the_guarantee() -> None:
    verdict = session_guarantees(story("0 put 1 1 2\n0 read nothing 3 4"), ["read-your-writes"])
    assert isinstance(verdict, Refuted)
    assert verdict.witness.sentence == (
        "process 0 found the key absent at 4.000 s, although process 0's write of 1 was its own and earlier "
        "(read your writes)"
    )


def test_a_read_that_may_have_several_sources_refutes_only_if_all_do() -> None:
    absent_or_deleted = "0 put 1 1 2\n0 delete 3 4\n0 read nothing 5 6"
    assert isinstance(session_guarantees(story(absent_or_deleted)), NotRefuted)
    assert isinstance(session_guarantees(story("0 put 1 1 2\n0 read nothing 3 4\n0 delete 5 6")), Refuted)


def test_limits_make_the_verdict_unknown() -> None:
    history = made_up(Random(4), 400, 6, 2)
    assert isinstance(sequential(history, time_limit_s=0.0), Undecided | Refuted)
    assert isinstance(session_guarantees(history, memory_limit_bytes=100), Undecided)
    assert isinstance(causal(history, memory_limit_bytes=100), Undecided)
