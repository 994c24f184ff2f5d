"""A journal's record is there whole or not at all after a crash, and one sync makes many durable."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.host import DiskError
from kvsim.core.journal import CorruptJournal, Journal, framed, records_of
from kvsim.core.waiting import Future
from tests.core.disks import ManualDisk

FILE = "words"
PAYLOADS = st.lists(st.binary(max_size=40), max_size=8)


def journal(disk: ManualDisk) -> Journal:
    def failed(error: Exception) -> None:
        raise AssertionError("nothing was to fail") from error

    return Journal(disk, FILE, failed)


def bytes_of(payloads: list[bytes]) -> bytes:
    return b"".join(map(framed, payloads))


# What a crash leaves ----------------------------------------


@given(PAYLOADS, st.data())
def test_any_prefix_of_the_bytes_gives_a_prefix_of_the_records(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytes_of(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    records, sound = records_of(FILE, whole[:cut])
    assert records == payloads[: len(records)]
    assert whole[:sound] == bytes_of(records), "the sound part is whole records"
    rest = payloads[len(records) : len(records) + 1]
    assert cut - sound < len(bytes_of(rest)) or not rest, "no whole record is cut"


@given(PAYLOADS, st.integers(0, 40), st.data())
def test_a_tail_that_was_never_written_reads_as_nothing(payloads: list[bytes], zeros: int, data: st.DataObject) -> None:
    """After a power cut a file may be longer than what reached it: file systems show zeros there."""
    whole = bytes_of(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    torn = whole[:cut] + bytes(len(whole) - cut + zeros)
    records, _ = records_of(FILE, torn)
    assert records == payloads[: len(records)]
    assert len(records) >= len(records_of(FILE, whole[:cut])[0])


@given(PAYLOADS.filter(len), st.data())
def test_one_changed_byte_is_refused_or_cuts_the_last_record(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(bytes_of(payloads))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    last_begins = len(bytes_of(payloads[:-1]))
    try:
        records, sound = records_of(FILE, bytes(whole))
    except CorruptJournal:
        return
    assert at >= last_begins, "damage before the last record must not pass"
    assert (records, sound) == (payloads[:-1], last_begins)


def test_a_damaged_middle_names_the_file_the_place_and_the_remedy() -> None:
    whole = bytearray(bytes_of([b"one", b"two", b"three"]))
    place = len(framed(b"one"))
    whole[place + len(framed(b"two")) - 1] ^= 1
    with pytest.raises(CorruptJournal, match=rf"^words: the record at byte {place} is damaged .* restore the file"):
        records_of(FILE, bytes(whole))


def test_a_damaged_length_in_the_middle_is_no_torn_tail() -> None:
    """A length that points beyond the end must not cut what was promised behind it."""
    whole = bytearray(bytes_of([b"one", b"two", b"three"]))
    whole[len(framed(b"one"))] = 0xFF
    with pytest.raises(CorruptJournal):
        records_of(FILE, bytes(whole))


def test_new_records_follow_the_sound_ones_after_a_torn_tail() -> None:
    disk = ManualDisk()
    disk.written[FILE] = disk.durable[FILE] = bytes_of([b"one", b"two"])[:-1]
    again = journal(disk)
    assert again.recover(disk.durable[FILE]) == [b"one"]
    again.append(b"new")
    disk.complete()
    assert records_of(FILE, disk.durable[FILE])[0] == [b"one", b"new"]


# What is promised ----------------------------------------


def test_an_append_is_done_when_a_sync_issued_after_it_is() -> None:
    disk = ManualDisk()
    words = journal(disk)
    first = words.append(b"one")
    second = words.append(b"two")  # comes while the first sync runs, which does not vouch for it
    disk.complete(1)
    assert (first.done, second.done) == (True, False)
    disk.complete(1)
    assert second.done
    assert records_of(FILE, disk.durable[FILE])[0] == [b"one", b"two"]


def test_one_sync_covers_all_that_came_while_another_ran() -> None:
    disk = ManualDisk()
    words = journal(disk)
    words.append(b"first")
    more = [words.append(b"%d" % number) for number in range(50)]
    assert disk.syncs() == 1
    disk.complete(1)
    assert disk.syncs() == 1
    disk.complete(1)
    assert all(future.done for future in more)
    assert disk.syncs() == 0


def test_a_failed_sync_is_reported_and_never_retried() -> None:
    disk, failures = ManualDisk(), []
    words = Journal(disk, FILE, failures.append)
    future = words.append(b"one")
    disk.fail()
    assert [type(error) for error in failures] == [DiskError]
    assert not future.done
    assert not disk.work


def test_a_failed_replace_is_reported() -> None:
    disk, failures = ManualDisk(), []
    Journal(disk, FILE, failures.append).rewrite([b"one"])
    disk.fail()
    assert [type(error) for error in failures] == [DiskError]


def test_a_rewrite_replaces_all_and_appends_go_on_behind_it() -> None:
    disk = ManualDisk()
    words = journal(disk)
    futures: list[Future[None]] = [words.append(b"old")]
    futures.append(words.append(b"older"))
    words.rewrite([b"kept"])
    futures.append(words.append(b"new"))
    disk.complete()
    assert all(future.done for future in futures)
    assert records_of(FILE, disk.durable[FILE])[0] == [b"kept", b"new"]
    assert words.length_bytes == len(disk.durable[FILE])


def test_the_bytes_on_the_disk_are_pinned() -> None:
    """Journals of earlier versions must stay readable."""
    head = bytes([0, 0, 0, 2])
    checksum = zlib.crc32(b"hi").to_bytes(4, "big")
    assert framed(b"hi") == head + zlib.crc32(head).to_bytes(4, "big") + checksum + b"hi"
