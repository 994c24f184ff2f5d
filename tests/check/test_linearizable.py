"""Linearizability: textbook examples, sentences of witnesses, and agreement of both engines with the definition."""

from itertools import combinations
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.check import NotRefuted, Refuted, Undecided, linearizable
from kvsim.check.linearizable import by_key
from kvsim.check.search import Explained, Limits, Stuck, search
from kvsim.check.zones import judge_by_zones
from kvsim.core.history import History, Operation, operations
from tests.check.worlds import ALL, CAS_REGISTER, NEVER_ERASED, REGISTER, linearizable_by_definition, run, story

MIXES = (ALL, REGISTER, CAS_REGISTER, NEVER_ERASED, ("create", "delete", "read"), ("update", "put", "read", "delete"))

HOLDS = {
    "a read during a write may see the old or the new value": """
        0 put 1    1 2
        0 put 2    3 6
        1 read 1   4 5
        2 read 2   4 5
    """,
    "overlapping writes in either order": """
        0 put 1    1 4
        1 put 2    2 3
        2 read 1   5 6
    """,
    "an unknown write that is never seen": """
        0 put 1    1 2
        1 put 2    3 4 info
        2 read 1   5 6
        2 read 1   7 8
    """,
    "an unknown write that takes effect long after": """
        0 put 1    1 2
        1 put 2    3 4 info
        2 read 1   5 6
        2 read 2   7 8
    """,
    "an unknown write that alone explains an update": """
        0 put 1    1 2 info
        1 update 2 3 4
    """,
    "an unknown delete that alone explains a second create": """
        0 create 1 1 2
        1 delete   3 4 info
        2 create 2 5 6
    """,
    "two creates with a delete between": """
        0 create 1 1 2
        1 delete   3 4
        0 create 2 5 6
    """,
    "a compare-and-set chain against the order of its ends": """
        0 put 1    1 2
        1 cas 2 3  3 9
        2 cas 1 2  4 8
        0 read 3   10 11
    """,
    "a blind delete of what is not there": """
        0 remove   1 2
        0 create 1 3 4
        0 remove   5 6
        0 remove   7 8
        0 read nothing 9 10
    """,
    "an unknown delete that is needed later, not at the first chance": """
        1 cas nothing 1   1 8
        0 put 2           2 4
        2 remove          5 6 info
        3 cas nothing 2   11 12
    """,
    "a value replaced, and written again by a write that is still open": """
        0 put 1    1 9
        1 put 1    2 3
        2 put 2    4 5
        3 read 1   6 7
    """,
    "a value written twice, read between and after": """
        0 put 1    1 2
        0 put 2    3 4
        0 put 1    5 6
        1 read 1   7 8
    """,
}

