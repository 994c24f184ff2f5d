"""A node's data directory: held by one process at a time, with the files of its disk and the count of its starts."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from kvsim.core.host import Recovered
from kvsim.core.message import SECOND
from kvsim.real.disk import replace_durably, sync_directory, sync_to_platter

TICK_NS = SECOND // 8
FIRST_TICK_NS = 1_767_225_600 * SECOND
"""The start of 2026: an incarnation counted from there fits 31 bits until 2034."""


class DataDirectoryError(Exception):
    """The directory is another process's, or damaged; the message says what to do."""


class HeldDirectory:
    """A directory that is made if need be, and held by this process; another one that wants it is told who has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"{path}: {error.strerror}; choose another data directory") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._lock, 20).decode(errors="replace") or "unknown"
            os.close(self._lock)
            raise DataDirectoryError(
                f"{path} is in use by process {holder}; stop it, or choose another data directory"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others have it; harmless when done twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class DataDirectory:
    """`with DataDirectory(path) as d:` holds a node's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = path / "files"

    def __enter__(self) -> DataDirectory:
        existed = self.files.exists()
        self._held = HeldDirectory(self.path)
        self.files.mkdir(exist_ok=True, mode=0o700)
        if not existed:
            sync_directory(self.path)
            sync_directory(self.path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.release()

    def recover(self) -> Recovered:
        """Count this start, and read what the last one left."""
        return Recovered(files=self._read(), incarnation=self._count())

    def _read(self) -> dict[str, bytes]:
        """All files, each synced first: what a killed process wrote may be in the system's cache alone, and the node
        vouches for what it finds."""
        found: dict[str, bytes] = {}
        for path in sorted(self.files.iterdir()):
            if path.suffix == ".new":  # a replacement that a crash cut short
                path.unlink()
                continue
            with path.open("rb+") as file:
                sync_to_platter(file.fileno())
                found[path.name] = file.read()
        sync_directory(self.files)
        return found

    def _count(self) -> int:
        path = self.path / "incarnation"
        text = path.read_text() if path.exists() else "0"
        if not (text.isascii() and text.strip().isdigit()):
            raise DataDirectoryError(
                f"{path} does not hold a number; restore it, or delete this node's directory so that it starts empty"
            )
        incarnation = int(text) + 1
        replace_durably(path, str(incarnation).encode())
        return incarnation


async def incarnation_by_clock() -> int:
    """An incarnation for a node that keeps nothing on disk: the calendar in eighths of a second.

    Waits until this eighth is over, so that no later start can have the same.
    """
    tick = (time.time_ns() - FIRST_TICK_NS) // TICK_NS
    end_ns = FIRST_TICK_NS + (tick + 1) * TICK_NS
    # More than once, since an event loop may wake early; and nothing else tells of the time.
    while (left_ns := end_ns - time.time_ns()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left_ns / SECOND)
    return tick
