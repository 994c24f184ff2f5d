"""Tables on the terminal fit into 80 columns, and break no word, no label and no value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.cli.tables import folded


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("recovery_s[crash][election_timeout=75ms] > 0.06", ["recovery_s[crash]", "[election_timeout=75ms] >", "0.06"]),
        ("it took at most 17.25 ms of it", ["it took at most", "17.25 ms of it"]),
        ("seed by seed, about 94.5 %", ["seed by seed, about", "94.5 %"]),
        ("at most 2,466 operations", ["at most 2,466", "operations"]),
        ("p99[replicas=5,clients=16]", ["p99[replicas=5,", "clients=16]"]),
    ],
)
def test_lines_end_between_words_and_never_before_a_unit(text: str, lines: list[str]) -> None:
    assert folded(text, max(map(len, lines)) if "recovery" in text else 20) == "\n".join(lines)


@given(st.text("ab 1,[]ms%", max_size=80), st.integers(5, 30))
def test_no_line_is_wider_and_nothing_is_lost(text: str, width: int) -> None:
    found = folded(text, width)
    assert all(len(line) <= width for line in found.split("\n"))
    assert found.replace("\n", "").replace(" ", "") == text.replace(" ", "")
