"""Versions order what is newer, read as they are written, and no clock gives one twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.version import LOGICAL_BITS, NEVER, HybridClock, LamportClock, Version, WallClock

COUNTERS = st.integers(0, 2**63 - 1)
NODES = st.sampled_from(["", "a", "data-1", "data-1+2", "node.with.dots"])
VERSIONS = st.builds(Version, COUNTERS, NODES)
DAY_NS = 86_400 * 10**9


@given(VERSIONS)
def test_a_version_reads_as_it_is_written(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(VERSIONS, VERSIONS)
def test_the_counter_decides_and_the_node_breaks_ties(one: Version, other: Version) -> None:
    assert (one < other) == ((one.counter, one.node) < (other.counter, other.node))
    assert one >= NEVER


@pytest.mark.parametrize("text", ["", "x", "-1", "1x.a", "٣.a", ".a", "9223372036854775808", "9" * 5_000])
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        Version.parse(text)


class Wall:
    """A calendar that shows what the test says."""

    def __init__(self) -> None:
        self.time_ns = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.time_ns


def clocks() -> tuple[Wall, list[LamportClock]]:
    wall = Wall()
    return wall, [LamportClock("a"), HybridClock("a", wall), WallClock("a", wall)]


@given(st.lists(st.integers(-DAY_NS, DAY_NS) | VERSIONS, max_size=30))
def test_no_clock_ever_gives_a_version_twice_or_goes_back(happenings: list[int | Version]) -> None:
    """Whatever the calendar does, and whatever is heard."""
    wall, all_clocks = clocks()
    for clock in all_clocks:
        last = NEVER
        for happening in happenings:
            if isinstance(happening, int):
                wall.time_ns += happening
            elif happening.counter < 2**62:
                clock.saw(happening)
            given_ = clock.next()
            assert given_ > last
            last = given_


@given(st.integers(-DAY_NS, DAY_NS), st.integers(0, 2**62))
def test_lamport_and_hybrid_clocks_go_on_from_what_they_saw(step_ns: int, counter: int) -> None:
    wall, (lamport, hybrid, _) = clocks()
    wall.time_ns += step_ns
    for clock in (lamport, hybrid):
        clock.saw(Version(counter, "z"))
        assert clock.next() > Version(counter, "z")


def test_a_hybrid_clock_keeps_close_to_the_calendar() -> None:
    wall = Wall()
    clock = HybridClock("a", wall)
    for _ in range(100):
        wall.time_ns += 1_000_000
        assert 0 <= wall.time_ns - clock.next().counter < 2**LOGICAL_BITS


def test_a_hybrid_clock_counts_within_a_tick_without_leaving_it() -> None:
    wall = Wall()
    clock = HybridClock("a", wall)
    first = clock.next().counter
    assert [clock.next().counter - first for _ in range(3)] == [1, 2, 3]
    wall.time_ns += 2 << LOGICAL_BITS
    assert clock.next().counter > first + 3


def test_a_wall_clock_believes_nobody() -> None:
    wall = Wall()
    clock = WallClock("a", wall)
    clock.saw(Version(wall.time_ns + DAY_NS, "z"))
    assert clock.next() == Version(wall.time_ns, "a")
