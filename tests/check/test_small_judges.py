"""Convergence, WORM, exactly once and bounded staleness: what they accept, what they refute, and why."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.check import NotRefuted, Refuted, Undecided, Verdict
from kvsim.check.convergence import convergence
from kvsim.check.exactly_once import exactly_once
from kvsim.check.staleness import bounded_staleness
from kvsim.check.worm import worm
from kvsim.core.history import ERASURES, WRITES, History, Recorder, operations
from tests.check.worlds import ALL, REGISTER, run, story

S = 1_000_000_000


def why(verdict: Verdict) -> str:
    assert isinstance(verdict, Refuted), verdict
    return verdict.witness.sentence


# ---- convergence


def test_readers_that_agree_have_converged() -> None:
    assert convergence(story("0 put 1 1 4\n1 put 2 2 3\n2 read 2 5 6\n3 read 2 7 8"), 4 * S) == NotRefuted()


def test_readers_that_differ_have_not() -> None:
    found = convergence(story("0 put 1 1 4\n1 put 2 2 3\n2 read 2 5 6\n3 read 1 7 8"), 4 * S)
    assert why(found).startswith("process 2 read 2 at 6.000 s and process 3 read 1 at 8.000 s")


def test_reads_begun_before_the_quiet_do_not_count() -> None:
    assert convergence(story("0 put 1 1 2\n0 put 2 3 4\n2 read 1 5 6\n3 read 2 7 8"), 7 * S) == NotRefuted()


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("0 put 1 1 2\n1 put 2 3 4 fail\n2 read 2 5 6", "whose write had failed"),
        ("0 put 1 1 2\n2 read 7 5 6", "which nobody wrote"),
        (
            "0 put 1 1 2\n2 read nothing 5 6",
            "process 0's write of 1 was acknowledged at 2.000 s and nothing deleted it",
        ),
    ],
)
def test_agreement_on_what_cannot_be_is_no_convergence(text: str, because: str) -> None:
    assert because in why(convergence(story(text), 4 * S))


def test_a_delete_that_may_be_last_explains_absence() -> None:
    assert convergence(story("0 put 1 1 2\n1 delete 3 4 info\n2 read nothing 5 6"), 4 * S) == NotRefuted()


def test_a_store_that_is_not_quiet_is_not_judged() -> None:
    found = convergence(story("0 put 1 1 9\n2 read 1 5 6"), 4 * S)
    assert isinstance(found, Undecided)
    assert "not quiet from 4.000 s on" in found.reason


# ---- worm


def test_a_key_written_once_keeps_the_promise() -> None:
    assert worm(story("0 create 1 1 2\n1 create 2 3 4 fail\n1 read nothing 5 6\n1 read 1 7 8")) == NotRefuted()


@pytest.mark.parametrize(
    "text",
    [
        "0 create 1 1 2\n1 put 2 3 4",
        "0 create 1 1 2\n1 delete 3 4",
        "0 create 1 1 2 info\n1 read 1 3 4\n1 read 2 5 6",
        "0 put 1 1 2\n0 remove 3 4",
    ],
)
def test_a_change_breaks_it(text: str) -> None:
    assert why(worm(story(text))).startswith("process ")


# ---- exactly once


def test_a_value_that_comes_back_was_written_twice() -> None:
    text = "0 put 1 1 2\n1 read 1 3 4\n2 put 2 5 6\n1 read 2 7 8\n1 read 1 9 10"
    assert why(exactly_once(story(text))) == (
        "process 1 read 2 at 8.000 s and then process 1 read 1 at 10.000 s: no order explains that unless "
        "process 0's write of 1 happened twice"
    )


def test_what_an_order_explains_happened_once() -> None:
    assert exactly_once(story("0 put 1 1 9\n1 put 2 2 3\n2 read 2 4 5\n2 read 1 6 7")) == NotRefuted()


def test_what_a_second_effect_does_not_explain_is_something_else() -> None:
    assert exactly_once(story("0 put 1 1 2\n1 read 7 3 4")) == NotRefuted()


def test_an_element_that_stands_twice_in_a_list_was_appended_twice() -> None:
    recorder = Recorder()
    recorder.invoke(0, 1, "txn", None, [["append", "x", 1]])
    recorder.complete(0, 2, "ok", [["append", "x", 1]])
    recorder.invoke(0, 3, "txn", None, [["r", "x", None]])
    recorder.complete(0, 4, "ok", [["r", "x", [1, 1]]])
    assert "with 1 twice" in why(exactly_once(recorder.history))


# ---- bounded staleness


def test_versions_and_seconds_bound_how_far_behind_a_read_may_be() -> None:
    behind = story("0 put 1 1 2\n0 put 2 3 4\n0 put 3 5 6\n1 read 1 9 10")
    assert bounded_staleness(behind, versions=2) == NotRefuted()
    assert bounded_staleness(behind, seconds=5) == NotRefuted()
    assert why(bounded_staleness(behind, versions=1)).endswith("acknowledged at 4.000 s: it was 2 versions behind")
    assert why(bounded_staleness(behind, seconds=4.9)).endswith("acknowledged at 4.000 s: it was 5 s behind")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from((ALL, REGISTER)), st.booleans())
def test_versions_are_counted_as_the_definition_says(seed: int, mix: tuple[str, ...], unique: bool) -> None:
    history = run(Random(seed), 14, 3, mix, unique, honest=0.5)
    behind = most_versions_behind(history)
    assert bounded_staleness(history, versions=behind) == NotRefuted()
    assert behind == 0 or isinstance(bounded_staleness(history, versions=behind - 1), Refuted)


def most_versions_behind(history: History) -> int:
    found = operations(history)
    changes = [o for o in found if o.op in WRITES | ERASURES and o.outcome != "fail"]
    most = 0
    for read in found:
        if read.op != "read" or read.outcome != "ok":
            continue
        ends = [
            o.completed
            for o in changes
            if (None if o.op in ERASURES else o.value) == read.answer and o.invoked < read.completed
        ]
        if read.answer is None:
            ends.append(-1)
        if ends:
            most = max(most, sum(o.invoked > max(ends) and o.completed < read.invoked for o in changes))
    return most
