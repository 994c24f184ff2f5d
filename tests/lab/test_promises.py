"""What a design claims beside what its histories say."""

from collections.abc import Callable

import pytest

from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict
from kvsim.core.guarantee import Level, consistency, durability
from kvsim.lab.observations import Observations
from kvsim.lab.promises import Judged, judge_run, summed_up

CLAIM = consistency(Level.LINEARIZABLE, "it is said")
QUIET = durability("in memory", judged=False)

STALE = [
    (0, 0, 1, "ok", "put", "k", "old"),
    (0, 2, 3, "ok", "put", "k", "new"),
    (1, 10, 11, "ok", "read", "k", "old"),
]


@pytest.fixture
def refuted(seen: Callable[..., Observations]) -> Verdict:
    return judge_run(seen(STALE), [])["linearizable"]


def summary(*verdicts: Verdict) -> list[Judged]:
    return summed_up(("r=1", f"r=1,seed={i}", [CLAIM, QUIET], {"linearizable": v}) for i, v in enumerate(verdicts))


def test_a_stale_read_refutes_linearizability(refuted: Verdict) -> None:
    assert isinstance(refuted, Refuted)


def test_one_refuting_history_refutes_the_claim_and_is_shown(refuted: Verdict) -> None:
    judged = summary(NotRefuted(), refuted)[0]
    assert (judged.verdict, judged.claimed) == ("refuted", True)
    assert judged.evidence.startswith("r=1,seed=1: key k: ")


def test_an_undecided_history_leaves_the_claim_unknown_with_the_reason() -> None:
    judged = summary(NotRefuted(), Undecided("too many operations"))[0]
    assert (judged.verdict, judged.evidence) == ("unknown", "r=1,seed=1: too many operations")


def test_not_refuted_says_in_how_many_histories() -> None:
    assert summary(NotRefuted(), NotRefuted())[0].evidence == "in 2 histories"


def test_a_promise_without_a_judge_is_listed_without_a_verdict() -> None:
    assert [judged.verdict for judged in summary(NotRefuted())] == ["not_refuted", ""]


def test_what_is_not_claimed_is_judged_all_the_same_and_says_so(refuted: Verdict) -> None:
    [quiet, judged] = summed_up([("", "seed=0", [QUIET], {"linearizable": refuted})])
    assert quiet.claimed
    assert not judged.claimed
    assert judged.verdict == "refuted"


def test_points_with_different_verdicts_get_a_row_each(refuted: Verdict) -> None:
    rows = summed_up(
        [
            ("r=1", "r=1,seed=0", [CLAIM], {"linearizable": refuted}),
            ("r=3", "r=3,seed=0", [CLAIM], {"linearizable": NotRefuted()}),
        ]
    )
    assert [(row.verdict, row.points) for row in rows] == [("refuted", ("r=1",)), ("not_refuted", ("r=3",))]
