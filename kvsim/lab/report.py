"""What an experiment showed: all its runs, the metrics of its points, its findings, and its designs' promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from kvsim.check.verdict import Verdict, verdict_as_json
from kvsim.check.wording import counted
from kvsim.core.settings import shown_duration
from kvsim.lab.defects import alike_together
from kvsim.lab.expect import Finding, Measured, Where, judge
from kvsim.lab.experiment import Experiment, Setup
from kvsim.lab.observations import Observations
from kvsim.lab.promises import Judged, levels_satisfied, summed_up
from kvsim.lab.run import Run
from kvsim.lab.statistics import Estimate, estimate
from kvsim.lab.story import MARKS

RAN, NOT_HELD, UNKNOWN = 0, 1, 3
"""Exit codes; 2 is for wrong input."""

USUAL = (
    "throughput_ops_per_s", "read_latency_p99_s", "write_latency_p99_s", "scan_latency_p99_s", "availability_share",
    "stale_read_share", "acknowledged_writes_lost", "messages_per_op", "load_max_over_mean",
)  # fmt: skip
"""What a table or a figure shows when the findings leave room."""


class Report:
    """All runs of an experiment, point by point and seed by seed."""

    def __init__(
        self, experiment: Experiment, seed: int, runs: Sequence[Run], problems: Mapping[str, str] | None = None
    ) -> None:
        self.experiment, self.seed, self.runs = experiment, seed, list(runs)
        self.problems = problems or {}
        """Runs that could not be made, by their labels, and why; the points that they belong to are left out."""

    @cached_property
    def points(self) -> list[Measured]:
        """Each point's metrics, a dictionary for each seed."""
        return [Measured(setup.where, [run.metrics for run in self.runs_of(setup)]) for setup in self.experiment.setups]

    def runs_of(self, setup: Setup) -> list[Run]:
        """The runs of one point, a seed after the other."""
        return self._by_point[setup.where]

    @cached_property
    def _by_point(self) -> dict[Where, list[Run]]:
        found: dict[Where, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.setup.where, []).append(run)
        return found

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Flat: `throughput_ops_per_s[r=1]`, the mean over the seeds that have the metric."""
        return {name: found.mean for name, found in self.estimates.items()}

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """As `metrics`, with the 95 % confidence intervals."""
        found = {}
        for point in self.points:
            for name in point.metric_names():
                found[labelled(name, point.label)] = estimate([at[name] for at in point.by_seed if name in at])
        return dict(sorted(found.items()))

    def key_metrics(self, most: int, varying: bool = False) -> list[str]:
        """What tells the story: the metrics of the findings, then the usual ones; or of these what varies."""
        asked = [e.subject.metric for e in self.experiment.expectations]
        names = [name for name in dict.fromkeys((*asked, *USUAL)) if self._of(name)]
        differing = [name for name in names if _differ([found.mean for found in self._of(name)])]
        chosen = differing if varying and differing else list(dict.fromkeys((*asked, *differing, *names)))
        return [name for name in chosen if self._of(name)][:most]

    def _of(self, metric: str) -> list[Estimate]:
        labels = [labelled(metric, point.label) for point in self.points]
        return [self.estimates[label] for label in labels if label in self.estimates]

    @cached_property
    def findings(self) -> list[Finding]:
        """What became of each line of `[expect]`."""
        return [finding for expected in self.experiment.expectations for finding in judge(expected, self.points)]

    @cached_property
    def promises(self) -> list[Judged]:
        """What the designs claim, and what the histories say."""
        return summed_up(
            (run.setup.label, run.label, run.setup.design.promises(), run.verdicts | self._levels(run))
            for run in self.runs
        )

    def _levels(self, run: Run) -> dict[str, Verdict]:
        """Of a point's first run, the levels of consistency that nobody claimed."""
        return levels_satisfied(run.seen, run.setup.design.promises()) if run.seed == self.seed else {}

    @property
    def failures(self) -> list[str]:
        """Runs that could not be made, and nodes that stopped by a defect of their own, each defect once."""
        lost = [f"{label}: could not be run: {problem}" for label, problem in self.problems.items()]
        stopped = []
        for run in self.runs:
            for failure in run.failures:
                node, colon, defect = failure.partition(": ")
                known = colon and node in run.setup.cluster.everyone()
                stopped.append((f"{run.label}: {node}", defect) if known else (run.label, failure))
        return lost + alike_together(stopped)

    @property
    def notes(self) -> list[str]:
        """What a reader must know before he trusts the numbers."""
        notes: list[tuple[str, str]] = []
        for run in self.runs:
            seen = run.seen
            notes += [
                (run.label, f"the fault {kind} never struck: its moment did not come, or nobody had the role")
                for kind in seen.never_struck
            ]
            notes += [(run.label, text) for text in (*_too_late(seen), *_killed(seen))]
            if seen.not_loaded:
                notes.append(
                    (
                        run.label,
                        f"{counted(seen.not_loaded, 'key')} could not be loaded, which the workload found absent",
                    )
                )
        return [*self.experiment.notes, *_on_warm_up(self.runs), *alike_together(notes)]

    @property
    def exit_code(self) -> int:
        """0: all held; 1: a finding or a promise did not, or a node failed; 3: a claimed promise stayed unknown."""
        claimed = [judged.verdict for judged in self.promises if judged.claimed]
        if self.failures or "refuted" in claimed or not all(finding.holds for finding in self.findings):
            return NOT_HELD
        return UNKNOWN if "unknown" in claimed else RAN

    def as_json(self) -> dict[str, Any]:
        """Everything but the histories, as plain data."""
        return {
            "title": self.experiment.title,
            "question": self.experiment.question,
            "seeds": [self.seed + number for number in range(self.experiment.seeds)],
            "findings": [finding._asdict() for finding in self.findings],
            "promises": [
                {
                    "subject": judged.promise.subject,
                    "claim": judged.promise.claim,
                    "claimed": judged.claimed,
                    "verdict": judged.verdict or "not_judged",
                    "evidence": judged.evidence,
                    "points": list(judged.points),
                }
                for judged in self.promises
            ],
            "notes": self.notes,
            "failures": self.failures,
            "metrics": {name: found._asdict() for name, found in self.estimates.items()},
            "verdicts": {
                run.label: {name: verdict_as_json(verdict) for name, verdict in run.verdicts.items()}
                for run in self.runs
            },
            "exit_code": self.exit_code,
        }


