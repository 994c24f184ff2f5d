"""One seed gives one run, whatever the interpreter's hash seed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.core.trace import Entry
from tests.sim.test_trace import busy_run

ROOT = Path(__file__).parent.parent.parent


def fingerprint(seed: int) -> str:
    trace: list[Entry] = []
    busy_run(seed, trace)
    return hashlib.sha256(b"".join(entry.line() for entry in trace)).hexdigest()


@settings(max_examples=10)
@given(st.integers(0, 2**63))
def test_the_same_seed_gives_the_same_events(seed: int) -> None:
    assert fingerprint(seed) == fingerprint(seed)


def test_another_seed_gives_others() -> None:
    assert fingerprint(1) != fingerprint(2)


def test_the_hash_seed_does_not_matter() -> None:
    found = set()
    for hash_seed in ("0", "1", "12345"):
        code = "from tests.sim.test_determinism import fingerprint; print(fingerprint(7))"
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout)
    assert found == {fingerprint(7) + "\n"}
