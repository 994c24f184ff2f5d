"""One at a time in a folder of results: two would take each other's runs away, and both would write its tables."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kvsim.core.settings import SettingsError

NAME = "kvsim.lock"


class FolderLock:
    """A lock file that names the process which holds it. The operating system lets go of it when that process ends,
    however it ends, so what a dead process has left is taken over. Raises `SettingsError` while another holds it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._descriptor: int | None = None
        while self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode().strip() or "unknown"
                os.close(descriptor)
                said = f"{folder} is in use by a simulation or sweep that is running (process {holder})"
                raise SettingsError([f"{said}; wait for it, or name another folder with --out"]) from None
            if self._is_still_there(descriptor):
                self._descriptor = descriptor
            else:
                os.close(descriptor)  # its holder removed it while it was opened here
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def _is_still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()
