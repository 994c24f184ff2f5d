"""How fast the hunt is, after how many runs it finds what is weak, and how short the stories are.

Run it by `python -m benchmarks.hunting`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from kvsim.lab.experiment import Experiment, read_experiment
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.folder import keep
from kvsim.lab.hunt.hunting import Tally, hunt_one
from kvsim.lab.hunt.shrink import shrink
from kvsim.lab.hunt.target import read_target
from kvsim.lab.hunt.trial import play

CORRECT = {
    "quorum": {"replication": "quorum", "consistency": "linearizable"},
    "raft": {"replication": "raft"},
    "primary-backup": {"replication": "primary_backup"},
}
RUNS = 60
WEAK = Path(__file__).parent.parent / "tests" / "hunt" / "weak"
WEAK_DESIGNS = {
    "quorum_early.py:AnswersEarly": (),
    "quorum_no_write_back.py:NoWriteBack": ('design.consistency="linearizable"',),
    "primary_async.py:ClaimsTooMuch": (),
    "primary_unfenced.py:BelievesInItself": (),
    "raft_old_reads.py:ReadsAtOnce": (),
    "raft_forgets_vote.py:ForgetsItsVote": (),
}
RUNS_AT_MOST = 400
PLANTED = Path(__file__).parent.parent / "docs" / "planted-bugs.md"


def speed(name: str, experiment: Experiment) -> None:
    """Runs a minute of one core, and simulated time beside it."""
    tally = Tally()
    begun = time.process_time()
    for seed in range(RUNS):
        tally.add(hunt_one(experiment, seed))
    took_s = time.process_time() - begun
    print(
        f"{name}: {60 * RUNS / took_s:,.0f} runs a minute and core, {tally.simulated_ns / 1e9 / took_s:,.0f} simulated "
        f"seconds a second, {tally.operations / took_s:,.0f} operations judged a second, {len(tally.refuted)} refuted"
    )


def find(name: str, experiment: Experiment, folder: Path) -> int | None:
    """Hunt a weak design until it is found; the steps of its story."""
    begun = time.process_time()
    for seed in range(RUNS_AT_MOST):
        case = draw_case(experiment, seed)
        findings = play(case).findings
        if not findings:
            continue
        found_s = time.process_time() - begun
        shrunk = shrink(case, findings[0])
        kept = keep(shrunk.case, shrunk.finding, folder / name.replace(":", "-"), name, "")
        shrunk_s = time.process_time() - begun - found_s
        print(
            f"{name}: {findings[0].judge} refuted after {seed + 1} runs ({found_s:.0f} s of a core); {len(kept.steps)} "
            f"steps, {len(shrunk.case.faults)} faults, {len(shrunk.case.script)} operations after {shrunk.tries} tries "
            f"({shrunk_s:.0f} s)"
        )
        return len(kept.steps)
    print(f"{name}: not found in {RUNS_AT_MOST} runs ({time.process_time() - begun:.0f} s of a core)")
    return None


def main() -> None:
    """Measure and print."""
    for name, design in CORRECT.items():
        speed(name, read_experiment({"design": design, "cluster": {"frontends": 2}}, Path("hunt.toml")))
    with tempfile.TemporaryDirectory() as folder:
        steps = [
            find(name, read_target(f"{WEAK / name}", settings), Path(folder)) for name, settings in WEAK_DESIGNS.items()
        ]
    told = [count for count in steps if count is not None]
    print(f"stories: {len(told)} of {len(steps)} weak designs found, median {statistics.median(told):.0f} steps")
    print(f"planted bugs, when make planted looked last: {planted()}")


def planted() -> str:
    """What docs/planted-bugs.md says of all planted bugs together: it takes too long to measure each time."""
    paragraphs = PLANTED.read_text(encoding="utf-8").split("\n\n")
    found = (" ".join(text.split()) for text in paragraphs if " mistakes are found by " in text)
    return next(found, "nothing; run make planted")


if __name__ == "__main__":
    main()
