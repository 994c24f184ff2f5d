"""A node's disk: what was synced outlives a crash, and nothing else does, unless a torn write leaves a part.

Operations queue and take effect in the order of issue. An append goes to the operating system's cache; a sync pays for
the bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from simpy.events import NORMAL

from kvsim.core.chance import Chance
from kvsim.core.host import DiskError
from kvsim.core.message import Nanoseconds
from kvsim.core.waiting import Future, completed
from kvsim.sim.distributions import drawing
from kvsim.sim.engine import Engine
from kvsim.sim.settings import DiskSettings


class StoredFile:
    """A file as the node sees it, and as a crash would leave it."""

    __slots__ = ("content", "durable", "durable_bytes", "ordered_bytes")

    def __init__(self, kept: bytes = b"") -> None:
        self.content = bytearray(kept)
        self.durable = self.content
        """What outlives a crash, up to `durable_bytes`; another one than `content` while a replace is under way."""
        self.durable_bytes = len(kept)
        self.ordered_bytes = len(kept)
        """How much of `content` is durable or will be by an operation that was issued."""


class Storage:
    """What a machine's disk holds, over all lives of its node."""

    def __init__(self, settings: DiskSettings, chance: Chance) -> None:
        self.settings = settings
        self.files: dict[str, StoredFile] = {}
        self.syncs = 0
        self.bytes_written = 0
        self.free_ns: Nanoseconds = 0
        """When the disk will have done all that it was asked."""
        self.full = False
        """By a fault: no write finds space."""
        self.failing = False
        """By a fault: every sync and replace fails."""
        self.slower = 1.0
        """By a fault: how many times as long everything takes."""
        self.torn = settings.torn
        self.flipped: Callable[[bytes], bytes] | None = None
        """By a fault: what a read after a restart makes of each file."""
        self._chance = chance
        self._times: dict[str, Callable[[], Nanoseconds]] = {
            operation: drawing(time, chance.stream(operation))
            for operation, time in (
                ("append", settings.append_ns),
                ("sync", settings.sync_ns),
                ("replace", settings.replace_ns),
            )
        }

    @property
    def hurt(self) -> bool:
        """Whether a fault lets it refuse or lose what is written."""
        return self.full or self.failing

    def time_for(self, operation: str, size_bytes: int) -> Nanoseconds:
        """What an operation takes, with the time for the bytes."""
        time_ns = self._times[operation]() + size_bytes * 1_000_000_000 // self.settings.bandwidth_bytes_per_s
        return time_ns if self.slower == 1 else round(time_ns * self.slower)

    def lose_all(self) -> None:
        """The disk is gone, and an empty one is in its place."""
        self.files = {}

    def open(self, file: str) -> StoredFile:
        """The file of this name, made if it is not there."""
        stored = self.files.get(file)
        if stored is None:
            stored = self.files[file] = StoredFile()
        return stored

    def used_bytes(self) -> int:
        """The space taken."""
        return sum(len(stored.content) for stored in self.files.values())

    def cut_power(self) -> int:
        """Forget what was not synced, but with `torn` for a drawn part; gives the number of bytes lost."""
        lost = 0
        kept: dict[str, StoredFile] = {}
        for name, stored in self.files.items():
            end = stored.durable_bytes
            appended = len(stored.content) - end if stored.durable is stored.content else 0
            if self.torn and appended:
                end += self._chance.between(0, appended)
            lost += max(0, len(stored.content) - end) if stored.durable is stored.content else len(stored.content)
            if end:
                kept[name] = StoredFile(bytes(stored.durable[:end]))
        self.files = kept
        return lost

    def outlive_process(self) -> None:
        """The node's process was killed, and the machine lives: what was appended stays in its cache, as durable as it
        was, and a replace that was under way has not happened."""
        for name, stored in list(self.files.items()):
            if stored.durable is not stored.content:
                stored.content, stored.ordered_bytes = stored.durable, stored.durable_bytes
                if not stored.content:
                    del self.files[name]

    def settle(self) -> None:
        """Sync what a killed process left in the cache: the node that starts now vouches for what it finds."""
        if not self.failing:
            for stored in self.files.values():
                stored.durable_bytes = stored.ordered_bytes = len(stored.content)

    def contents(self) -> dict[str, bytes]:
        """All files, as a node reads them when it starts."""
        read = self.flipped or bytes
        return {name: read(bytes(stored.content)) for name, stored in self.files.items()}


