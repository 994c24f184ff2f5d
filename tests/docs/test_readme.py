"""What the README shows works as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import kvsim

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_experiment_in_the_readme_runs_and_its_findings_hold(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "readme.toml"
    file.write_text(example, encoding="utf-8")
    report = kvsim.load(file).run()
    assert [finding.holds for finding in report.findings] == [True, True, True]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), f"README links {target}"
