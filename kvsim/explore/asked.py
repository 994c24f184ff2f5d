"""Operations in words, as transcripts and experiments write them: `put` `x=1`, `cas` `x=1->2`, `get` `x`."""

from __future__ import annotations

from collections.abc import Callable

from kvsim.core.operation import (
    AnyOperation,
    CompareAndSet,
    Create,
    Delete,
    Put,
    Read,
    Remove,
    RequestId,
    Scan,
    Update,
)
from kvsim.core.settings import nearest


def operation_named(name: str, request: RequestId, text: str) -> AnyOperation:
    """The operation that a name and its words mean. Raises ValueError for anything else."""
    make = OPERATIONS.get(name)
    if make is None:
        raise ValueError(f"unknown operation {name!r}{nearest(name, OPERATIONS)}")
    return make(request, text)


def _pair(text: str) -> tuple[bytes, bytes]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected KEY=VALUE, got {text!r}")
    return key.encode(), value.encode()


def _compare_and_set(request: RequestId, text: str) -> CompareAndSet:
    key, change = _pair(text)
    old, _, new = change.partition(b"->")
    return CompareAndSet(request, key, new, None if old == b"-" else old)


def _scan(request: RequestId, text: str) -> Scan:
    asked, _, limit = text.partition(" limit=")
    start, _, end = asked.partition("..")
    return Scan(request, start.encode(), end.encode() or None, int(limit or 100))


OPERATIONS: dict[str, Callable[[RequestId, str], AnyOperation]] = {
    "get": lambda request, text: Read(request, text.encode()),
    "put": lambda request, text: Put(request, *_pair(text)),
    "create": lambda request, text: Create(request, *_pair(text)),
    "update": lambda request, text: Update(request, *_pair(text)),
    "delete": lambda request, text: Delete(request, text.encode()),
    "remove": lambda request, text: Remove(request, text.encode()),
    "cas": _compare_and_set,
    "scan": _scan,
}
