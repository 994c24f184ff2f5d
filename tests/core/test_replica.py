"""One replica's data: what an answer may rest on, what a restart finds, and which operation may happen when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core import replica as replica_module
from kvsim.core.host import Recovered
from kvsim.core.journal import records_of
from kvsim.core.operation import (
    AlreadyExists,
    CompareAndSet,
    Create,
    Delete,
    Mismatch,
    NotFound,
    OperationError,
    Put,
    Remove,
    RequestId,
    Unavailable,
    Update,
    Write,
    Written,
    WrittenOnce,
)
from kvsim.core.replica import (
    JOURNAL_FILE,
    NO_REQUEST,
    Change,
    ConflictRule,
    Ordered,
    Record,
    Replica,
    change_for,
    judge,
)
from kvsim.core.version import Version
from tests.core.disks import ManualDisk


class LaterStays:
    def newer(self, mine: Record, theirs: Record) -> bool:
        return theirs.version > mine.version


def replica(disk: ManualDisk, rule: ConflictRule | None = None, durability: str = "disk") -> Replica:
    def failed(error: Exception) -> None:
        raise AssertionError("nothing was to fail") from error

    return Replica(disk, rule or Ordered(), durability, "many", failed)  # type: ignore[arg-type]


def change(key: bytes, value: bytes | None, counter: int, request: RequestId = NO_REQUEST) -> Change:
    return Change(request, key, value, Version(counter, "a"))


def restarted(disk: ManualDisk) -> Replica:
    """What a node finds after a power cut."""
    disk.written, disk.work = dict(disk.durable), type(disk.work)()
    again = replica(disk)
    again.start(Recovered(dict(disk.durable), 2))
    return again


# What an answer may rest on ----------------------------------------


def test_a_change_is_there_at_once_and_vouched_for_after_the_sync() -> None:
    disk = ManualDisk()
    data = replica(disk)
    done = data.apply(change(b"k", b"v", 1))
    assert data.get(b"k") == Record(b"v", Version(1, "a"))
    assert not done.done
    assert data.settled(b"k") is done
    disk.complete()
    assert done.done
    assert data.settled(b"k") is None


def test_of_two_changes_of_a_key_the_later_one_is_what_an_answer_awaits() -> None:
    disk = ManualDisk()
    data = replica(disk)
    data.apply(change(b"k", b"1", 1))
    second = data.apply(change(b"k", b"2", 2))
    disk.complete(1)
    assert data.settled(b"k") is second
    disk.complete(1)
    assert data.settled(b"k") is None


def test_a_change_that_loses_vouches_for_the_one_that_it_lost_to() -> None:
    disk = ManualDisk()
    data = replica(disk, LaterStays())
    winner = data.apply(change(b"k", b"new", 2))
    assert data.apply(change(b"k", b"old", 1)) is winner
    assert data.get(b"k") == Record(b"new", Version(2, "a"))
    disk.complete()
    assert data.apply(change(b"k", b"old", 1)).done
    assert len(records_of(JOURNAL_FILE, disk.durable[JOURNAL_FILE])[0]) == 1, "nor does it cost the disk anything"


def test_in_memory_a_change_is_vouched_for_at_once_and_the_disk_is_left_alone() -> None:
    disk = ManualDisk()
    data = replica(disk, durability="memory")
    assert data.apply(change(b"k", b"v", 1)).done
    assert not disk.work
    assert not disk.written


def test_a_nearly_full_disk_refuses_before_anything_is_done() -> None:
    disk = ManualDisk()
    disk.is_full = True
    data = replica(disk)
    with pytest.raises(Unavailable, match="disk is nearly full; make room"):
        data.apply(change(b"k", b"v", 1, RequestId("c", 1)))
    assert (data.records, data.sessions, disk.written) == ({}, {}, {})


# Restart and compaction ----------------------------------------


def test_a_restart_finds_records_tombstones_and_sessions_that_were_synced() -> None:
    disk = ManualDisk()
    data = replica(disk)
    data.apply(change(b"k", b"v", 1, RequestId("c", 1)))
    data.apply(change(b"gone", None, 2, RequestId("c", 2)))
    disk.complete()
    data.apply(change(b"lost", b"v", 3, RequestId("c", 3)))
    again = restarted(disk)
    assert again.records == {b"k": Record(b"v", Version(1, "a")), b"gone": Record(None, Version(2, "a"))}
    assert again.known(RequestId("c", 1)) == Written(Version(1, "a"))
    assert again.known(RequestId("c", 3)) is None


CHANGES = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=4), st.integers(0, 3)), max_size=30
)


@given(CHANGES, st.lists(st.integers(0, 29), max_size=3), st.integers(0, 40))
def test_compaction_amid_changes_loses_nothing_that_was_vouched_for(
    changes: list[tuple[bytes, bytes | None, int]], compact_before: list[int], completed: int
) -> None:
    """However much the disk had done when the power went: what remains is the state after some of the changes, and
    these are all that were vouched for, or more."""
    disk = ManualDisk()
    data = replica(disk)
    states = [({}, {})]
    futures = []
    for number, (key, value, client) in enumerate(changes):
        if number in compact_before:
            data.compact()
        futures.append(data.apply(change(key, value, number + 1, RequestId("c", client))))
        states.append((dict(data.records), dict(data.sessions)))
    disk.complete(completed)
    vouched = sum(future.done for future in futures)
    again = restarted(disk)
    assert (again.records, again.sessions) in states[vouched:]


def test_compaction_keeps_content_and_sessions_in_fewer_bytes() -> None:
    disk = ManualDisk()
    data = replica(disk)
    for number in range(1, 200):
        data.apply(change(b"k", b"v%d" % number, number, RequestId("c", number % 3)))
    disk.complete()
    before = (dict(data.records), dict(data.sessions), len(disk.durable[JOURNAL_FILE]))
    data.compact()
    disk.complete()
    again = restarted(disk)
    assert (again.records, again.sessions) == before[:2]
    assert len(disk.durable[JOURNAL_FILE]) < before[2] / 20


def test_a_journal_that_has_grown_is_compacted_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "COMPACT_FROM_BYTES", 2_000)
    disk = ManualDisk()
    data = replica(disk)
    for number in range(1, 500):
        data.apply(change(b"k", b"v" * 20, number))
        disk.complete()
        assert len(disk.durable[JOURNAL_FILE]) <= 2_100
    assert restarted(disk).records == data.records


# Snapshots ----------------------------------------


def test_a_snapshot_makes_another_replica_the_same() -> None:
    one, other, disk = replica(ManualDisk()), replica(ManualDisk()), ManualDisk()
    one.apply(change(b"k", b"v", 1, RequestId("c", 1)))
    one.apply(change(b"gone", None, 2))
    other = replica(disk)
    other.apply(change(b"stranger", b"x", 9, RequestId("d", 1)))
    done = other.load(one.snapshot())
    assert (other.records, other.sessions) == (one.records, one.sessions)
    assert other.digest() == one.digest()
    assert not done.done
    disk.complete()
    assert done.done
    assert restarted(disk).digest() == one.digest()


def test_what_a_snapshot_brought_is_shown_only_when_it_is_on_the_disk() -> None:
    one, disk = replica(ManualDisk()), ManualDisk()
    one.apply(change(b"k", b"v", 1))
    one.apply(change(b"other", b"v", 2))
    data = replica(disk)
    loaded = data.load(one.snapshot())
    assert data.settled(b"k") is loaded
    newer = data.apply(change(b"other", b"w", 3))
    disk.complete(1)
    assert data.settled(b"k") is None
    assert data.settled(b"other") is newer
    disk.complete()
    assert data.settled(b"other") is None


def test_digests_differ_where_a_record_does() -> None:
    digests = []
    for value, counter in [(b"v", 1), (b"w", 1), (b"v", 2), (None, 1)]:
        data = replica(ManualDisk())
        data.apply(change(b"k", value, counter))
        digests.append(data.digest())
    assert len(set(digests)) == 4


def test_the_oldest_requests_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "SESSIONS_KEPT", 3)
    data = replica(ManualDisk())
    for number in range(1, 6):
        data.apply(change(b"k", b"v", number, RequestId("c", number)))
    assert [request.number for request in data.sessions] == [3, 4, 5]


@given(
    st.sets(st.binary(max_size=2), max_size=20),
    st.binary(max_size=2),
    st.none() | st.binary(max_size=2),
    st.integers(1, 5),
)
def test_a_range_is_the_sorted_keys_between(keys: set[bytes], start: bytes, end: bytes | None, limit: int) -> None:
    data = replica(ManualDisk(), durability="memory")
    for number, key in enumerate(sorted(keys, key=lambda key: key[::-1])):
        data.apply(change(key, b"v", number))
        data.range(b"", None, 1)
    plain = sorted(key for key in keys if key >= start and (end is None or key < end))[:limit]
    assert [key for key, _ in data.range(start, end, limit)] == plain


# Which operation may happen when ----------------------------------------

R = RequestId("c", 1)
AT = Version(7, "a")
WRITES: dict[str, Write] = {
    "create": Create(R, b"k", b"new"),
    "update": Update(R, b"k", b"new"),
    "put": Put(R, b"k", b"new"),
    "delete": Delete(R, b"k"),
    "remove": Remove(R, b"k"),
    "cas, right value": CompareAndSet(R, b"k", b"new", b"old"),
    "cas, wrong value": CompareAndSet(R, b"k", b"new", b"else"),
    "cas, absent": CompareAndSet(R, b"k", b"new", None),
    "cas, right version": CompareAndSet(R, b"k", b"new", None, AT),
    "cas, wrong version": CompareAndSet(R, b"k", b"new", None, Version(6, "a")),
}
RECORDS = {"never": None, "deleted": Record(None, AT), "present": Record(b"old", AT)}
OK = None
TABLE: dict[str, tuple[object, object, object, object, object]] = {
    #                     written many:                                written once:
    #                     never        deleted      present            never        present
    "create": (OK, OK, AlreadyExists, OK, AlreadyExists),
    "update": (NotFound, NotFound, OK, NotFound, WrittenOnce),
    "put": (OK, OK, OK, OK, WrittenOnce),
    "delete": (NotFound, NotFound, OK, NotFound, WrittenOnce),
    "remove": (OK, OK, OK, WrittenOnce, WrittenOnce),
    "cas, right value": (Mismatch, Mismatch, OK, Mismatch, WrittenOnce),
    "cas, wrong value": (Mismatch, Mismatch, Mismatch, Mismatch, WrittenOnce),
    "cas, absent": (OK, OK, Mismatch, OK, WrittenOnce),
    "cas, right version": (Mismatch, OK, OK, Mismatch, WrittenOnce),
    "cas, wrong version": (Mismatch, Mismatch, Mismatch, Mismatch, WrittenOnce),
}
COLUMNS = [("many", "never"), ("many", "deleted"), ("many", "present"), ("once", "never"), ("once", "present")]


@pytest.mark.parametrize(
    ("name", "written", "held", "expected"),
    [(name, *COLUMNS[at], expected) for name, row in TABLE.items() for at, expected in enumerate(row)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_table_of_conditions(name: str, written: str, held: str, expected: type[OperationError] | None) -> None:
    record = RECORDS[held]
    if expected is None:
        assert judge(WRITES[name], record, written) is (held == "present")  # type: ignore[arg-type]
    else:
        with pytest.raises(expected, match=r"^k"):
            judge(WRITES[name], record, written)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITES)
def test_a_change_holds_what_the_key_will_hold(name: str) -> None:
    made = change_for(WRITES[name], AT, True)
    assert made == Change(R, b"k", None if name in ("delete", "remove") else b"new", AT, True)
