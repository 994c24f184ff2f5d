"""Raft's claims, each under the section that makes it: of the paper of 2014, or of the thesis where that is said."""

import pytest

from kvsim.core.message import MILLISECOND, Failure
from kvsim.core.operation import Create, Found, Put, Remove, RequestId, Update, Written
from kvsim.strategies.replication.raft.messages import Appended, AppendEntries, LogEntry, RequestVote, Vote
from tests.strategies.raft.group import Group

X1, X2, X3 = (LogEntry(1, Put(RequestId("z", n), b"x", b"%d" % n)) for n in (1, 2, 3))


def in_term(entry: LogEntry, term: int) -> LogEntry:
    return LogEntry(term, entry.operation)


# 5.1 Terms ------------------------------------------------------------------------------------------------------------


def test_5_1_a_leader_that_hears_of_a_later_term_becomes_a_follower() -> None:
    group = Group("a b c", outsiders=("c",))
    group.elect("a")
    group.request_vote("a", "c", term=9)
    assert group.state("a").role == "follower" and group.state("a").current_term == 9


def test_5_1_a_request_of_an_earlier_term_is_refused() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 3, (0, 0))
    group.sync("a")
    old = group.append("a", "c", 2, (0, 0), X1)
    assert group.answer(old, "c") == Appended(1, 3, False, 0)
    assert group.log("a") == []


# 5.2 Leader election --------------------------------------------------------------------------------------------------


def test_5_2_a_server_votes_once_in_a_term_for_who_comes_first() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    first, second, again = (group.request_vote("a", who, 1) for who in ("b", "c", "b"))
    group.sync("a")
    assert group.answer(first, "b") == Vote(1, 1, True)
    assert group.answer(second, "c") == Vote(1, 1, False)
    assert group.answer(again, "b") == Vote(1, 1, True)


def test_5_2_a_vote_is_given_only_when_it_is_on_the_disk() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    vote = group.request_vote("a", "b", 1)
    assert group.answer(vote, "b") is None
    group.sync("a")
    assert group.answer(vote, "b") == Vote(1, 1, True)


def test_5_2_a_vote_that_a_later_term_has_overtaken_is_not_given() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    first, second = group.request_vote("a", "b", 1), group.request_vote("a", "c", 2)
    group.sync("a")
    assert group.answer(first, "b") == Vote(1, 2, False)
    assert group.answer(second, "c") == Vote(1, 2, True)


def test_5_2_a_candidate_that_has_found_a_leader_asks_nobody_for_votes() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.stand("a")
    group.append("a", "b", 1, (0, 0))
    group.sync("a")
    assert group.messages(RequestVote, "a", "c") == []


def test_5_2_a_vote_outlives_a_crash() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.request_vote("a", "b", 1)
    group.sync("a")
    group.world.crash("a")
    group.world.restart("a")
    other = group.request_vote("a", "c", 1)
    group.sync("a")
    assert group.answer(other, "c") == Vote(1, 1, False)


def test_5_2_a_candidate_counts_its_own_vote_only_when_that_is_on_the_disk() -> None:
    group = Group()
    group.stand("a")
    group.settle("b", "c")
    assert not group.leads("a") and group.messages(RequestVote, "a", "b") == []
    group.settle()
    assert group.leads("a")


def test_5_2_a_candidate_follows_the_leader_of_its_term() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.stand("a")
    group.append("a", "b", 1, (0, 0))
    assert group.state("a").role == "follower" and group.state("a").leader == "b"


def test_5_2_election_timeouts_are_drawn_between_once_and_twice_the_setting() -> None:
    group = Group("a b c d e")
    drawn = [group.raft(node).patience_ns for node in "abcde"]
    assert all(150 * MILLISECOND <= patience_ns <= 300 * MILLISECOND for patience_ns in drawn)
    assert len({*drawn}) == 5


def test_5_2_a_leader_is_elected_by_a_majority_and_tells_all_at_once() -> None:
    group = Group("a b c d e")
    group.elect("a", "a", "b", "c")
    assert all(group.messages(AppendEntries, "a", node) for node in "bcde")


def test_5_2_without_a_majority_nobody_is_elected() -> None:
    group = Group("a b c d")
    for _ in range(3):
        group.stand("a")
        group.settle("a", "b")
    assert not group.leads("a")


# 5.3 Log replication --------------------------------------------------------------------------------------------------


