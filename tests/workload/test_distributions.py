"""Keys are drawn as their distribution says."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.chance import Chance
from kvsim.workload.distributions import (
    Chooser,
    HotspotChooser,
    LatestChooser,
    UniformChooser,
    ZipfianChooser,
    chooser_for,
)
from kvsim.workload.settings import Hotspot, Latest, Uniform, Zipfian

DRAWS = 40_000


def drawn(chooser: Chooser, count: int, seed: int = 1) -> Counter[int]:
    chance = Chance(seed, "draws")
    return Counter(chooser.next(chance, count) for _ in range(DRAWS))


def zipfian_shares(count: int, theta: float) -> list[float]:
    """The slow twin: the definition."""
    weights = [1 / (i + 1) ** theta for i in range(count)]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("theta", [0.5, 0.99])
def test_the_most_popular_zipfian_keys_come_as_often_as_the_definition_says(theta: float) -> None:
    counts = drawn(ZipfianChooser(theta), 100)
    for index, share in enumerate(zipfian_shares(100, theta)[:2]):  # the algorithm is exact for these
        assert counts[index] / DRAWS == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize("theta", [0.5, 0.99])
def test_any_head_of_a_zipfian_draw_is_near_the_definition(theta: float) -> None:
    counts, shares = drawn(ZipfianChooser(theta), 200), zipfian_shares(200, theta)
    for head in (5, 20, 100):
        assert sum(counts[i] for i in range(head)) / DRAWS == pytest.approx(sum(shares[:head]), abs=0.03)


def test_a_zipfian_choice_among_more_keys_than_before_is_the_same_as_a_fresh_one() -> None:
    grown = ZipfianChooser(0.9)
    for count in range(1, 51):
        grown.next(Chance(0, "warm"), count)
    assert drawn(grown, 50) == drawn(ZipfianChooser(0.9), 50)


def test_uniform_keys_come_equally_often() -> None:
    counts = drawn(UniformChooser(), 10)
    assert all(count / DRAWS == pytest.approx(0.1, abs=0.01) for count in counts.values())
    assert len(counts) == 10


def test_latest_prefers_the_newest_key() -> None:
    counts = drawn(LatestChooser(0.99), 100)
    assert counts.most_common(1)[0][0] == 99


def test_a_hotspot_gets_its_share_of_operations() -> None:
    counts = drawn(HotspotChooser(hot_keys=0.1, hot_operations=0.7), 100)
    assert sum(counts[i] for i in range(10)) / DRAWS == pytest.approx(0.7, abs=0.01)


@given(
    st.sampled_from([Uniform(), Zipfian(), Latest(), Hotspot(), Hotspot(hot_keys=0.0), Hotspot(hot_keys=1.0)]),
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.integers(0, 100),
)
def test_every_choice_is_among_the_keys_that_there_are(keys: Uniform, counts: list[int], seed: int) -> None:
    chooser, chance = chooser_for(keys), Chance(seed, "draws")
    assert all(0 <= chooser.next(chance, count) < count for count in counts)
