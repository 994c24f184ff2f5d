"""The trace: what nodes did, as typed events with times and causes.

A node builds an event only when somebody listens to its kind, so a run without listeners pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, dataclass_transform

import msgspec

from kvsim.core.message import Nanoseconds, NodeId, plain


@dataclass_transform(frozen_default=True)
class Event(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base of all events. A subclass states its tag, `protocol.name`: `quorum.met`, `raft.elected`."""


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


def line_of(id: int, time_ns: Nanoseconds, node: NodeId, event: Event, cause: int) -> bytes:
    """One line of `trace.jsonl`, without an `Entry`, of which a long trace would make millions."""
    name, body = _HEADS[node], _BODIES[type(event)](event)
    if cause:
        return b'{"id":%d,"time_ns":%d,"node":%b,"cause":%d,"event"%b\n' % (id, time_ns, name, cause, body)
    return b'{"id":%d,"time_ns":%d,"node":%b,"event"%b\n' % (id, time_ns, name, body)


class _Heads(dict[NodeId, bytes]):
    """Names of nodes as JSON."""

    def __missing__(self, node: NodeId) -> bytes:
        self[node] = name = msgspec.json.encode(node)
        return name


class _Bodies(dict[type[Event], Callable[[Any], bytes]]):
    """How events of a kind become JSON, from behind the word `event` on: a trace has millions of them."""

    def __missing__(self, kind: type[Event]) -> Callable[[Any], bytes]:
        deep = [field.name for field in msgspec.structs.fields(kind) if field.type not in _FLAT]
        self[kind] = body = _deep_body(kind, deep) if deep else _flat_body
        return body


_FLAT = (int, str, bool, float, tuple[str, ...])
"""Types of fields that msgspec writes as a trace has them."""
_encode = msgspec.json.Encoder().encode


def _flat_body(event: msgspec.Struct) -> bytes:
    return _encode(event)[len(b'{"type"') :]


def _deep_body(kind: type[Event], deep: Sequence[str]) -> Callable[[Any], bytes]:
    """For events with fields that have fields: those are put in as JSON that is written already."""
    names = kind.__struct_fields__
    fields = [(name, msgspec.Raw if name in deep else Any) for name in names]
    with_raw = msgspec.defstruct(kind.__name__, fields, tag=kind.__struct_config__.tag, gc=False)
    places = [names.index(name) for name in deep]
    as_tuple = msgspec.structs.astuple
    last: Any = object()
    written = msgspec.Raw()

    def body(event: Any) -> bytes:
        nonlocal last, written
        values = list(as_tuple(event))
        for place in places:
            value = values[place]
            if value is not last:  # one message goes to several nodes in a row
                last, written = value, msgspec.Raw(_encode(plain(value)))
            values[place] = written
        return _flat_body(with_raw(*values))

    return body


_HEADS, _BODIES = _Heads(), _Bodies()

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