def test_5_3_an_entry_is_committed_when_a_majority_of_disks_holds_it() -> None:
    group = Group("a b c d e")
    group.elect("a")
    write = group.put("a", b"1")
    group.settle("a", "b")
    assert group.answer(write) is None, "two of five"
    group.deliver("a", "c")
    group.settle("a")
    assert group.answer(write) is None, "the third has it in memory alone"
    group.settle("a", "c")
    assert isinstance(group.answer(write), Written)


def test_5_3_a_follower_answers_when_its_disk_holds_the_entry() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    append = group.append("a", "b", 1, (0, 0), X1)
    heartbeat = group.append("a", "b", 1, (1, 1))
    assert group.log("a") == [(1, b"1")]
    assert group.answer(append, "b") is None and group.answer(heartbeat, "b") is None
    group.sync("a")
    assert group.answer(append, "b") == Appended(1, 1, True, 0, match_index=1)


def test_5_3_a_heartbeat_vouches_only_for_what_is_on_the_disk() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 1, (0, 0))
    group.sync("a")
    group.append("a", "b", 1, (0, 0), X1)
    heartbeat = group.append("a", "b", 1, (1, 1))
    assert group.answer(heartbeat, "b") == Appended(1, 1, True, 1, match_index=0)


def test_5_3_a_follower_does_not_vouch_for_what_a_later_leader_has_replaced() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    first = group.append("a", "b", 1, (0, 0), X1)
    group.append("a", "c", 2, (0, 0), in_term(X2, 2))
    group.sync("a")
    assert group.answer(first, "b") == Appended(1, 2, False, 0)


def test_5_3_an_answer_to_an_earlier_leadership_counts_for_nothing() -> None:
    group = Group("a b c")
    group.elect("a")
    group.request_vote("a", "c", 2)
    group.settle("a")
    group.elect("a", "a", "b")
    before = dict(group.state("a").match_index)
    group.raft("a")._on_appended("c", Appended(1, 1, True, 1, match_index=2, round=9))
    assert group.state("a").match_index == before and group.raft("a").followers["c"].round == 0


def test_5_3_a_crash_between_append_and_sync_takes_what_nobody_was_promised() -> None:
    group = Group()
    group.elect("a")
    write = group.put("a", b"1")
    group.deliver("a", "b")
    group.world.crash("b")
    group.settle("a")
    assert group.answer(write) is None
    group.world.restart("b")
    assert group.log("b") == [(1, None)]


def test_5_3_followers_apply_what_the_leader_has_committed() -> None:
    group = Group()
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    assert group.raft("b").replica.get(b"x") is None
    group.heartbeat("a")
    group.settle()
    assert {group.raft(node).replica.digest() for node in "abc"} == {group.raft("a").replica.digest()}


def test_5_3_conflicting_entries_are_overwritten_and_what_agrees_is_kept() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 1, (0, 0), X1, X2, X3)
    group.append("a", "c", 2, (1, 1), in_term(X3, 2))
    group.sync("a")
    assert group.log("a") == [(1, b"1"), (2, b"3")]
    group.world.crash("a")
    group.world.restart("a")
    assert group.log("a") == [(1, b"1"), (2, b"3")], "the disk tells the same"


def test_5_3_a_late_message_does_not_take_away_what_followed_it() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 1, (0, 0), X1, X2, X3)
    group.append("a", "b", 1, (0, 0), X1)
    assert group.log("a") == [(1, b"1"), (1, b"2"), (1, b"3")]


def test_5_3_a_log_that_misses_the_entry_before_refuses_and_says_where_it_ends() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 1, (0, 0), X1)
    group.sync("a")
    gap = group.append("a", "b", 1, (3, 1), X3)
    assert group.answer(gap, "b") == Appended(1, 1, False, 3, conflict_index=2)


def test_5_3_a_refusal_names_the_conflicting_term_and_where_it_begins() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 2, (0, 0), X1, in_term(X2, 2), in_term(X3, 2))
    group.sync("a")
    conflict = group.append("a", "c", 4, (3, 3), X3)
    group.sync("a")
    assert group.answer(conflict, "c") == Appended(1, 4, False, 3, conflict_index=2, conflict_term=2)


