"""How the entries of a trace become lines of `trace.jsonl`: a trace has millions, so each kind has a shape of its own.

A shape is a struct whose fields are those of the line. An event is poured into its shape at once and written later,
many at a time, by msgspec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from kvsim.core.message import Nanoseconds, NodeId, plain, text_of

BLOCK = 200
"""Lines that are written at once; few enough to stay in the processor's cache."""
HEAD = ("id", "time_ns", "node", "cause", "event")
"""With these fields every line begins; `cause` is left out where there is none."""

_FLAT = (int, str, bool, float, tuple[str, ...])
"""Types of fields that msgspec writes as a trace has them."""
_encoder = msgspec.json.Encoder()

Shape = Callable[[Any], Any]
Line = Callable[[int, Nanoseconds, NodeId, Any, Any], msgspec.Struct]
"""From an entry's id, time, node, cause (or UNSET) and event."""


class Lines:
    """Takes entries, and writes them as lines, in blocks."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._pending: list[msgspec.Struct] = []
        self._note = self._pending.append

    def take(self, id: int, time_ns: Nanoseconds, node: NodeId, event: msgspec.Struct, cause: int) -> None:
        """Note an entry."""
        self._note(_LINES[type(event)](id, time_ns, node, cause or UNSET, event))
        if not id % BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what was taken and not written yet."""
        if self._pending:
            block = _encoder.encode_lines(self._pending)
            self._pending.clear()
            self._write(block)


def line_of(id: int, time_ns: Nanoseconds, node: NodeId, event: msgspec.Struct, cause: int) -> bytes:
    """One line."""
    return _encoder.encode_lines([_LINES[type(event)](id, time_ns, node, cause or UNSET, event)])


class _Lines(dict[type[msgspec.Struct], Line]):
    """By kind of event."""

    def __missing__(self, kind: type[msgspec.Struct]) -> Line:
        line = msgspec.defstruct(kind.__name__, [*HEAD, *kind.__struct_fields__], gc=False)
        names = {"line": line, "tag": kind.__struct_config__.tag, "shapes": _SHAPES}
        fields = ", ".join(_expressions(kind, "event"))
        made: Line = _made(f"lambda id, at, node, cause, event: line(id, at, node, cause, tag, {fields})", names)
        self[kind] = made
        return made


class _Shapes(dict[type[Any], Shape]):
    """By type of value: the same as `plain` makes of it, faster."""

    def __missing__(self, kind: type[Any]) -> Shape:
        self[kind] = shape = _shape_of(kind)
        return shape


def _shape_of(kind: type[Any]) -> Shape:
    if issubclass(kind, bytes):
        return text_of
    if issubclass(kind, (tuple, list)):
        return lambda items: [_SHAPES[type(item)](item) for item in items]
    if issubclass(kind, msgspec.Struct) and "kind" not in kind.__struct_fields__:
        tag = kind.__struct_config__.tag
        tag_field = "kind" if tag else None
        shape = msgspec.defstruct(kind.__name__, kind.__struct_fields__, tag=tag, tag_field=tag_field, gc=False)
        fields = ", ".join(_expressions(kind, "value"))
        poured: Shape = _made(f"lambda value: shape({fields})", {"shape": shape, "shapes": _SHAPES})
        return poured
    return plain


def _made(source: str, names: dict[str, Any]) -> Any:
    return eval(source, names)  # noqa: S307 - of names of fields alone


def _expressions(kind: type[msgspec.Struct], of: str) -> list[str]:
    """Python for each field of a struct, as it is in a line. Code that is made once a kind, as `dataclasses` makes it,
    takes a third of the time of a loop over the fields."""
    flat = {field.name for field in msgspec.structs.fields(kind) if field.type in _FLAT}
    return [
        f"{of}.{name}" if name in flat else f"shapes[type({of}.{name})]({of}.{name})" for name in kind.__struct_fields__
    ]


_LINES, _SHAPES = _Lines(), _Shapes()
