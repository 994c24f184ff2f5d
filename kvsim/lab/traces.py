"""Reads traces that runs left: `trace.jsonl`, an entry a line, as docs/reference/trace.md describes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from kvsim.core.message import Nanoseconds
from kvsim.core.settings import SettingsError

FILE = "trace.jsonl"
HEAD = frozenset({"id", "time_ns", "node", "cause", "event"})
WORLD = "world"
"""The node of what happens at none."""


class TraceEntry(msgspec.Struct, frozen=True):
    """One line."""

    id: int
    time_ns: Nanoseconds
    node: str
    event: str
    cause: int
    fields: dict[str, Any]
    """What the event says beyond."""


def find_trace(folder: Path) -> Path:
    """The trace of a run's folder, or the only one of an experiment's. Raises `SettingsError`."""
    if folder.is_file():
        return folder
    if (folder / FILE).is_file():
        return folder / FILE
    found = sorted(folder.glob(f"runs/*/{FILE}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError([f"{folder} has {len(found)} traces; name a run's folder, such as {found[0].parent}"])
    raise SettingsError([f"{folder} has no {FILE}; make one with: kvsim simulate FILE --trace"])


def read_trace(path: Path, start_ns: Nanoseconds = 0, end_ns: Nanoseconds | None = None) -> Iterator[TraceEntry]:
    """The entries from one time to another, the ends included. Raises `SettingsError`, with the line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            entry = _entry(path, number, line)
            if end_ns is not None and entry.time_ns > end_ns:
                return
            if entry.time_ns >= start_ns:
                yield entry


class _Head(msgspec.Struct):
    id: int
    time_ns: Nanoseconds
    node: str
    event: str
    cause: int = 0


def _entry(path: Path, number: int, line: bytes) -> TraceEntry:
    try:
        head = msgspec.json.decode(line, type=_Head)
        plain = msgspec.json.decode(line, type=dict[str, Any])
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise SettingsError([f"{path}, line {number}: is no entry of a trace: {error}"]) from None
    fields = {name: value for name, value in plain.items() if name not in HEAD}
    return TraceEntry(head.id, head.time_ns, head.node or WORLD, head.event, head.cause, fields)