def test_5_3_a_leader_backs_up_a_term_at_a_time() -> None:
    group = Group()
    group.elect("a")
    for number in range(40):  # c gets none of these, b all
        group.put("a", b"%d" % number)
        group.settle("a", "b")
        group.lose("a", "c")
    group.world.crash("a")
    group.elect("b", "b", "c")
    refused = [m for m in group.messages(Appended, "c", "b") if not m.success]
    assert len(refused) == 1
    assert group.log("c") == group.log("b")


def test_5_3_a_client_is_sent_to_the_leader() -> None:
    group = Group()
    group.elect("a")
    answer = group.answer(group.put("b", b"1"))
    assert isinstance(answer, Failure) and (answer.code, answer.hint) == ("elsewhere", "a")


# 5.4 Safety -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates_last", "granted"),
    [((2, 2), True), ((1, 3), True), ((3, 2), True), ((1, 2), False), ((9, 1), False), ((0, 0), False)],
)
def test_5_4_1_a_vote_goes_to_logs_that_end_as_late_as_the_voters(
    candidates_last: tuple[int, int], granted: bool
) -> None:
    group = Group("a b c", outsiders=("b", "c"))
    group.append("a", "b", 2, (0, 0), X1, in_term(X2, 2))
    vote = group.request_vote("a", "c", 5, candidates_last)
    group.sync("a")
    assert group.answer(vote, "c") == Vote(1, 5, granted)


def test_5_4_2_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """Figure 8: it lies on three disks of five, and still the next leader overwrites it."""
    group = Group("a b c d e", max_batch_entries=1)
    group.elect("a")
    group.put("a", b"1")  # (a) a leads, and its entry reaches b alone
    group.settle("a", "b")
    group.lose("a", "c", "d", "e")
    group.world.crash("a")
    group.elect_quietly("e", "c", "d")  # (b) e leads the next term by c and d, and only e has its entry
    group.lose("e", "b", "c", "d")
    group.sync("e")
    group.world.crash("e")
    group.world.restart("a")
    group.stand("a")  # for the term that e has had: in vain
    group.sync("a")
    group.lose("a", "b", "c", "d")
    group.elect_quietly(
        "a", "c", "d"
    )  # (c) a leads again, and brings the old entry to c and d, its own term's to nobody
    group.lose("a", "b", "e")
    group.sync("a")
    for node in "cd":
        for _ in range(2):  # it refuses the new entry, and takes the old one
            group.deliver("a", node)
            group.sync(node)
            group.deliver(node, "a")
        group.lose("a", node)
    assert [group.log(node)[1:2] for node in "abcd"] == [[(1, b"1")]] * 4
    assert group.state("a").match_index == {"b": 0, "c": 2, "d": 2, "e": 0}
    assert group.state("a").commit_index == 0, "counting would say 2"
    group.world.crash("a")
    group.world.restart("e")
    group.elect("e", "c", "d", "e")  # (d) e leads, since its last entry is of a later term, and overwrites
    assert [group.log(node)[1][0] for node in "cde"] == [2, 2, 2]


# 5.5 Crashes and repeated messages ------------------------------------------------------------------------------------


def test_5_5_a_repeated_request_changes_nothing() -> None:
    group = Group("a b c", outsiders=("b", "c"))
    first, again = (group.append("a", "b", 1, (0, 0), X1, X2) for _ in range(2))
    assert group.answer(again, "b") is None, "the repeated one promises the same disk"
    group.sync("a")
    assert group.answer(first, "b") == group.answer(again, "b") == Appended(1, 1, True, 0, match_index=2)
    assert group.log("a") == [(1, b"1"), (1, b"2")]


def test_5_5_a_crashed_follower_is_brought_up_to_date() -> None:
    group = Group()
    group.elect("a")
    group.world.crash("c")
    for number in range(5):
        group.put("a", b"%d" % number)
    group.settle()
    group.world.restart("c")
    group.world.lose_peer("a", "c")
    for _ in range(3):
        group.heartbeat("a")
        group.settle()
    assert group.log("c") == group.log("a") and group.state("c").commit_index == 6


# 8 Clients ------------------------------------------------------------------------------------------------------------


def test_8_a_term_begins_with_an_entry_that_does_nothing() -> None:
    group = Group()
    group.elect("a")
    assert group.log("a") == [(1, None)] and group.state("a").commit_index == 1


# Thesis 6.2: a leader that a majority does not answer -----------------------------------------------------------------