REFUTED = {
    "process 3 read 0 at 1.204 s, although process 1's write of 1 was acknowledged at 1.100 s, begun after process 0's "
    "write of 0 was acknowledged at 1.000 s, and nothing wrote 0 again": """
        0 put 0    0.9  1.0
        1 put 1    1.05 1.1
        3 read 0   1.2  1.204
    """,
    "process 1 found the key absent at 4.000 s, although process 0's write of 1 was acknowledged at 2.000 s and "
    "nothing deleted it": """
        0 put 1        1 2
        1 read nothing 3 4
    """,
    "process 2 read 0 at 8.000 s, although process 1 read 1 at 6.000 s, begun after process 0's write of 0 was "
    "acknowledged at 2.000 s, and nothing wrote 0 again": """
        0 put 0    1 2
        3 put 1    1.5 9
        1 read 1   5 6
        2 read 0   7 8
    """,
    "process 2 read 0 at 8.000 s, begun after process 3's write of 1 was acknowledged at 3.000 s, although process 1 "
    "read 1 at 6.000 s, begun after process 0's write of 0 was acknowledged at 2.000 s: so 1 replaced 0, and nothing "
    "wrote 0 again": """
        0 put 0    1 2
        3 put 1    1.5 3
        1 read 1   5 6
        2 read 0   7 8
    """,
    "process 1 read 7 at 4.000 s, although nobody wrote 7": """
        0 put 1    1 2
        1 read 7   3 4
    """,
    "process 1 read 2 at 6.000 s, although process 0's write of 2 failed (at 4.000 s) and nobody else wrote it": """
        0 put 1    1 2
        0 put 2    3 4 fail
        1 read 2   5 6
    """,
    "process 1 read 2 at 2.000 s, although process 0's write of 2 began only at 3.000 s": """
        1 read 2   1 2
        0 put 2    3 4
    """,
    "process 1 read 1 at 6.000 s, although process 0's delete was acknowledged at 4.000 s, begun after process 0's "
    "create of 1 was acknowledged at 2.000 s, and nothing wrote 1 again": """
        0 create 1 1 2
        0 delete   3 4
        1 read 1   5 6
    """,
    "process 2's cas from 1 to 3 was acknowledged at 6.000 s, although process 1's cas from 1 to 2 was acknowledged at "
    "5.000 s and nothing wrote 1 again": """
        0 put 1    1 2
        1 cas 1 2  3 5
        2 cas 1 3  4 6
    """,
    "process 1's create of 2 was acknowledged at 4.000 s, although process 0's create of 1 was acknowledged at 3.000 s "
    "and nothing deleted it": """
        0 create 1 1 3
        1 create 2 2 4
    """,
    "process 0's update to 2 was acknowledged at 2.000 s, although nothing had been written that it could update": """
        0 update 2 1 2
    """,
    "process 0's update to 2 was acknowledged at 2.500 s, although nothing had been written that it could update": """
        0 update 2 1 2.5
        1 put 1    3 4
    """,
    "process 0's update to 2 was acknowledged at 3.000 s, although nothing had been written that it could update": """
        1 put 1    1 1.5 info
        0 update 2 2 3
        0 read 1   4 5
    """,
    "process 2's delete was acknowledged at 6.000 s, although process 1's delete was acknowledged at 5.000 s, and "
    "nothing was there to delete": """
        0 create 1 1 2
        1 delete   3 5
        2 delete   4 6
    """,
    "process 0 read 1 at 8.000 s, although process 0's write of 2 was acknowledged at 6.000 s, and nothing wrote 1 "
    "again": """
        0 put 1    1 2
        0 put 1    3 4
        0 put 2    5 6
        0 read 1   7 8
    """,
    "process 1's delete was acknowledged at 6.000 s, although process 1's delete was acknowledged at 2.500 s, and "
    "nothing was there to delete": """
        0 put 1    1 1.5 info
        1 delete   2 2.5
        1 delete   5 6
    """,
    "process 2's cas from 0 to 1, of unknown outcome, began at 2.500 s, although process 3's cas from 0 to 4 was "
    "acknowledged at 4.000 s and nothing wrote 0 again; process 2's cas from 0 to 1 took place, since process 1 read 1 "
    "at 6.000 s": """
        0 put 0    1 2
        2 cas 0 1  2.5 3 info
        3 cas 0 4  2.5 4
        1 read 1   5 6
    """,
    "process 1's cas from 1 to 2 was acknowledged at 2.000 s, but every value that leads to it was itself made from "
    "it": """
        0 cas 2 1  1 2
        1 cas 1 2  1 2
    """,
}


@pytest.mark.parametrize("text", HOLDS.values(), ids=HOLDS)
def test_what_some_order_explains_is_not_refuted(text: str) -> None:
    assert linearizable(story(text)) == NotRefuted()
    assert isinstance(search(of_key(story(text)), no_limits()), Explained)


@pytest.mark.parametrize(("sentence", "text"), REFUTED.items(), ids=range(len(REFUTED)))
def test_the_witness_says_what_contradicts_what(sentence: str, text: str) -> None:
    verdict = linearizable(story(text))
    assert isinstance(verdict, Refuted)
    assert verdict.witness.sentence == sentence
    assert isinstance(search(of_key(story(text)), no_limits()), Stuck)


def test_keys_are_judged_apart() -> None:
    first, second = story("0 put 1 1 2\n1 read 1 3 4"), story("0 put 1 1 2\n1 read nothing 3 4")
    moved = [msgspec.structs.replace(e, key="y", index=e.index + 4, process=e.process + 9) for e in second.events]
    verdict = linearizable(History([*first.events, *moved]))
    assert isinstance(verdict, Refuted)
    assert verdict.witness.key == "y"
    assert {o.key for o in verdict.witness.operations} == {"y"}


def test_scans_and_transactions_are_not_part_of_it() -> None:
    lines = story("0 put 1 1 2").events
    scan = [
        msgspec.structs.replace(lines[0], index=2, op="scan", value={"end": None, "limit": 9}),
        msgspec.structs.replace(lines[1], index=3, op="scan", value=[]),
    ]
    assert linearizable(History([*lines, *scan])) == NotRefuted()


def of_key(history: History) -> list[Operation]:
    return next(iter(by_key(operations(history)).values()), [])


@settings(max_examples=400, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.integers(2, 9),
    st.integers(2, 4),
    st.sampled_from(MIXES),
    st.booleans(),
    st.sampled_from((1.0, 0.8, 0.3)),
    st.sampled_from((0.0, 0.1, 0.4)),
)
def test_both_engines_agree_with_the_definition(
    random: Random, count: int, clients: int, mix: tuple[str, ...], unique: bool, honest: float, unknown: float
) -> None:
    found = of_key(run(random, count, clients, mix, unique, honest, unknown))
    if not found:
        return
    expected = linearizable_by_definition(found)
    assert isinstance(search(found, no_limits()), Explained) == expected
    by_zones = judge_by_zones(found)
    if by_zones is not None:
        assert isinstance(by_zones, NotRefuted) == expected
    elif unique:
        assert any(o.op in ("delete", "remove") for o in found), "zones decide whatever knows no absence but the first"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(2, 8), st.sampled_from(MIXES), st.sampled_from((1.0, 0.97)))
