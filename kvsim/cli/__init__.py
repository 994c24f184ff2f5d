"""The command line: a file for each command. Heavy libraries are imported when a command needs them, not before."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `kvsim`. Whatever the input, the answer is a result or a short error, never a traceback."""
    from kvsim.cli.app import run

    sys.exit(run(sys.argv[1:]))
