"""Progress: silence after the healing refutes it; a single late write or an early silence does not."""

from kvsim.check.progress import progress
from kvsim.check.verdict import NotRefuted, Refuted
from kvsim.core.history import History, Recorder


def history(*operations: tuple[int, str, str, str]) -> History:
    """Operations as (time, what, key, outcome), each by a process of its own and over after one nanosecond."""
    recorder = Recorder()
    for process, (time_ns, op, key, outcome) in enumerate(operations):
        recorder.invoke(process, time_ns, op, key, f"v{process}" if op == "put" else None)  # type: ignore[arg-type]
        recorder.complete(process, time_ns + 1, outcome)  # type: ignore[arg-type]
    return recorder.history


def test_a_key_whose_final_reads_all_fail_refutes_it() -> None:
    seen = history((10, "read", "a", "info"), (20, "read", "b", "ok"), (30, "read", "a", "fail"))
    verdict = progress(seen, 5, 10)
    assert isinstance(verdict, Refuted)
    assert verdict.witness.key == "a"
    assert "none of 2 reads of the key" in verdict.witness.sentence


def test_writes_in_vain_refute_it_and_one_that_is_heard_does_not() -> None:
    vain = [(10 * n, "put", "a", "info") for n in range(1, 4)]
    assert isinstance(progress(history(*vain), 5, 100), Refuted)
    assert isinstance(progress(history(*vain, (50, "put", "b", "ok")), 5, 100), NotRefuted)
    assert isinstance(progress(history(*vain[:2]), 5, 100), NotRefuted)


def test_what_was_asked_before_the_recovery_says_nothing() -> None:
    early = [(n, "put", "a", "info") for n in range(1, 9)]
    assert isinstance(progress(history(*early, (10, "read", "a", "info")), 100, 100), NotRefuted)
