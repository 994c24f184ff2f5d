"""One seed, one run: draws are the same on every Python, and a draw on one stream leaves all others unchanged."""

from __future__ import annotations

import hashlib
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.chance import Chance


def test_the_first_draws_are_pinned() -> None:
    """Recorded runs must repeat on every Python that kvsim supports."""
    chance = Chance(1, "pinned")
    items = list(range(8))
    chance.shuffle(items)
    assert items == [3, 7, 1, 2, 4, 6, 0, 5]
    assert chance.below(1_000) == 349
    assert chance.between(10, 99) == 31
    assert chance.pick("abcdefgh") == "b"
    assert chance.uniform01() == 0.5970785705420621
    assert chance.uniform(2.0, 3.0) == 2.0044285318505537
    # Logarithms and powers are those of the machine's C library, which may differ in the last digit.
    assert chance.exponential(1.0) == pytest.approx(2.6849677223907777, rel=1e-12)
    assert chance.normal(0.0, 1.0) == pytest.approx(1.5901610432836635, rel=1e-12)
    assert chance.normal(0.0, 1.0) == pytest.approx(-1.4422213518853861, rel=1e-12)
    assert chance.lognormal(1.0, 0.5) == pytest.approx(1.6641079959894665, rel=1e-12)
    assert chance.pareto(1.0, 2.0) == pytest.approx(1.080750202848571, rel=1e-12)
    assert chance.below(2**70) == 1_076_784_954_704_597_251_566


@given(st.lists(st.sampled_from(["early", "late", "below", "normal"]), max_size=30))
def test_draws_are_those_of_one_generator_whoever_took_the_function_when(kinds: list[str]) -> None:
    """A stream keeps no generator for its first draws; nobody must be able to tell."""
    chance, early = Chance(3, "a").stream("b"), Chance(3, "a/b").uniform01
    digest = hashlib.blake2b(b"3/a/b", digest_size=16).digest()
    plain = random.Random(int.from_bytes(digest, "big"))
    assert [early() for _ in range(30)] == [plain.random() for _ in range(30)]
    plain.seed(int.from_bytes(digest, "big"))
    early = chance.uniform01
    for kind in kinds:
        if kind == "early":
            assert early() == plain.random()
        elif kind == "late":
            assert chance.uniform01() == plain.random()
        elif kind == "below":
            assert chance.below(1_000) == plain.randrange(1_000)
        else:
            assert chance.normal(0.0, 1.0) == plain.gauss(0.0, 1.0)


def test_streams_are_independent_of_each_others_draws_and_of_the_order_of_making() -> None:
    plain = [Chance(7, "world").stream("network").below(10**9) for _ in range(2)]
    busy = Chance(7, "world")
    faults = busy.stream("faults")
    for _ in range(100):
        faults.below(10)
        busy.uniform01()
    assert busy.stream("network").below(10**9) == plain[0] == plain[1]


def test_streams_differ_by_name_and_by_seed() -> None:
    firsts = {Chance(seed, path).below(2**62) for seed in range(10) for path in ("a", "b", "a/b")}
    assert len(firsts) == 30


def test_a_stream_is_named_by_its_path() -> None:
    assert Chance(3, "node/a").stream("timeouts").below(10**9) == Chance(3, "node/a/timeouts").below(10**9)


def test_what_is_certain_draws_nothing() -> None:
    chance, untouched = Chance(1, "x"), Chance(1, "x")
    assert not chance.happens(0)
    assert chance.happens(1)
    assert chance.uniform01() == untouched.uniform01()


@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(-20, 20), st.integers(0, 20))
def test_draws_keep_their_bounds(seed: int, bound: int, low: int, width: int) -> None:
    chance = Chance(seed, "bounds")
    assert 0 <= chance.below(bound) < bound
    assert low <= chance.between(low, low + width) <= low + width
    assert chance.exponential(2.0) >= 0
    assert chance.pareto(3.0, 1.5) >= 3.0
    assert low <= chance.uniform(low, low + width) <= low + width


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda c: c.exponential(3.0), 3.0),
        (lambda c: c.normal(5.0, 2.0), 5.0),
        (lambda c: math.log(c.lognormal(10.0, 0.7)), math.log(10.0)),
        (lambda c: c.pareto(1.0, 3.0), 1.5),
        (lambda c: float(c.happens(0.3)), 0.3),
    ],
    ids=["exponential", "normal", "lognormal", "pareto", "happens"],
)
def test_means_are_those_of_the_distributions(draw: object, mean: float) -> None:
    chance = Chance(11, "means")
    drawn = [draw(chance) for _ in range(20_000)]  # type: ignore[operator]
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.05)
