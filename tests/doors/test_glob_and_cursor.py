"""Patterns and cursors of SCAN: against obvious twins, and against patterns and stores made to hurt."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.real.doors import key_cursor
from kvsim.real.doors.glob import LONGEST_PATTERN_BYTES, Glob
from kvsim.real.doors.key_cursor import LAST_CURSOR, key_hash, next_slice

letters = st.binary(max_size=12).map(lambda data: bytes(b"abc"[byte % 3] for byte in data))
patterns = st.lists(st.sampled_from([b"*", b"?", b"a", b"b", b"[ab]", b"[^a]", b"[a-c]", rb"\*"]), max_size=8)


@given(patterns, letters)
def test_a_pattern_matches_as_its_regular_expression_would(pattern: list[bytes], key: bytes) -> None:
    words = {b"*": b".*", b"?": b".", rb"\*": rb"\*"}
    twin = b"".join(words.get(part, part) for part in pattern)
    assert Glob(b"".join(pattern)).matches(key) == bool(re.fullmatch(twin, key, re.DOTALL))


@pytest.mark.parametrize("pattern", [b"[", b"[^", b"[a-", b"\\", b"[\\", b"*["])
def test_a_broken_pattern_is_no_error(pattern: bytes) -> None:
    assert not Glob(pattern).matches(b"abc")


def test_many_stars_do_not_hang() -> None:
    assert not Glob(b"*a" * 500 + b"b").matches(b"a" * 1_024)


def test_a_pattern_has_a_limit() -> None:
    with pytest.raises(ValueError, match="limit"):
        Glob(b"x" * (LONGEST_PATTERN_BYTES + 1))


async def stream(keys: Iterable[bytes]) -> AsyncIterator[bytes]:
    for key in keys:
        yield key


def iterate(stores: list[set[bytes]], count: int) -> list[bytes]:
    """A whole iteration, over a store that changes from call to call."""
    given_keys: list[bytes] = []
    cursor, call = 0, 0
    while True:
        keys = stores[min(call, len(stores) - 1)]
        cursor, found = asyncio.run(next_slice(stream(sorted(keys)), cursor, count))
        assert 0 <= cursor <= LAST_CURSOR
        given_keys += found
        call += 1
        assert call < 100, "the iteration does not end"
        if cursor == 0:
            return given_keys


@given(st.sets(st.binary(max_size=3), max_size=20), st.integers(1, 7))
def test_a_whole_iteration_gives_each_key_once(keys: set[bytes], count: int) -> None:
    assert sorted(iterate([keys], count)) == sorted(keys)


@given(st.lists(st.sets(st.binary(max_size=2), max_size=12), min_size=1, max_size=5), st.integers(1, 5))
def test_a_key_that_is_always_there_is_given(stores: list[set[bytes]], count: int) -> None:
    found = iterate(stores, count)
    assert set.intersection(*stores) <= set(found)
    assert len(found) == len(set(found))


def test_keys_of_one_hash_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_cursor, "key_hash", lambda key: 1 + key[0] % 2)
    assert sorted(iterate([{b"a", b"b", b"c", b"d"}], 1)) == [b"a", b"b", b"c", b"d"]


def test_the_start_is_no_keys_hash() -> None:
    assert key_hash(b"") > 0
