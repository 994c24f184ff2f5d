"""Where a key lies must never change between versions, machines or processes."""

from __future__ import annotations

from collections import Counter

import pytest

from kvsim.core.placing import POSITIONS, position


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (b"", 16_476_032_584_258_269_876),
        (b"k", 12_417_210_735_682_507_875),
        (b"user1", 14_914_577_609_760_747_527),
        (b"data-1#0", 12_059_461_151_190_827_318),
        (bytes(range(256)), 3_111_123_121_379_585_343),
    ],
    ids=repr,
)
def test_positions_are_pinned(name: bytes, place: int) -> None:
    assert position(name) == place


def test_positions_spread_evenly() -> None:
    parts = Counter(position(b"user%d" % number) * 16 // POSITIONS for number in range(16_000))
    assert sorted(parts) == list(range(16))
    assert max(abs(count - 1_000) for count in parts.values()) < 160  # five standard deviations