def test_zones_and_search_agree_on_longer_histories(
    seed: int, clients: int, mix: tuple[str, ...], honest: float
) -> None:
    found = of_key(run(Random(seed), 150, clients, mix, True, honest, 0.05))
    by_zones = judge_by_zones(found)
    if by_zones is not None:
        assert isinstance(by_zones, NotRefuted) == isinstance(search(found, no_limits()), Explained)


@settings(max_examples=1_500, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(MIXES), st.booleans(), st.booleans())
def test_swapping_two_results_is_refuted_or_harmless_by_definition(
    seed: int, mix: tuple[str, ...], unique: bool, answers: bool
) -> None:
    """The answers of two reads, or the outcomes of two changes of which one failed."""
    random = Random(seed)
    events = run(random, 10, 3, mix, unique).events
    ended = [e for e in events if e.type in (("ok",) if answers else ("ok", "fail")) and (e.op == "read") == answers]
    pairs = [(a, b) for a, b in combinations(ended, 2) if (a.value != b.value if answers else a.type != b.type)]
    if not pairs:
        return
    a, b = random.choice(pairs)
    for mine, other in ((a, b), (b, a)):
        value = other.value if answers else mine.value
        events[mine.index] = msgspec.structs.replace(mine, type=other.type, value=value)
    swapped = History(events)
    verdict = linearizable(swapped)
    assert isinstance(verdict, NotRefuted) == linearizable_by_definition(of_key(swapped))


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(MIXES), st.booleans(), st.sampled_from((0.1, 0.4)))
def test_the_witness_alone_has_no_legal_order(
    random: Random, mix: tuple[str, ...], unique: bool, unknown: float
) -> None:
    verdict = linearizable(run(random, 12, 3, mix, unique, honest=0.6, unknown=unknown))
    if isinstance(verdict, Refuted):
        told = [o for o in verdict.witness.operations if o.outcome != "fail"]
        assert told
        assert not linearizable_by_definition(told)


def test_a_witness_from_a_long_history_is_short() -> None:
    random = Random(5)
    events = run(random, 600, 6, ALL, unknown=0.02).events
    reads = [e for e in events if e.op == "read" and e.type == "ok"]
    refuted = 0
    for read in random.sample(reads, 20):
        other = random.choice(reads)
        spoilt = msgspec.structs.replace(read, value=other.value)
        verdict = linearizable(History([*events[: read.index], spoilt, *events[read.index + 1 :]]))
        if isinstance(verdict, Refuted):
            refuted += 1
            assert len(verdict.witness.operations) <= 8
    assert refuted > 10


@pytest.mark.parametrize("unique", [True, False])
def test_the_search_stays_small_where_many_operations_overlap(unique: bool) -> None:
    found = of_key(run(Random(6), 2000, 20, ALL, unique, unknown=0.1))
    explained = search(found, Limits(float("inf"), 20_000))
    assert isinstance(explained, Explained)
    assert explained.configurations < len(found)


def test_the_search_soon_sees_that_overlapping_writes_are_all_alike() -> None:
    writes = "\n".join(f"{i} put {i} 1 {i + 10}" for i in range(16))
    found = search(of_key(story(writes + "\n90 read 99 50 51")), Limits(float("inf"), 20_000))
    assert isinstance(found, Stuck)
    assert found.configurations < 100


def test_the_search_soon_sees_that_a_value_would_be_left_too_early() -> None:
    history = run(Random(3), 300, 12, ("put", "read"), unknown=0.0)
    events = history.events
    late = next(e for e in reversed(events) if e.op == "read" and e.type == "ok")
    events[late.index] = msgspec.structs.replace(late, value=next(e.value for e in events[400:] if e.op == "put"))
    found = search(of_key(history), no_limits())
    assert isinstance(found, Stuck)
    assert found.configurations < 2_000


def test_a_limit_makes_the_verdict_unknown_and_says_where() -> None:
    values_repeat = run(Random(1), 3000, 8, REGISTER, unique=False, unknown=0.0)
    verdict = linearizable(values_repeat, memory_limit_bytes=256 * 100)
    assert isinstance(verdict, Undecided)
    assert verdict.reason.startswith('key "k0": memory limit, at event ')


def test_no_time_leaves_the_verdict_unknown() -> None:
    values_repeat = run(Random(1), 3000, 8, REGISTER, unique=False, unknown=0.0)
    verdict = linearizable(values_repeat, time_limit_s=0.0)
    assert isinstance(verdict, Undecided)
    assert "time limit" in verdict.reason


def no_limits() -> Limits:
    return Limits(float("inf"), 1 << 22)
