"""A store in memory for the tests of the doors: core's own rules, no cluster, and failures on demand."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvsim.core.operation import (
    Absent,
    AnyOperation,
    AnyResult,
    Found,
    Item,
    Operation,
    Page,
    Read,
    RequestId,
    Scan,
    Written,
)
from kvsim.core.replica import Record, change_for, judge
from kvsim.core.version import LamportClock
from kvsim.real.doors.local import Ended


class MemoryStore:
    """Performs operations as one replica would; `failing` makes it fail, `holding` makes it wait."""

    def __init__(self) -> None:
        self.under_way = 0
        self.keeps_seen = True
        self._tasks: set[asyncio.Task[None] | None] = set()
        self.clear()

    def clear(self) -> None:
        """As new."""
        self.records: dict[bytes, Record] = {}
        self.done: dict[RequestId, Written] = {}
        self.seen: list[AnyOperation] = []
        self.knows_existed = True
        self.most_under_way = 0
        self._clock = LamportClock("data-1")
        self._failure: Exception | None = None
        self._gate: asyncio.Event | None = None
        self._gated: type[Operation] = Operation
        self._failing_key: bytes | None = None

    async def perform(self, operation: AnyOperation) -> AnyResult:
        if self.keeps_seen:
            self.seen.append(operation)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self._gate is not None and isinstance(operation, self._gated):
                await self._gate.wait()
            if self._failure is not None and self._failing_key in (None, getattr(operation, "key", None)):
                raise self._failure
            return self._perform(operation)
        finally:
            self.under_way -= 1

    def begin(self, operation: AnyOperation, then: Callable[[Ended], None]) -> None:
        async def perform() -> None:
            try:
                ended: Ended = await self.perform(operation)
            except Exception as error:  # noqa: BLE001 - a defect too
                ended = error
            self._tasks.discard(asyncio.current_task())
            then(ended)

        self._tasks.add(asyncio.get_running_loop().create_task(perform()))

    def _perform(self, operation: AnyOperation) -> AnyResult:
        if isinstance(operation, Read):
            record = self.records.get(operation.key)
            if record is None or record.value is None:
                return Absent()
            return Found(record.value, record.version)
        if isinstance(operation, Scan):
            return self._scan(operation)
        if operation.request in self.done:
            return self.done[operation.request]
        existed = judge(operation, self.records.get(operation.key), "many")
        change = change_for(operation, self._clock.next(), existed if self.knows_existed else None)
        self.records[change.key] = Record(change.value, change.version)
        written = Written(change.version, change.existed)
        if self.keeps_seen:
            self.done[operation.request] = written
        return written

    def _scan(self, operation: Scan) -> Page:
        found = [
            Item(key, record.value, record.version)
            for key, record in sorted(self.records.items())
            if record.value is not None and key >= operation.start and (operation.end is None or key < operation.end)
        ]
        more = found[operation.limit :]
        return Page(tuple(found[: operation.limit]), more[0].key if more else None)

    @contextmanager
    def failing(self, error: Exception, key: bytes | None = None) -> Iterator[None]:
        """All operations fail so, or those on one key."""
        self._failure, self._failing_key = error, key
        try:
            yield
        finally:
            self._failure = None

    @contextmanager
    def holding(self, loop: asyncio.AbstractEventLoop, kind: type[Operation] = Operation) -> Iterator[None]:
        """All operations, or those of a kind, wait until this ends; `loop` is where they run."""
        gate = self._gate = asyncio.Event()
        self._gated = kind
        try:
            yield
        finally:
            self._gate = None
            loop.call_soon_threadsafe(gate.set)
