"""The pytest plugin: a strategy named on the command line is a test a check, with a sentence where it fails."""

from __future__ import annotations

from pathlib import Path

from kvsim.testing.suites import checks_of
from tests.examples.outsider import pytest_in

SABOTAGES = Path(__file__).parent / "sabotages"
QUICK = ("-k", "not hunt and not one_seed and not every_other_choice")


def test_a_file_and_a_class_are_all_it_takes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((SABOTAGES / "partitionings.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_other.py").write_text("def test_other():\n    assert False\n", encoding="utf-8")
    done = pytest_in(tmp_path, "--kvsim", "mine.py:ForgetsAReplica", *QUICK)
    assert done.returncode == 1
    assert "FAILED mine.py:ForgetsAReplica::each_key_has_different_nodes" in done.stdout
    assert "preference_list(b'', 2) among 2 nodes is ('data-1',), 1 of 2 nodes" in done.stdout
    assert "remedy: return min(n, len(self.members)) nodes" in done.stdout
    assert "kvsim/testing" not in done.stdout, "where the kit raised tells nothing of the strategy"
    assert "test_other" not in done.stdout, "where no test is named, none but the checks are run"


def test_each_check_is_a_test_beside_those_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n", encoding="utf-8")
    done = pytest_in(tmp_path, "--kvsim", "modulo", "--collect-only", "-q", "test_other.py")
    assert [line.rpartition("::")[2] for line in done.stdout.splitlines() if "::" in line] == [
        "test_other",
        *(check.__name__ for check in checks_of("partitioning")),
    ]


def test_keys_of_the_design_are_set_on_the_command_line(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--kvsim", "quorum", "--kvsim-set", "replication.w=9", "--collect-only")
    assert done.returncode == 4
    assert "--kvsim quorum: design: replication = 'quorum': R=2 and W=9 cannot exceed N=3" in done.stderr
    done = pytest_in(tmp_path, "--kvsim", "quorum", "--kvsim-set", "replication.w=3", "-q", "-k", "settings")
    assert done.returncode == 0, done.stdout


def test_what_cannot_be_found_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--kvsim", "mine.py:Mine")
    assert done.returncode == 4
    assert "ERROR: --kvsim mine.py:Mine: there is no file mine.py in " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    done = pytest_in(tmp_path, "--kvsim", "quorum", "--kvsim-set", "w")
    assert "expected KEY=VALUE" in done.stderr


def test_a_failing_test_shows_the_students_line_and_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((SABOTAGES / "partitionings.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(
        "from kvsim.testing import check_partitioning\n\n\ndef test_mine():\n"
        '    check_partitioning("mine.py:ForgetsAReplica")\n',
        encoding="utf-8",
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 1
    assert "test_mine.py:5: ContractBroken" in done.stdout
    assert "kvsim/testing" not in done.stdout


def test_a_class_serves_as_well_as_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text((SABOTAGES / "partitionings.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(
        "import mine\nimport pytest\nfrom kvsim.testing import ContractBroken, check_partitioning\n\n\n"
        'def test_mine():\n    with pytest.raises(ContractBroken, match="mine.py:NamesAStranger"):\n'
        "        check_partitioning(mine.NamesAStranger)\n",
        encoding="utf-8",
    )
    done = pytest_in(tmp_path, "-q")
    assert "1 passed" in done.stdout, done.stdout
