"""Settings are read with their units, and whatever is wrong is told at once, with its place and the nearest name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.settings import (
    SettingsError,
    duration_ns,
    nearest,
    rate_bytes_per_s,
    read_settings,
    shown_duration,
    size_bytes,
    toml_name,
)


class Lognormal(msgspec.Struct, frozen=True, tag="lognormal", tag_field="distribution"):
    median_ns: int


class Constant(msgspec.Struct, frozen=True, tag="constant", tag_field="distribution"):
    delay_ns: int = 0


class Part(msgspec.Struct, frozen=True):
    name: str
    weight: float = 1.0


class Settings(msgspec.Struct, frozen=True):
    name: str
    timeout_ns: Annotated[int, msgspec.Meta(ge=1)] = 10**9
    size_bytes: int = 4_096
    bandwidth_bytes_per_s: int | None = None
    copies: Annotated[int, msgspec.Meta(ge=1)] = 3
    mode: Literal["sync", "async"] = "sync"
    latency: Lognormal | Constant = Constant()
    parts: tuple[Part, ...] = ()
    pauses_ns: tuple[int, ...] = ()
    exact: bool = False


def read(**table: Any) -> Settings:
    return read_settings(Settings, {"name": "n", **table}, "FILE: design")


def problems(**table: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read(**table)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def test_what_is_left_out_has_its_default() -> None:
    assert read() == Settings("n")


def test_quantities_are_read_with_their_units() -> None:
    got = read(timeout="50ms", size="4KiB", bandwidth="1Gbit/s", pauses=["1s", "2us"])
    assert (got.timeout_ns, got.size_bytes, got.bandwidth_bytes_per_s) == (50_000_000, 4_096, 125_000_000)
    assert got.pauses_ns == (1_000_000_000, 2_000)


def test_a_number_may_stand_under_the_name_that_has_the_unit() -> None:
    assert read(timeout_ns=50).timeout_ns == 50
    assert read(size=100).size_bytes == 100, "bytes are counted"


def test_a_time_without_a_unit_is_refused_but_zero_is_zero() -> None:
    assert problems(timeout=50) == ['FILE: design.timeout: a time needs its unit, as in "50ms"; got 50']
    assert read(latency={"distribution": "constant", "delay": 0}).latency == Constant(0)


def test_nested_tables_lists_of_tables_and_tagged_tables() -> None:
    got = read(
        latency={"distribution": "lognormal", "median": "1ms"}, parts=[{"name": "x"}, {"name": "y", "weight": 2}]
    )
    assert got.latency == Lognormal(1_000_000)
    assert got.parts == (Part("x"), Part("y", 2.0))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"copys": 3}, "FILE: design.copys: unknown key; did you mean 'copies'?"),
        ({"zzz": 3}, "FILE: design.zzz: unknown key; there is bandwidth, copies, exact, latency, mode, name"),
        ({"copies": "x"}, "FILE: design.copies: expected a whole number, got 'x'"),
        ({"copies": 0}, "FILE: design.copies: expected a whole number >= 1, got 0"),
        ({"copies": True}, "FILE: design.copies: expected a whole number, got true"),
        ({"timeout": "50"}, "FILE: design.timeout: expected a quantity like '50ms' (units: ns, us, µs, ms, s, min, h)"),
        ({"timeout": "-5ms"}, "FILE: design.timeout: must not be negative, got '-5ms'"),
        ({"timeout": "5 parsecs"}, "FILE: design.timeout: expected a quantity like '50ms'"),
        ({"timeout_ns": -5}, "FILE: design.timeout_ns: expected a whole number >= 1, got -5"),
        ({"bandwidth": "1Gbit"}, "FILE: design.bandwidth: expected a quantity like '100MB/s'"),
        ({"mode": "asynk"}, "FILE: design.mode: unknown 'asynk'; did you mean 'async'?"),
        ({"latency": {}}, "FILE: design.latency.distribution: missing; one of constant, lognormal"),
        (
            {"latency": {"distribution": "lognorm"}},
            "FILE: design.latency.distribution: unknown 'lognorm'; did you mean",
        ),
        ({"latency": {"distribution": "lognormal"}}, "FILE: design.latency.median: missing; every latency needs it"),
        ({"parts": [{"name": "x"}, {"nam": "y"}]}, "FILE: design.parts[1].nam: unknown key; did you mean 'name'?"),
        ({"parts": {"name": "x"}}, "FILE: design.parts: expected a list, got {'name': 'x'}"),
        ({"pauses": ["1s", "x"]}, "FILE: design.pauses[1]: expected a quantity like '50ms'"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_mistake_is_named_with_its_place_and_remedy(table: dict[str, Any], expected: str) -> None:
    assert problems(**table)[0].startswith(expected)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(Settings, {"timeout": "x", "copies": 0, "siz": 1}, "FILE: design")
    places = [problem.split(": ")[1] for problem in refused.value.problems]
    assert places == ["design.timeout", "design.copies", "design.siz", "design.name"]


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"FILE: design: expected a table, got 3"):
        read_settings(Settings, 3, "FILE: design")  # type: ignore[arg-type]


def test_what_fields_say_only_together_is_a_problem_too() -> None:
    class Range(msgspec.Struct, frozen=True):
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low must not exceed high")

    with pytest.raises(SettingsError, match=r"^FILE: x: low must not exceed high"):
        read_settings(Range, {"low": 2}, "FILE: x")


@given(
    st.integers(0, 10**12),
    st.sampled_from([("ns", 1), ("us", 10**3), ("ms", 10**6), ("s", 10**9), ("h", 3_600 * 10**9)]),
)
def test_durations_are_exact(count: int, unit: tuple[str, int]) -> None:
    assert duration_ns(f"{count}{unit[0]}") == count * unit[1]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("1.5ms", 1_500_000), (" 2 s ", 2 * 10**9), ("1_000us", 10**6), ("1min", 60 * 10**9), ("0s", 0)],
)
def test_durations_in_words(text: str, parsed: int) -> None:
    assert duration_ns(text) == parsed


@pytest.mark.parametrize(("text", "parsed"), [("100", 100), ("4KiB", 4_096), ("1kB", 1_000), ("2MiB", 2_097_152)])
def test_sizes_in_words(text: str, parsed: int) -> None:
    assert size_bytes(text) == parsed


@pytest.mark.parametrize(
    ("text", "parsed"), [("8bit/s", 1), ("1Gbit/s", 125_000_000), ("100MB/s", 10**8), ("1KiB/s", 1_024)]
)
def test_rates_in_words(text: str, parsed: int) -> None:
    assert rate_bytes_per_s(text) == parsed


@pytest.mark.parametrize(
    ("time_ns", "shown"),
    [(1_500_000, "1.5 ms"), (2 * 10**9, "2 s"), (999, "999 ns"), (1_000, "1 µs"), (-3_000_000, "-3 ms"), (0, "0 ns")],
)
def test_durations_for_people(time_ns: int, shown: str) -> None:
    assert shown_duration(time_ns) == shown


def test_keys_are_fields_without_their_unit() -> None:
    names = [toml_name(name) for name in ("timeout_ns", "size_bytes", "bandwidth_bytes_per_s", "copies")]
    assert names == ["timeout", "size", "bandwidth", "copies"]


def test_a_misspelt_name_gets_the_nearest_and_what_else_there_is() -> None:
    assert nearest("qourum", ["raft", "quorum"]) == "; did you mean 'quorum'? Others: raft"
    assert nearest("qourum", ["quorum"]) == "; did you mean 'quorum'?"
    assert nearest("xyz", ["quorum", "raft"]) == "; there is quorum, raft"
    assert nearest("xyz", []) == ""


def test_a_long_list_of_names_is_cut_to_be_read_at_one_glance() -> None:
    said = nearest("quorun", ["quorum", *(f"strategy-{number:03}" for number in range(100))])
    assert "Others: strategy-000, strategy-001" in said
    assert said.endswith(" more")
    assert len(said) < 230
