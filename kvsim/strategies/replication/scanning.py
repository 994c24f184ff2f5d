"""Scanning a range whose keys are spread over nodes by hash: ask all, and merge what they answer in the order of the
keys.

Pages end by bytes too, since a message has a bound. The pages of different nodes are read at different moments, so a
scan is no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kvsim.core.message import Message
from kvsim.core.operation import Item, Key, Page, Scan, Value
from kvsim.core.replica import Record, Replica

PAGE_BYTES = 2 * 1_048_576
"""A page, and a node's part of it, ends with the row that would make it larger; one row is always in it."""
ROW_OVERHEAD_BYTES = 32
"""What a row takes beside its key and value: version and framing."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key and what one replica holds of it; tombstones too, for they hide older values elsewhere."""

    key: Key
    record: Record


class ScanPart(Message, tag="scan.part"):
    """Coordinator to every ServerData: what do you hold of this range?"""

    start: Key
    end: Key | None
    limit: int


class Rows(Message, tag="scan.rows"):
    """ServerData to coordinator: the first rows of the range; `more` when the limit cut it short."""

    rows: tuple[Row, ...]
    more: bool


def rows_of(replica: Replica, part: ScanPart) -> Rows:
    """What one replica holds now, on its disk or not."""
    rows: list[Row] = []
    size_bytes = 0
    for key, record in replica.range(part.start, part.end, part.limit):
        size_bytes += _size_bytes(key, record.value)
        if rows and size_bytes > PAGE_BYTES:
            return Rows(tuple(rows), True)
        rows.append(Row(key, record))
    return Rows(tuple(rows), len(rows) == part.limit)


async def vouched_rows(replica: Replica, part: ScanPart) -> Rows:
    """One replica's answer: what it shows will outlive a crash."""
    answer = rows_of(replica, part)
    for row in answer.rows:
        if (unsynced := replica.settled(row.key)) is not None:
            await unsynced
    return answer


def page_of(replica: Replica, op: Scan) -> Page:
    """The page where one replica holds every key."""
    return merged(op, [rows_of(replica, ScanPart(op.start, op.end, op.limit))])


def merged(op: Scan, answers: Iterable[Rows]) -> Page:
    """The newest record of each key, in order, without tombstones.

    A node whose answer was cut short may hold more keys just behind its last one, so nothing behind the smallest of
    those last keys is certain yet: the page ends there, and the next one begins behind.
    """
    newest: dict[Key, Record] = {}
    certain_to: Key | None = None
    for answer in answers:
        for row in answer.rows:
            mine = newest.get(row.key)
            if mine is None or row.record.version > mine.version:
                newest[row.key] = row.record
        if answer.more and answer.rows and (certain_to is None or answer.rows[-1].key < certain_to):
            certain_to = answer.rows[-1].key
    items: list[Item] = []
    size_bytes = 0
    for key in sorted(newest):
        if certain_to is not None and key > certain_to:
            break
        value = newest[key].value
        if value is None:
            continue
        size_bytes += _size_bytes(key, value)
        if len(items) == op.limit or (items and size_bytes > PAGE_BYTES):
            return Page(tuple(items), key)
        items.append(Item(key, value, newest[key].version))
    return Page(tuple(items), None if certain_to is None else certain_to + b"\0")


def _size_bytes(key: Key, value: Value | None) -> int:
    """About what a row takes in a message."""
    return len(key) + len(value or b"") + ROW_OVERHEAD_BYTES
