"""Scanning a range whose keys are spread over nodes by hash: ask all, and merge what they answer in the order of the
keys.

The pages of different nodes are read at different moments, so a scan is no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kvsim.core.message import Message
from kvsim.core.operation import Item, Key, Page, Scan
from kvsim.core.replica import Record, Replica


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
    """One replica's answer."""
    rows = tuple(Row(key, record) for key, record in replica.range(part.start, part.end, part.limit))
    return Rows(rows, len(rows) == part.limit)


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
        if answer.more and (certain_to is None or answer.rows[-1].key < certain_to):
            certain_to = answer.rows[-1].key
    items: list[Item] = []
    for key in sorted(newest):
        if certain_to is not None and key > certain_to:
            break
        value = newest[key].value
        if value is None:
            continue
        if len(items) == op.limit:
            return Page(tuple(items), key)
        items.append(Item(key, value, newest[key].version))
    return Page(tuple(items), None if certain_to is None else certain_to + b"\0")