def test_thesis_6_2_a_leader_cut_off_from_a_majority_steps_down_and_says_what_it_does_not_know() -> None:
    group = Group()
    group.elect("a")
    group.world.cut("a", "b")
    group.world.cut("a", "c")
    write, read = group.put("a", b"1"), group.get("a")
    for _ in range(7):
        group.heartbeat("a")
    assert group.state("a").role == "follower"
    told = group.answer(write), group.answer(read)
    assert [answer.code for answer in told if isinstance(answer, Failure)] == ["outcome_unknown", "elsewhere"]


# Thesis 6.3: sessions -------------------------------------------------------------------------------------------------


def test_thesis_6_3_a_request_that_is_in_the_log_twice_is_applied_once() -> None:
    group = Group()
    group.elect("a")
    first = group.ask("a", Create(RequestId("c", 1), b"x", b"1"))
    again = group.ask("a", Create(RequestId("c", 1), b"x", b"1"))
    group.settle()
    assert len(group.log("a")) == 3
    assert isinstance(group.answer(first), Written) and group.answer(first) == group.answer(again)


def test_thesis_6_3_a_request_retried_at_the_next_leader_is_answered_with_its_first_result() -> None:
    group = Group()
    group.elect("a")
    first = group.ask("a", Create(RequestId("c", 1), b"x", b"1"))
    group.settle()
    group.world.crash("a")
    group.elect("b", "b", "c")
    again = group.ask("b", Create(RequestId("c", 1), b"x", b"1"))
    group.settle("b", "c")
    assert group.answer(first) == group.answer(again) == Written(group.raft("b").replica.records[b"x"].version, False)


def test_thesis_6_3_a_refusal_is_a_result_and_stays_one_although_the_condition_holds_later() -> None:
    group = Group()
    group.elect("a")
    refused = group.ask("a", Update(RequestId("c", 1), b"x", b"1"))
    group.ask("a", Put(RequestId("d", 1), b"x", b"2"))
    again = group.ask("a", Update(RequestId("c", 1), b"x", b"1"))
    group.settle()
    for number in (refused, again):
        answer = group.answer(number)
        assert isinstance(answer, Failure) and answer.code == "not_found"
    record = group.raft("a").replica.get(b"x")
    assert record is not None and record.value == b"2"


def test_thesis_6_3_the_session_table_is_rebuilt_from_the_log() -> None:
    group = Group("a")
    group.elect("a")
    group.ask("a", Update(RequestId("c", 1), b"x", b"1"))
    group.ask("a", Put(RequestId("c", 2), b"x", b"2"))
    group.settle()
    before = group.raft("a")
    group.world.crash("a")
    group.world.restart("a")
    group.elect("a")
    after = group.raft("a")
    assert after.replica.sessions == before.replica.sessions and after.machine.refused == before.machine.refused


# Thesis 6.4: reads ----------------------------------------------------------------------------------------------------


def test_thesis_6_4_a_read_waits_until_a_majority_confirms_the_leader() -> None:
    group = Group()
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    log = group.log("a")
    read = group.get("a")
    group.settle("b", "c")
    assert group.answer(read) is None
    group.deliver("b", "a")
    answer = group.answer(read)
    assert isinstance(answer, Found) and answer.value == b"1"
    assert group.log("a") == log, "a read does not write to the log"


def test_thesis_6_4_a_read_does_not_trust_answers_to_a_round_that_began_before_it() -> None:
    group = Group()
    group.elect("a")
    first = group.get("a")
    group.settle("b")  # b confirms a; afterwards b may vote for another, and take what a never sees
    late = group.get("a")
    group.deliver("b", "a")
    assert group.answer(first) is not None and group.answer(late) is None
    group.settle("a", "b")
    assert group.answer(late) is not None


def test_thesis_6_4_a_deposed_leader_does_not_answer_from_its_old_state() -> None:
    group = Group()
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    group.world.cut("a", "b")
    group.world.cut("a", "c")
    group.elect("b", "b", "c")
    write = group.put("b", b"2")
    group.settle("b", "c")
    assert isinstance(group.answer(write), Written)
    read = group.get("a")
    group.settle()
    assert group.answer(read) is None
    group.world.heal()
    group.heartbeat("a")
    group.settle()
    answer = group.answer(read)
    assert isinstance(answer, Failure) and answer.code == "elsewhere"


