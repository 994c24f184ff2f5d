"""The trace: what nodes did, as typed events with times and causes.

A node builds an event only when somebody listens to its kind, so a run without listeners pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, dataclass_transform

import msgspec

from kvsim.core.message import Nanoseconds, NodeId
from kvsim.core.trace_lines import HEAD, line_of


@dataclass_transform(frozen_default=True)
class Event(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base of all events. A subclass states its tag, `protocol.name`: `quorum.met`, `raft.elected`."""

    def __init_subclass__(cls, **_: Any) -> None:
        super().__init_subclass__()
        for name in cls.__annotations__:
            if name in HEAD:
                raise TypeError(f"field {name!r} of {cls.__name__} is a word of every line of a trace; rename it")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a trace: an event, where and when it was, and which entry led to it."""

    id: int
    """Counts the entries of a run from 1."""
    time_ns: Nanoseconds
    node: NodeId
    event: Event
    cause: int = 0
    """The entry that led to this one; 0 for a beginning."""

    def line(self) -> bytes:
        """The entry as one line of `trace.jsonl`."""
        return line_of(self.id, self.time_ns, self.node, self.event, self.cause)


Sink = Callable[[NodeId, Nanoseconds, Event], None]


class Sinks:
    """Who listens to which kind of event."""

    __slots__ = ("_by_kind", "_every")

    def __init__(self) -> None:
        self._by_kind: dict[type[Event], list[Sink]] = {}
        self._every: list[Sink] = []

    def listen(self, sink: Sink, *kinds: type[Event]) -> None:
        """Send these kinds to the sink; every kind when none is named."""
        if not kinds:
            self._every.append(sink)
        for kind in kinds:
            self._by_kind.setdefault(kind, []).append(sink)

    def wants(self, kind: type[Event]) -> bool:
        """Whether anyone listens to this kind."""
        return bool(self._every) or kind in self._by_kind

    def only(self, sink: Sink) -> bool:
        """Whether nobody listens but this one."""
        return self._every == [sink] and not self._by_kind

    def record(self, node: NodeId, time_ns: Nanoseconds, event: Event) -> None:
        """Give the event to all who listen, in the order in which they began to."""
        for sink in self._every:
            sink(node, time_ns, event)
        for sink in self._by_kind.get(type(event), ()):
            sink(node, time_ns, event)
