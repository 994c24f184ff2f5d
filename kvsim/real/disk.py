"""A real node's disk: files in its data directory, written by one thread so that the event loop never waits.

What piles up while the thread works is one batch: all its appends in one write, then one sync for all who asked (group
commit).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from kvsim.core.host import DiskError
from kvsim.core.message import MILLISECOND
from kvsim.core.waiting import Future, completed

RESERVE_BYTES = 16 * 1_048_576
"""Space that writes must leave free: for the journal's rewriting, and for what was taken on before."""
SPACE_KNOWN_FOR_NS = 100 * MILLISECOND

FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""macOS: fsync only hands the data to the drive; this has the drive write it. None elsewhere."""


def sync_to_platter(descriptor: int) -> None:
    """Done when a file's data, and the size that is needed to read it, will outlive a power cut."""
    if FULL_SYNC is None:
        os.fdatasync(descriptor)
    else:
        fcntl.fcntl(descriptor, FULL_SYNC)


class Order(NamedTuple):
    """One request to the writer thread."""

    kind: Literal["append", "sync", "replace"]
    file: str
    data: bytes
    future: Future[None]


Settle = Callable[[Future[None], Exception | None], None]
"""Completes a future as one input of the node, on the event loop."""


class FileDisk:
    """Implements `Disk` in a directory. The first failure is the last: everything after it fails too."""

    def __init__(self, directory: Path, settle: Settle, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.directory, self.reserve_bytes = directory, reserve_bytes
        self.disk_bytes = 0
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._writer = _Writer(directory)
        self._orders: list[Order] = []
        """Given in this turn of the loop; the thread gets them together."""
        self._batches: queue.SimpleQueue[list[Order] | None] = queue.SimpleQueue()
        self._refusing = False
        self._space_bytes, self._space_read_ns = 0, -SPACE_KNOWN_FOR_NS
        self._thread = threading.Thread(target=self._work, name=f"disk of {directory.name}", daemon=True)
        self._thread.start()

    @property
    def syncs(self) -> int:
        """How often the disk was made to sync; many who wait may share one."""
        return self._writer.syncs

    def append(self, file: str, data: bytes) -> Future[None]:
        self.disk_bytes += len(data)
        self._space_bytes -= len(data)
        return self._order("append", file, data)

    def sync(self, file: str) -> Future[None]:
        return self._order("sync", file, b"")

    def replace(self, file: str, data: bytes) -> Future[None]:
        self.disk_bytes += len(data)
        return self._order("replace", file, data)

    def full(self) -> bool:
        now_ns = time.monotonic_ns()
        if now_ns - self._space_read_ns >= SPACE_KNOWN_FOR_NS:
            self._space_read_ns = now_ns
            space = os.statvfs(self.directory)
            self._space_bytes = space.f_bavail * space.f_frsize
        return self._space_bytes < self.reserve_bytes

    def close(self) -> None:
        """Do what was asked, then end the thread."""
        self._hand_over()
        self._batches.put(None)
        self._thread.join()

    def refuse_orders(self) -> None:
        """Take nothing more: the node has ended, and what its coroutines do while they are closed must not be kept."""
        self._refusing = True

    def abandon(self) -> None:
        """Forget what was asked and is not begun, as the end of the process does."""
        self._orders = []
        with contextlib.suppress(queue.Empty):
            while True:
                self._batches.get_nowait()
        self.close()

    def _order(self, kind: Literal["append", "sync", "replace"], file: str, data: bytes) -> Future[None]:
        future: Future[None] = Future()
        if self._refusing:
            return future
        self._orders.append(Order(kind, file, data, future))
        if len(self._orders) == 1:
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        if self._orders:
            orders, self._orders = self._orders, []
            self._batches.put(orders)

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch = self._batches.get()
            orders = list(batch or ())
            with contextlib.suppress(queue.Empty):
                while batch is not None:
                    batch = self._batches.get_nowait()
                    orders += batch or ()
            going_on = batch is not None
            results = self._writer.carry_out(orders)
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._report, results)
        self._writer.close()

    def _report(self, results: list[tuple[Future[None], Exception | None]]) -> None:
        for future, error in results:
            self._settle(future, error)


