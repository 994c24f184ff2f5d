"""Six runs give the same bytes whatever the interpreter and its hash seed. `pytest --update` writes them anew.

Other interpreters take part when `make golden` has made their environments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OTHERS = [ROOT / f".venv-{version}" / "bin" / "python" for version in ("3.11", "3.12", "3.13")]


def golden() -> dict[str, dict[str, str]]:
    return {file.stem: json.loads(file.read_text()) for file in sorted(HERE.glob("*.json"))}


def given_by(python: str | Path, hash_seed: str) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [str(python), "-m", "tests.golden"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_golden_runs_under_two_hash_seeds(request: pytest.FixtureRequest) -> None:
    one, other = given_by(sys.executable, "1"), given_by(sys.executable, "4242")
    assert one == other
    if request.config.getoption("--update"):
        for name, hashes in one.items():
            (HERE / f"{name}.json").write_text(json.dumps(hashes, indent=2) + "\n")
    assert len(one) == 6
    assert one == golden()


@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parts[-3])
def test_golden_runs_by_other_interpreters(python: Path) -> None:
    if not python.exists():
        pytest.skip(f"there is no {python.parts[-3]}; make it with: make golden")
    assert given_by(python, "7") == golden()
