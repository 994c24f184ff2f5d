"""Faults of others are all counted, and logged at most once a second a kind."""

import pytest

from kvsim.transport import complaints
from kvsim.transport.complaints import Complaints


def test_a_flood_of_faults_is_one_line_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_ns = 5 * 10**9
    monkeypatch.setattr(complaints.time, "monotonic_ns", lambda: now_ns)
    some = Complaints()
    for _ in range(1_000):
        some.add("corrupt frames", "a corrupt frame")
        some.add("refused strangers", "a stranger")
    now_ns += 10**9
    some.add("corrupt frames", "a corrupt frame")
    assert some.counts == {"corrupt frames": 1_001, "refused strangers": 1_000}
    assert [record.getMessage() for record in caplog.records] == [
        "a corrupt frame",
        "a stranger",
        "a corrupt frame (and 999 more like this)",
    ]
