"""Whatever is lost, cut or crashed, and in whatever order it comes: what a design claims is not refuted."""

from __future__ import annotations

from typing import Any

import pytest

from kvsim.check.linearizable import linearizable
from kvsim.check.verdict import NotRefuted, Refuted
from tests.strategies.quorum.schedules import Schedule

LAMPORT = {"strategy": "last_writer_wins", "clock": "lamport"}


def quorum(n: int, r: int, w: int, **design: Any) -> dict[str, Any]:
    return {
        "replication": {"strategy": "quorum", "n": n, "r": r, "w": w},
        "consistency": "linearizable",
        "conflict": LAMPORT,
        **design,
    }


@pytest.mark.parametrize(
    ("n", "r", "w"), [(3, 2, 2), (3, 1, 3), (3, 3, 1), (5, 2, 4), (4, 2, 3), (1, 1, 1)], ids=lambda value: str(value)
)
def test_a_linearizable_quorum_is_not_refuted(n: int, r: int, w: int) -> None:
    answered = 0
    for seed in range(25):
        schedule = Schedule(seed, quorum(n, r, w), n)
        verdict = linearizable(schedule.run(1_200))
        assert isinstance(verdict, NotRefuted), f"seed {seed}: {verdict}"
        answered += schedule.answered
    assert answered > 150, "lest nothing be judged"


def test_a_single_copy_is_not_refuted() -> None:
    for seed in range(25):
        verdict = linearizable(Schedule(seed, {"replication": "single_copy"}, 1).run(1_200))
        assert isinstance(verdict, NotRefuted), f"seed {seed}: {verdict}"


@pytest.mark.parametrize(
    "weaker",
    [
        quorum(3, 1, 1, consistency="eventual"),
        quorum(3, 2, 2, consistency="eventual"),
        quorum(3, 2, 2, durability="memory"),
    ],
    ids=["R+W ≤ N", "no version asked, nothing written back", "replicas that forget"],
)
def test_these_schedules_find_what_a_weaker_design_does_not_keep(weaker: dict[str, Any]) -> None:
    """Lest the tests above pass because the schedules are too tame."""
    verdicts = (linearizable(Schedule(seed, weaker, 3).run(1_200)) for seed in range(60))
    assert any(isinstance(verdict, Refuted) for verdict in verdicts)
