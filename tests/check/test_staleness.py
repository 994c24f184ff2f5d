"""Staleness: how far behind each read was, by the definition and by hand."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.check import staleness
from kvsim.core.history import ERASURES, WRITES, History, Operation, operations
from tests.check.worlds import ALL, REGISTER, run, story

S = 1_000_000_000


def test_a_read_of_the_latest_value_is_fresh() -> None:
    assert staleness(story("0 put 1 1 2\n0 put 2 3 4\n1 read 2 5 6")) == [0]


def test_staleness_counts_from_the_first_newer_acknowledgement() -> None:
    assert staleness(story("0 put 1 1 2\n0 put 2 3 4\n0 put 3 5 6\n1 read 1 9 10")) == [5 * S]


def test_a_write_still_open_when_the_read_begins_makes_nobody_stale() -> None:
    assert staleness(story("0 put 1 1 2\n0 put 2 3 6\n1 read 1 5 7")) == [0]


def test_a_write_that_overlapped_the_returned_one_is_not_newer() -> None:
    assert staleness(story("0 put 1 1 4\n1 put 2 2 3\n2 read 1 5 6")) == [0]


def test_absence_is_as_old_as_the_first_write_or_the_last_delete() -> None:
    assert staleness(story("0 put 1 1 2\n1 read nothing 5 6")) == [3 * S]
    assert staleness(story("0 put 1 1 2\n0 delete 3 4\n1 read nothing 5 6")) == [0]
    assert staleness(story("0 put 1 1 2\n0 delete 3 4\n1 read 1 5 6")) == [1 * S]


def test_a_key_that_nobody_wrote_is_fresh() -> None:
    assert staleness(story("1 read nothing 5 6")) == [0]


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from((ALL, REGISTER)), st.booleans())
def test_it_agrees_with_the_definition(random: Random, mix: tuple[str, ...], unique: bool) -> None:
    history = run(random, 12, 3, mix, unique, honest=0.5)
    assert staleness(history) == by_definition(history)


def by_definition(history: History) -> list[int]:
    found = operations(history)
    changes = [o for o in found if o.op in WRITES | ERASURES and o.outcome != "fail"]

    def behind(read: Operation, write: Operation | None) -> int:
        ended = write.completed if write else -1
        newer = [o for o in changes if o.invoked > ended and o.completed < read.invoked]
        return max((read.invoked_ns - (o.completed_ns or 0) for o in newer), default=0)

    def of(read: Operation) -> int:
        began = [o for o in changes if o.invoked < read.completed]
        wrote: list[Operation | None] = [o for o in began if (None if o.op in ERASURES else o.value) == read.answer]
        if read.answer is None:
            wrote.append(None)
        return min((behind(read, o) for o in wrote), default=0)

    return [of(o) for o in found if o.op == "read" and o.outcome == "ok"]