def _on_warm_up(runs: Sequence[Run]) -> list[str]:
    """How much the rule has left out of the runs whose warm-up is not stated."""
    ruled = [run for run in runs if run.setup.workload.warm_up_ns == "auto"]
    cut = [run.seen.phases.measured_ns - run.seen.phases.workload_ns for run in ruled]
    if not ruled:
        return []
    notes = [f"warm-up, by MSER-5 (White 1997): left out of each run {_range(min(cut), max(cut))}"]
    halves = [MARKS * (run.setup.workload.duration_ns // (2 * MARKS)) for run in ruled]
    short = sum(cut_ns >= half_ns for cut_ns, half_ns in zip(cut, halves, strict=True))
    if short:
        all_runs = counted(len(ruled), "run")
        notes.append(f"{short} of {all_runs} did not settle in the first half; make workload.duration longer")
    return notes


def _range(low_ns: int, high_ns: int) -> str:
    low, high = shown_duration(low_ns), shown_duration(high_ns)
    return low if low == high else f"{low} to {high}"


def _killed(seen: Observations) -> list[str]:
    return [
        f"{node} held more than its memory and was killed {'once' if kills == 1 else f'{kills} times'}"
        for node, kills in (seen.costs.kills_by_node or {}).items()
        if kills
    ]


def _too_late(seen: Observations) -> list[str]:
    """Faults that no operation of the workload can have met."""
    phases = seen.phases
    end = shown_duration(phases.ended_ns - phases.workload_ns)
    return [
        f"the fault {fault.name} struck at {shown_duration(fault.start_ns - phases.workload_ns)}, after the workload's "
        f"end at {end}, so that only the final reads could meet it; let it strike earlier, or the workload last longer"
        for fault in seen.faults
        if fault.start_ns >= phases.ended_ns
    ]


def _differ(means: list[float]) -> bool:
    """Whether the values differ by more than could be seen in a picture."""
    return max(means) - min(means) > 0.01 * max(abs(mean) for mean in means)


def labelled(metric: str, label: str) -> str:
    """`recovery_s[crash]` at `r=1` is `recovery_s[crash,r=1]`."""
    if not label:
        return metric
    return f"{metric[:-1]},{label}]" if metric.endswith("]") else f"{metric}[{label}]"