Done = Callable[[Future[None], str, str, int, int], None]
"""Resumes the node: the future that completes, the operation, the file, its durable size and the trace's cause."""


class SimDisk:
    """A node's handle on its storage, for one life; after a crash nothing passes it any more."""

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        leaves_ns: Callable[[], Nanoseconds],
        following: Callable[[], int],
        done: Done,
        appended: Callable[[str, int], None],
        failed: Callable[[Future[None], Exception], None],
    ) -> None:
        self._engine, self._storage, self._settings = engine, storage, storage.settings
        self._leaves_ns, self._following, self._done = leaves_ns, following, done
        self._appended, self._failed = appended, failed
        self.powered = True

    def append(self, file: str, data: bytes) -> Future[None]:
        """Into the cache. Fails with `DiskError` when the disk is full."""
        if not self.powered:
            return Future()
        refused = self._no_space_for(len(data))
        if refused is not None:
            return refused
        self._storage.open(file).content += data
        if self._settings.append_ns == 0:
            self._appended(file, len(data))
            return completed(None)
        return self._queue(0, "append", file, lambda stored: None)

    def sync(self, file: str) -> Future[None]:
        """Make durable what the file holds now."""
        if not self.powered:
            return Future()
        self._storage.syncs += 1
        stored = self._storage.open(file)
        content, end = stored.content, len(stored.content)
        fresh = end - stored.ordered_bytes
        stored.ordered_bytes = end

        def take_effect(stored: StoredFile) -> None:
            stored.durable, stored.durable_bytes = content, end

        return self._queue(fresh, "sync", file, take_effect)

    def replace(self, file: str, data: bytes) -> Future[None]:
        """Put a new content in the old one's place. Fails with `DiskError` when the disk is full."""
        if not self.powered:
            return Future()
        refused = self._no_space_for(len(data))  # both contents lie on the disk for a while
        if refused is not None:
            return refused
        self._storage.syncs += 1
        stored = self._storage.open(file)
        content = stored.content = bytearray(data)
        stored.ordered_bytes = end = len(data)

        def take_effect(stored: StoredFile) -> None:
            stored.durable, stored.durable_bytes = content, end

        return self._queue(end, "replace", file, take_effect)

    def full(self) -> bool:
        """Whether only the reserve is left."""
        size = self._settings.size_bytes
        if self._storage.full:
            return True
        return size is not None and self._storage.used_bytes() > size * (1 - self._settings.reserve)

    def _no_space_for(self, size_bytes: int) -> Future[None] | None:
        size, used = self._settings.size_bytes, self._storage.used_bytes
        if not self._storage.full and (size is None or used() + size_bytes <= size):
            return None
        refused: Future[None] = Future()
        has = used() if self._storage.full else size
        refused.fail(DiskError(f"no space left on the disk for {size_bytes} bytes; it has {has}"))
        return refused

    def _queue(
        self,
        size_bytes: int,
        operation: str,
        file: str,
        take_effect: Callable[[StoredFile], None],
    ) -> Future[None]:
        """Do the operation when all that came before is done; the future completes when it has taken effect."""
        storage, engine = self._storage, self._engine
        storage.bytes_written += size_bytes
        now = engine.time_ns
        storage.free_ns = max(now, storage.free_ns) + storage.time_for(operation, size_bytes)
        stored = storage.open(file)
        future: Future[None] = Future()
        cause = self._following()
        failing = storage.failing and operation != "append"

        def finish(_: None) -> None:
            if self.powered and failing:
                self._failed(future, DiskError(f"the {operation} of {file} failed: input/output error"))
            elif self.powered:
                take_effect(stored)
                self._done(future, operation, file, stored.durable_bytes, cause)

        engine.push((storage.free_ns, NORMAL, engine.next_id(), finish, None))
        return future