class _Writer:
    """Carries out batches of orders, in their order but for syncs, which wait for the end of the batch."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.syncs = 0
        self._open: dict[str, tuple[int, int]] = {}
        """File → descriptor, length in bytes."""
        self._failure: DiskError | None = None

    def carry_out(self, batch: list[Order]) -> list[tuple[Future[None], Exception | None]]:
        """What became of each order. Appends that follow each other in one file are one write."""
        results: dict[int, Exception | None] = {}
        unsynced: dict[str, list[int]] = {}
        appends: list[int] = []
        for at, order in enumerate(batch):
            if order.kind == "sync":
                unsynced.setdefault(order.file, []).append(at)
                continue
            if appends and (order.kind == "replace" or batch[appends[0]].file != order.file):
                self._append_all(batch, appends, results)
                appends = []
            if order.kind == "append":
                appends.append(at)
            else:
                self._sync(order.file, unsynced.pop(order.file, []), results)
                results[at] = self._try(order.file, self._replace, order.data)
        self._append_all(batch, appends, results)
        for file, waiting in unsynced.items():
            self._sync(file, waiting, results)
        return [(order.future, results[at]) for at, order in enumerate(batch)]

    def close(self) -> None:
        """Let go of the files."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _append_all(self, batch: list[Order], appends: list[int], results: dict[int, Exception | None]) -> None:
        if appends:
            data = b"".join([batch[at].data for at in appends])
            results.update(dict.fromkeys(appends, self._try(batch[appends[0]].file, self._append, data)))

    def _sync(self, file: str, waiting: list[int], results: dict[int, Exception | None]) -> None:
        if waiting:
            self.syncs += 1
            results.update(dict.fromkeys(waiting, self._try(file, self._sync_file)))

    def _sync_file(self, file: str) -> None:
        sync_to_platter(self._opened(file)[0])

    def _try(self, file: str, action: Callable[..., None], *data: bytes) -> DiskError | None:
        if self._failure is None:
            try:
                action(file, *data)
            except OSError as error:
                self._failure = DiskError(f"{self.directory / file}: {error.strerror or error}{_remedy(error)}")
        return self._failure

    def _append(self, file: str, data: bytes) -> None:
        descriptor, length = self._opened(file)
        done = 0
        try:
            while done < len(data):
                done += os.write(descriptor, data[done:] if done else data)
        except OSError:
            os.ftruncate(descriptor, length)  # half a record would be taken for damage later
            raise
        self._open[file] = (descriptor, length + len(data))

    def _replace(self, file: str, data: bytes) -> None:
        if file in self._open:
            os.close(self._open.pop(file)[0])
        self.syncs += 1
        replace_durably(self.directory / file, data)

    def _opened(self, file: str) -> tuple[int, int]:
        if file not in self._open:
            path = self.directory / file
            created = not path.exists()
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._open[file] = (descriptor, os.fstat(descriptor).st_size)
            if created:
                sync_directory(self.directory)  # else the file's name may not outlive a power cut
        return self._open[file]


class MemoryDisk:
    """The disk of a design with `durability = "memory"`: takes everything, keeps nothing."""

    syncs = 0
    disk_bytes = 0

    def append(self, file: str, data: bytes) -> Future[None]:
        return completed(None)

    def sync(self, file: str) -> Future[None]:
        return completed(None)

    def replace(self, file: str, data: bytes) -> Future[None]:
        return completed(None)

    def full(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close."""


def replace_durably(path: Path, data: bytes) -> None:
    """Put a new content in the old one's place: after a crash one or the other is there, whole."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        sync_to_platter(descriptor)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    fresh.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names of the files in it durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if FULL_SYNC is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, FULL_SYNC)
    finally:
        os.close(descriptor)


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "; make room and start the node again"
    return "; the node stops, since what is on the disk is no longer known: check the disk, then start it again"
