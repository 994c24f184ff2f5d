"""Which designs Raft can stand in, what it then promises, and operations beside plain reads and writes."""

import pytest

from kvsim.core.design import Design
from kvsim.core.message import Failure
from kvsim.core.operation import Absent, Found, Item, Page, Put, Read, Remove, RequestId, Scan
from kvsim.core.settings import SettingsError
from kvsim.core.version import Version
from kvsim.strategies.catalogue import read_design
from tests.strategies.raft.group import Group


def design(**replication: object) -> Design:
    return read_design({"replication": {"strategy": "raft", **replication}}, "FILE: design", 3)


def refusal(table: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_design(table, "FILE: design", 3)
    return str(caught.value)


def test_by_default_raft_is_linearizable_and_needs_neither_partitioning_nor_conflict_rules() -> None:
    usual = design()
    assert usual["consistency"].name == "linearizable"
    assert usual.moot() == ("partitioning", "conflict")
    judged = {promise.subject: promise.judge for promise in usual.promises() if promise.judge}
    assert judged == {"consistency": "linearizable", "durability": "durability", "retries": "exactly-once"}


def test_reads_of_followers_make_the_design_eventual() -> None:
    assert design(reads="follower")["consistency"].name == "eventual"


def test_a_vote_in_memory_is_refused_with_the_reason() -> None:
    said = refusal({"replication": "raft", "durability": "memory"})
    assert "forget its vote" in said and 'use durability = "disk"' in said


def test_reads_of_followers_are_refused_where_linearizable_is_claimed() -> None:
    said = refusal({"replication": {"strategy": "raft", "reads": "follower"}, "consistency": "linearizable"})
    assert "may be old" in said and 'reads = "read_index"' in said


def test_heartbeats_that_come_too_seldom_are_refused() -> None:
    said = refusal({"replication": {"strategy": "raft", "heartbeat": "100ms", "election_timeout": "150ms"}})
    assert "heartbeat = 100 ms" in said and "half" in said


def test_the_replica_keeps_no_journal_beside_the_log() -> None:
    group = Group("a")
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    assert list(group.world.hosts["a"].step_disk.durable) == ["raft.log"]


def test_a_scan_shows_one_moment_in_pages() -> None:
    group = Group("a")
    group.elect("a")
    for number, key in enumerate((b"b", b"a", b"c"), 1):
        group.ask("a", Put(RequestId("w", number), key, b"1"))
    group.ask("a", Remove(RequestId("w", 4), b"c"))
    group.settle()
    first = group.ask("a", Scan(RequestId("s", 1), b"", None, 1))
    group.settle()
    page = group.answer(first)
    assert isinstance(page, Page) and page.items == (Item(b"a", b"1", Version(3)),) and page.next is not None
    rest = group.ask("a", Scan(RequestId("s", 2), page.next))
    group.settle()
    assert group.answer(rest) == Page((Item(b"b", b"1", Version(2)),), None)


def test_a_store_that_writes_once_refuses_the_second_write() -> None:
    group = Group("a", storage={"strategy": "objects", "written": "once"})
    group.elect("a")
    group.put("a", b"1")
    second = group.put("a", b"2")
    group.settle()
    answer = group.answer(second)
    assert isinstance(answer, Failure) and answer.code == "written_once"


def test_a_read_index_under_eventual_asks_the_leader_all_the_same() -> None:
    group = Group(reads="read_index", consistency="eventual")
    group.elect("a")
    at_follower, at_leader = group.get("b"), group.get("a")
    answer = group.answer(at_follower)
    assert isinstance(answer, Failure) and (answer.code, answer.hint) == ("elsewhere", "a")
    assert group.answer(at_leader) is None
    group.settle()
    assert group.answer(at_leader) == Absent()


def test_a_restarted_replica_shows_nothing_until_it_knows_what_is_committed() -> None:
    group = Group(consistency="eventual")
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    group.world.crash("b")
    group.world.restart("b")
    answer = group.answer(group.get("b"))
    assert isinstance(answer, Failure) and answer.code == "elsewhere"
    group.heartbeat("a")
    group.settle()
    answer = group.answer(group.ask("b", Read(RequestId("r", 1), b"x")))
    assert isinstance(answer, Found) and answer.value == b"1"


def test_after_a_restart_of_all_nothing_is_shown_before_the_log_is_replayed() -> None:
    group = Group(consistency="eventual")
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    for node in "abc":
        group.world.crash(node)
    for node in "abc":
        group.world.restart(node)
    group.elect_quietly("a", "b")
    group.lose("a", "c")
    group.deliver("a", "b")  # a leads, and cannot say yet what is committed
    for node in "abc":
        answer = group.answer(group.get(node))
        assert isinstance(answer, Failure) and answer.code == "elsewhere"
    for _ in range(2):
        group.heartbeat("a")
        group.settle()
    for node in "abc":
        answer = group.answer(group.get(node))
        assert isinstance(answer, Found) and answer.value == b"1"


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_full_disk_refuses_writes_and_loses_nothing(node: str) -> None:
    group = Group("a b")
    group.elect("a")
    group.put("a", b"1")
    group.settle()
    group.world.hosts[node].step_disk.is_full = True
    write = group.put("a", b"2")
    for _ in range(30):
        group.heartbeat("a")
        group.settle()
    answer = group.answer(write)
    assert isinstance(answer, Failure) and answer.code == ("unavailable" if node == "a" else "outcome_unknown")
    assert group.leads("a")
    read = group.get("a")
    group.settle()
    found = group.answer(read)
    assert isinstance(found, Found) and found.value == b"1"
    group.world.hosts[node].step_disk.is_full = False
    again = group.put("a", b"3")
    for _ in range(3):
        group.heartbeat("a")
        group.settle()
    assert not isinstance(group.answer(again), Failure | None)


def test_a_failed_sync_stops_the_server_and_the_others_go_on() -> None:
    group = Group()
    group.elect("a")
    group.put("a", b"1")
    group.world.break_disk(next(work for work in group.world.works.values() if work.node == "a"))
    group.world.happened.clear()
    assert group.world.hosts["a"].node is None
    group.settle("b", "c")
    group.elect("b", "b", "c")
