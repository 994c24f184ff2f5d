"""What a RESP door remembers of one connection, and how the connection's commands reach the store."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from kvsim.core.operation import (
    AlreadyExists,
    AnyOperation,
    AnyResult,
    Item,
    Key,
    Mismatch,
    NotFound,
    OperationError,
    OutcomeUnknown,
    Page,
    RequestId,
    Scan,
)
from kvsim.real.doors.local import DoorInfo, Ended, Local, RequestNumbers
from kvsim.real.doors.resp_replies import error

log = logging.getLogger(__name__)

SCAN_PAGE_KEYS = 100
AT_ONCE = 16
"""Operations of one command with many keys that are under way together."""

_PREFIX = {"unavailable": "CLUSTERDOWN", "elsewhere": "TRYAGAIN", "outcome_unknown": "UNKNOWN"}
_UNKNOWN_REMEDY = "if it was a write, it may or may not have happened: read the key before you try again"


def error_text(failed: OperationError) -> str:
    """An error as a RESP line: a prefix that says what a client may do, then the reason.

    CLUSTERDOWN and TRYAGAIN: it certainly did not happen, later it may. UNKNOWN: nobody knows. ERR: not like this.
    """
    remedy = f"; {_UNKNOWN_REMEDY}" if failed.code == OutcomeUnknown.code else ""
    return f"{_PREFIX.get(failed.code, 'ERR')} {failed.detail}{remedy}"


def error_reply(failed: Exception) -> bytes:
    """The error that a client gets; for a defect of kvsim's own, which is logged, one of unknown outcome."""
    if isinstance(failed, OperationError):
        return error(error_text(failed))
    log.error("a command failed by a defect of kvsim", exc_info=failed)
    return error(f"UNKNOWN kvsim failed at this command; {_UNKNOWN_REMEDY}")


class Single(msgspec.Struct, frozen=True, gc=False):
    """A command that is one operation, as most are: it needs no coroutine."""

    operation: AnyOperation
    reply: Callable[[AnyResult, int], bytes]
    """What the client gets for this result, in this version of the protocol."""
    unmet: bytes = b""
    """The reply when the operation's condition did not hold; empty: an error like any other."""

    def reply_to(self, ended: Ended, protocol: int) -> bytes:
        """What the client gets for what became of the operation."""
        if not isinstance(ended, Exception):
            return self.reply(ended, protocol)
        if self.unmet and isinstance(ended, AlreadyExists | NotFound | Mismatch):
            return self.unmet
        return error_reply(ended)


@dataclass(slots=True)
class Store:
    """The store behind a RESP door: performs operations under request numbers of the door's own."""

    local: Local
    info: DoorInfo
    numbers: RequestNumbers

    def request(self) -> RequestId:
        """A number for the next operation."""
        return self.numbers.next()

    async def perform(self, operation: AnyOperation) -> AnyResult:
        """Do one operation. Raises an OperationError."""
        self.check(operation)
        return await self.local.perform(operation)

    def check(self, operation: AnyOperation) -> None:
        """Raise `TooLarge` for what is beyond the limits."""
        self.info.limits.check(operation)

    async def perform_each(self, operations: Iterable[AnyOperation]) -> AsyncIterator[AnyResult | OperationError]:
        """Do many, some at a time, and give what becomes of each in order."""
        waiting = iter(operations)
        while batch := [self._ended(operation) for operation in itertools.islice(waiting, AT_ONCE)]:
            for ended in await asyncio.gather(*batch):
                yield ended

    async def _ended(self, operation: AnyOperation) -> AnyResult | OperationError:
        try:
            return await self.perform(operation)
        except OperationError as failed:
            return failed

    async def keys(self) -> AsyncIterator[Key]:
        """All keys, in their order."""
        async for item in self.items():
            yield item.key

    async def items(self) -> AsyncIterator[Item]:
        """All keys with their values, page by page."""
        start: Key | None = b""
        while start is not None:
            page = await self.perform(Scan(self.request(), start, limit=SCAN_PAGE_KEYS))
            if not isinstance(page, Page):
                return
            for item in page.items:
                yield item
            start = page.next


@dataclass(slots=True)
class Session:
    """One connection."""

    store: Store
    number: int
    peer: str
    opened_s: float
    others: dict[int, Session] = field(repr=False)
    """All sessions of the door, by number."""
    protocol: int = 2
    name: bytes = b""
    library: dict[bytes, bytes] = field(default_factory=dict)
    commands: int = 0
    last_command: str = ""

    def described(self, now_s: float) -> str:
        """A line of CLIENT LIST."""
        return (
            f"id={self.number} addr={self.peer} name={self.name.decode(errors='replace')} "
            f"age={int(now_s - self.opened_s)} db=0 resp={self.protocol} cmd={self.last_command} "
            f"tot-cmds={self.commands} lib-name={self.library.get(b'LIB-NAME', b'').decode(errors='replace')} "
            f"lib-ver={self.library.get(b'LIB-VER', b'').decode(errors='replace')}"
        )

    def reset(self) -> None:
        """As new."""
        self.protocol, self.name = 2, b""
