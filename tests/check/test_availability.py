"""Outages: times without a success, by client and by key range."""

from kvsim.check import Outage, outages
from kvsim.core.history import Recorder
from tests.check.worlds import story

S = 1_000_000_000


def test_an_outage_lasts_from_the_last_success_to_the_next() -> None:
    history = story("0 put 1 1 2\n0 put 2 3 4 fail\n0 put 3 5 6 fail\n0 put 4 7 8")
    assert outages(history, 3 * S) == [
        Outage('keys "x" to "x"', 2 * S, 8 * S, 2),
        Outage("process 0", 2 * S, 8 * S, 2),
    ]
    assert outages(history, 7 * S) == []


def test_who_does_not_ask_misses_nothing() -> None:
    assert outages(story("0 put 1 1 2\n0 put 2 50 51"), S) == []


def test_an_unknown_outcome_at_the_end_is_no_success() -> None:
    assert outages(story("0 put 1 1 2\n1 put 2 3 9 info"), 5 * S) == [
        Outage('keys "x" to "x"', 2 * S, 9 * S, 1),
        Outage("process 1", 3 * S, 9 * S, 1),
    ]


def test_keys_that_others_still_reach_show_which_range_is_out() -> None:
    recorder = Recorder()
    for second in range(10):
        for process, key in enumerate("abcd"):
            recorder.invoke(process, second * S, "read", key)
            recorder.complete(process, second * S + process, "fail" if key > "b" and 2 < second < 8 else "ok")
    found = [outage for outage in outages(recorder.history, 4 * S, key_ranges=2) if outage.of.startswith("keys")]
    assert [(outage.of, outage.asked) for outage in found] == [('keys "c" to "d"', 10)]


def test_nothing_asked_nothing_missed() -> None:
    assert outages(Recorder().history, S) == []