def test_thesis_6_4_a_new_leader_reads_only_when_an_entry_of_its_term_is_committed() -> None:
    group = Group()
    group.elect("a")
    write = group.put("a", b"1")
    group.settle()
    assert isinstance(group.answer(write), Written) and group.state("b").commit_index == 1
    group.world.crash("a")
    group.elect_quietly("b", "c")  # it holds the write, and cannot know that it is committed
    read = group.get("b")
    group.lose("b", "c")
    group.heartbeat("b")  # c confirms that b leads, and still
    group.settle("c")
    group.settle("b")
    assert group.state("b").commit_index == 1
    assert group.answer(read) is None
    for _ in range(2):
        group.heartbeat("b")
        group.settle()
    answer = group.answer(read)
    assert isinstance(answer, Found) and answer.value == b"1"


# Thesis 4.2.3 and 9.6: servers that were cut off ----------------------------------------------------------------------


def test_thesis_9_6_a_server_that_was_cut_off_does_not_depose_the_leader_when_it_returns() -> None:
    group = Group(pre_vote=True)
    group.elect("a")
    group.world.cut("c", "a")
    group.world.cut("c", "b")
    for _ in range(3):
        group.world.advance(400 * MILLISECOND, ["c"])
        group.settle("c")
    assert group.state("c").current_term == 1, "asking first changes no term"
    group.world.heal()
    group.stand("c")
    group.settle()
    assert group.leads("a") and group.state("a").current_term == 1


def test_thesis_9_6_without_pre_votes_it_does() -> None:
    group = Group(pre_vote=False)
    group.elect("a")
    group.world.cut("c", "a")
    group.world.cut("c", "b")
    group.world.advance(400 * MILLISECOND, ["c"])
    group.settle("c")
    group.world.heal()
    group.stand("c")
    group.settle()
    assert not group.leads("a") and group.state("a").current_term > 1


def test_thesis_4_2_3_who_hears_a_leader_votes_for_nobody_else() -> None:
    group = Group("a b c", pre_vote=True, outsiders=("b", "c"))
    group.append("a", "b", 1, (0, 0))
    group.sync("a")
    vote = group.request_vote("a", "c", 7)
    assert group.answer(vote, "c") == Vote(1, 1, False)
    assert group.state("a").current_term == 1


# Thesis 10.2: disks and pipelines -------------------------------------------------------------------------------------


def test_thesis_10_2_1_a_leader_commits_by_its_followers_disks_before_its_own_is_done() -> None:
    group = Group()
    group.elect("a")
    write = group.put("a", b"1")
    group.settle("b", "c")
    group.deliver("b", "a")
    assert group.answer(write) is None, "b's disk alone; a's own is not done"
    group.deliver("c", "a")
    assert isinstance(group.answer(write), Written)


def test_thesis_10_2_1_a_leader_counts_itself_when_its_disk_is_done() -> None:
    group = Group()
    group.elect("a")
    write = group.put("a", b"1")
    group.settle("b")
    group.deliver("b", "a")
    assert group.answer(write) is None
    group.sync("a")
    assert isinstance(group.answer(write), Written)


def test_thesis_10_2_2_a_leader_sends_on_before_it_has_answers_up_to_a_bound_and_then_in_batches() -> None:
    group = Group(max_batches_in_flight=2)
    group.elect("a")
    begun = len(group.messages(AppendEntries, "a", "b"))
    for number in range(6):
        group.put("a", b"%d" % number)
    sent = [len(m.entries) for m in group.messages(AppendEntries, "a", "b")[begun:]]
    assert sent == [1, 1]
    group.settle()
    sent = [len(m.entries) for m in group.messages(AppendEntries, "a", "b")[begun:]]
    assert sent == [1, 1, 4]


# Sizes of groups ------------------------------------------------------------------------------------------------------


def test_one_server_alone_is_a_majority() -> None:
    group = Group("a")
    group.elect("a")
    write, read = group.put("a", b"1"), group.get("a")
    group.settle()
    assert isinstance(group.answer(write), Written) and group.answer(read) is not None


def test_a_write_after_a_remove_has_a_later_version() -> None:
    group = Group("a")
    group.elect("a")
    group.put("a", b"1")
    group.ask("a", Remove(RequestId("d", 1), b"x"))
    last = group.put("a", b"2")
    group.settle()
    answer = group.answer(last)
    assert isinstance(answer, Written) and answer.version.counter == 4 and answer.existed is False
