"""Every experiment that comes with kvsim shows what it says that it shows, within its time."""

import time
from pathlib import Path

import pytest

from kvsim.lab.bundled import list_experiments
from kvsim.lab.experiment import load
from kvsim.lab.plots import draw_all

CORE_SECONDS = 10


@pytest.mark.parametrize("name", list_experiments())
def test_a_bundled_experiment_shows_its_findings(name: str, tmp_path: Path) -> None:
    experiment = load(name)
    assert experiment.question.endswith("?")
    assert len(experiment.comment) > 100, "a comment at the head explains what is seen"
    assert experiment.expectations
    started = time.process_time()
    report = experiment.run()
    spent = time.process_time() - started
    assert [finding for finding in report.findings if not finding.holds] == []
    assert report.failures == []
    assert report.exit_code == 0
    assert spent < 3 * CORE_SECONDS, f"took {spent:.0f} s; {CORE_SECONDS} s of an idle core are allowed"
    # A picture whose parts find no room warns, and a warning is an error here.
    assert {plot.name for plot in draw_all(report, tmp_path)} >= {f"compare-{axis.name}" for axis in experiment.axes}
