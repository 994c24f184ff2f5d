"""Durability: which acknowledged writes are lost, which only seem so, and how the witness tells it."""

import pytest

from kvsim.check import NotRefuted, Refuted, durability, lost_writes
from tests.check.worlds import story

KEPT = {
    "the last write is read": "0 put 1 1 2\n0 put 2 3 4\n1 read 2 5 6",
    "an unknown write may win late": "0 put 1 1 2\n1 put 2 1 3 info\n2 read 2 5 6",
    "of two that overlap either may win": "0 put 1 1 4\n1 put 2 2 3\n2 read 1 5 6",
    "a delete explains absence": "0 put 1 1 2\n0 delete 3 4\n1 read nothing 5 6",
    "a blind delete of unknown outcome explains absence": "0 put 1 1 2\n2 remove 1 2 info\n1 read nothing 5 6",
    "nothing acknowledged, nothing owed": "0 put 1 1 2 info\n1 read nothing 5 6",
    "a write that failed is owed to nobody": "0 put 1 1 2\n0 put 2 3 4 fail\n1 read 1 5 6",
    "a read before the last write has ended proves nothing": "0 put 1 1 2\n0 put 2 3 6\n1 read nothing 4 5",
}

LOST = {
    "process 1 found the key absent at 6.000 s, although process 0's write of 1 was acknowledged at 2.000 s and "
    "nothing deleted it": "0 put 1 1 2\n1 read nothing 5 6",
    "process 1 read 1 at 6.000 s, although process 0's write of 2 was acknowledged at 4.000 s and nothing wrote 1 "
    "again": "0 put 1 1 2\n0 put 2 3 4\n1 read 1 5 6",
    "process 1 read 1 at 6.000 s, although process 0's delete was acknowledged at 4.000 s and nothing wrote 1 "
    "again": "0 create 1 1 2\n0 delete 3 4\n1 read 1 5 6",
    "process 1 read 9 at 6.000 s, although process 0's write of 1 was acknowledged at 2.000 s and nobody is known to "
    "have written what was read": "0 put 1 1 2\n1 read 9 5 6",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_nothing_is_lost(text: str) -> None:
    assert durability(story(text)) == NotRefuted()
    assert lost_writes(story(text)) == []


@pytest.mark.parametrize(("sentence", "text"), LOST.items(), ids=range(len(LOST)))
def test_the_witness_names_the_lost_write(sentence: str, text: str) -> None:
    verdict = durability(story(text))
    assert isinstance(verdict, Refuted)
    assert verdict.witness.sentence == sentence


def test_a_lost_write_counts_once_however_many_reads_miss_it() -> None:
    found = lost_writes(story("0 put 1 1 2\n0 put 2 3 4\n1 read 1 5 6\n1 read 1 7 8\n2 read nothing 9 10"))
    assert [(lost.write.value, lost.read.completed_ns) for lost in found] == [(2, 6_000_000_000)]


def test_what_was_overwritten_is_not_lost_even_if_its_successor_is() -> None:
    found = lost_writes(story("0 put 1 1 2\n0 put 2 3 4\n0 put 3 5 6\n1 read 1 7 8"))
    assert [lost.write.value for lost in found] == [3]


def test_last_writes_that_overlap_all_count() -> None:
    found = lost_writes(story("0 put 1 1 2\n0 put 2 3 6\n1 put 3 4 5\n2 read 1 7 8"))
    assert [lost.write.value for lost in found] == [2, 3]
