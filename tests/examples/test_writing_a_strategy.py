"""The page that teaches how to write a strategy works as it is printed: what it calls wrong is found, the cure cures,
and every file in it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kvsim
from kvsim.explore.explore import explore
from kvsim.explore.scenario import read_scenario
from kvsim.lab.toml_file import parse_table
from kvsim.testing import ContractBroken, check_replication
from kvsim.testing.suites import checks_of
from tests.examples.outsider import pytest_in

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-strategy.md").read_text(encoding="utf-8")
FIRST, CURED, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LAZY, SMALL = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A student's folder at the end of the page."""
    for name, text in (
        ("primary_copy.py", CURED),
        ("test_primary_copy.py", TEST),
        ("lazy.toml", LAZY),
        ("small.toml", SMALL),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def problem(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(ContractBroken) as refused:
        check_replication(f"{folder / name}:PrimaryCopy", hunt_runs=60)
    return str(refused.value)


def test_a_hunt_refutes_the_first_version_in_the_run_that_the_page_names(tmp_path: Path) -> None:
    found = re.search(r"convergence refuted in run (\d+): .*", problem(tmp_path, FIRST))
    assert found is not None
    assert found[0] in PAGE, "when the hunt draws otherwise, the page needs new figures"
    assert f"--seed {found[1]} --runs 1\nconvergence refuted" in PAGE


def test_the_students_own_test_passes_with_the_cure(folder: Path) -> None:
    done = pytest_in(folder, "-q")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_page_counts_the_checks_rightly() -> None:
    assert len(checks_of("replication")) == 20
    assert "Twenty checks" in PAGE


def test_the_experiment_shows_what_it_expects(folder: Path) -> None:
    report = kvsim.load(folder / "lazy.toml").run(seed=0)
    assert [finding for finding in report.findings if not finding.holds] == []


def test_the_small_world_is_explored_whole(folder: Path) -> None:
    found = explore(read_scenario(parse_table(SMALL, "small.toml"), "small.toml", folder))
    assert found.verdict == "not_refuted"


RED = {
    "an_answer_waits_for_the_disk": ("        await self.replica.apply(change)", "        self.replica.apply(change)"),
    "its_messages_have_tags_of_their_own": ('(Message, tag="primary_copy.copy")', "(Message)"),
    "its_source_asks_the_host_alone": ("import msgspec\n", "import msgspec\nimport random\n"),
    "operations_do_what_they_say": ("existed = self.replica.judge(op)", "existed = True"),
    "one_seed_gives_one_run": (
        "        self.owed = {}",
        "        self.lives.append(1)\n        self.host.after(len(self.lives), print)\n        self.owed = {}",
    ),
    "a_hunt_refutes_nothing": ('return "eventual"', 'return "linearizable"'),
}
"""Of the page's table of what turns it red: the check, and the change."""


@pytest.mark.parametrize("check", RED)
def test_what_the_page_says_turns_red_does(check: str, tmp_path: Path) -> None:
    old, new = RED[check]
    assert CURED.count(old) >= 1
    text = CURED.replace(old, new, 1).replace("    Settings =", "    lives = []\n    Settings =", 1)
    told = problem(tmp_path, text)
    [promise] = [" ".join((each.__doc__ or "").split()) for each in checks_of("replication") if each.__name__ == check]
    assert promise in told
    assert f"| `{check}`" in PAGE
