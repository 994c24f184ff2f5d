"""The runs of a sweep that are finished, each in a file of its own, named by a hash of all that decides it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kvsim.lab.outcome import Outcome, read_outcome


class Finished:
    """The folder of finished runs. A file is there whole or not at all, so a sweep may be killed at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink(missing_ok=True)

    def put(self, key: str, outcome: bytes) -> None:
        """Keep an encoded outcome."""
        part = self.folder / f"{key}.part"
        part.write_bytes(outcome)
        os.replace(part, self._file(key))

    def get(self, key: str) -> Outcome | None:
        """The outcome of this key, if it is kept and can be read."""
        try:
            return read_outcome(self._file(key).read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def seen(self, key: str) -> bytes:
        """What the clients of a kept run saw, packed."""
        found = self.get(key)
        assert found is not None, "asked only of runs that were there"
        return found.seen

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.run"
