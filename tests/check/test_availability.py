"""Outages: times without a success, by client and by key range."""

from kvsim.check import Outage, outages
from kvsim.check.availability import clients_of
from kvsim.core.history import Recorder
from tests.check.worlds import story

S = 1_000_000_000


def test_an_outage_lasts_from_the_first_question_in_vain_to_the_last() -> None:
    history = story("0 put 1 1 2\n0 put 2 3 4 fail\n0 put 3 5 6 fail\n0 put 4 7 8")
    assert outages(history, 3 * S) == [
        Outage("client 0", 3 * S, 6 * S, 2),
        Outage('keys "x" to "x"', 3 * S, 6 * S, 2),
    ]
    assert outages(history, 4 * S) == []


def test_who_does_not_ask_misses_nothing() -> None:
    assert outages(story("0 put 1 1 2\n0 put 2 50 51"), S) == []
    assert [o.end_ns - o.begin_ns for o in outages(story("0 put 1 1 2\n0 put 2 9 10 fail\n0 put 3 50 51"), 0)] == [S, S]


def test_an_unknown_outcome_at_the_end_is_no_success() -> None:
    assert outages(story("0 put 1 1 2\n1 put 2 3 9 info"), 5 * S) == [
        Outage("client 1", 3 * S, 9 * S, 1),
        Outage('keys "x" to "x"', 3 * S, 9 * S, 1),
    ]


def test_a_client_that_goes_on_under_new_numbers_has_one_outage() -> None:
    text = """
        0 put 1    1 2
        7 put 2    1 20
        0 put 3    3 6 info
        8 put 4    6 9 info
        9 put 5    9 10
    """
    assert [o for o in outages(story(text), 3 * S) if o.of == "client 0"] == [Outage("client 0", 3 * S, 9 * S, 2)]


def test_clients_take_new_numbers_in_the_order_in_which_their_old_ones_ended() -> None:
    text = "0 put 1 1 5 info\n1 put 2 2 4 info\n2 read 1 6 7\n3 read 1 8 9\n4 read 1 10 11"
    assert clients_of(story(text)) == {0: 0, 1: 1, 2: 1, 3: 0, 4: 4}


def test_a_question_that_was_open_at_a_success_counts_from_there_and_a_success_ends_what_is_still_asked() -> None:
    text = "0 put 1 1 9 info\n1 put 2 2 4\n2 put 3 6 7"
    found = [(o.begin_ns, o.end_ns, o.asked) for o in outages(story(text), 0) if o.of.startswith("keys")]
    assert sorted(found) == [(1 * S, 4 * S, 1), (4 * S, 7 * S, 1), (7 * S, 9 * S, 1)]


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
