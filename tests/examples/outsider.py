"""A user's own folder: pytest runs there as he runs it, with kvsim installed and none of kvsim's own configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pytest ARGUMENTS` in this folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "KVSIM_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
