"""The language of [expect]: what it reads, and what it refuses with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.lab.conditions import Reference, parse_condition, parse_reference

VALUES = {"x": 4.0, "y": 10.0}


def margins(text: str, subject: float) -> list[float]:
    return parse_condition(text).margins(subject, lambda reference: VALUES[reference.metric])


@pytest.mark.parametrize(
    ("text", "subject", "holds"),
    [
        ("> 3", 4, True),
        ("> 3", 3, False),
        ("< 0.5 * y", 4, True),
        ("< y / x - 2", 0.4, True),
        ("> 2 * (x + 1)", 10.5, True),
        ("< -1", -2, True),
        ("within 10% of y", 10.9, True),
        ("within 10% of y", 11.1, False),
        ("within 0.5 of y", 10.6, False),
        ("between x and y", 7, True),
        ("between 1 - 0.5 * 1.4 / 2.5 and 0.8", 0.7, False),
        ("> 1_000", 1_001, True),
        ("< 2e3", 1_001, True),
    ],
)
def test_conditions_hold_where_arithmetic_says(text: str, subject: float, holds: bool) -> None:
    assert all(margin > 0 for margin in margins(text, subject)) is holds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("= 3", "expected a condition"),
        ("bigger than x", "expected a condition"),
        ("> ", "expected a condition"),
        ("> 3 *", "missing"),
        ("> (3", "bracket"),
        ("> 3 4", "does not belong"),
        ("> 3 ? 4", "cannot read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "metric", "where"),
    [
        ("stale_read_share", "stale_read_share", ()),
        ("stale_read_share[r=1]", "stale_read_share", (("r", "1"),)),
        ("recovery_s[crash]", "recovery_s[crash]", ()),
        ("recovery_s[crash][variant=raft]", "recovery_s[crash]", (("variant", "raft"),)),
        ("recovery_s[crash,variant=raft]", "recovery_s[crash]", (("variant", "raft"),)),
        ("x[replication=quorum(r=1,w=2),n=3]", "x", (("replication", "quorum(r=1,w=2)"), ("n", "3"))),
    ],
)
def test_a_reference_tells_faults_from_axes(text: str, metric: str, where: tuple[tuple[str, str], ...]) -> None:
    assert parse_reference(text) == Reference(metric, where)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_products_bind_before_sums(a: float, b: float, c: float) -> None:
    values = {"a": a, "b": b, "c": c}
    [margin] = parse_condition("> a + b * c").margins(0.0, lambda reference: values[reference.metric])
    assert margin == -(a + b * c)
