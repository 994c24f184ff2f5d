"""A disk for tests of core: operations complete when the test says so, in the order of issue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kvsim.core.host import DiskError
from kvsim.core.waiting import Future, completed


class ManualDisk:
    """`work` holds the syncs and replaces under way; `durable` is what a power cut leaves."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.work: deque[tuple[str, Callable[[], None], Future[None]]] = deque()
        self.is_full = False

    def append(self, file: str, data: bytes) -> Future[None]:
        self.written[file] = self.written.get(file, b"") + data
        return completed(None)

    def sync(self, file: str) -> Future[None]:
        return self._begin("sync", file)

    def replace(self, file: str, data: bytes) -> Future[None]:
        self.written[file] = data
        return self._begin("replace", file)

    def full(self) -> bool:
        return self.is_full

    def complete(self, count: int | None = None) -> None:
        """Let so many operations complete; all, and those that they lead to, when no number is given."""
        while self.work and count != 0:
            _, make_durable, done = self.work.popleft()
            make_durable()
            done.complete(None)
            count = None if count is None else count - 1

    def fail(self) -> None:
        """Let the next operation fail."""
        self.work.popleft()[2].fail(DiskError("the disk failed"))

    def syncs(self) -> int:
        """How many syncs are under way."""
        return sum(kind == "sync" for kind, _, _ in self.work)

    def _begin(self, kind: str, file: str) -> Future[None]:
        content = self.written.get(file, b"")
        done: Future[None] = Future()
        self.work.append((kind, lambda: self.durable.update({file: content}), done))
        return done
