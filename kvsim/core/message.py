"""Messages: what nodes say to each other, as frozen typed structs with explicit tags, and their bytes on the wire.

The wire is append-only: a new field has a default, and a tag that is retired is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Generic, TypeVar, Union, dataclass_transform

import msgspec

NodeId = str
Nanoseconds = int

MICROSECOND: Nanoseconds = 1_000
MILLISECOND: Nanoseconds = 1_000_000
SECOND: Nanoseconds = 1_000_000_000


@dataclass_transform(frozen_default=True)
class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all messages. A subclass states its tag, `protocol.name`, and has immutable fields only."""


class Failure(Message, tag="core.failure"):
    """The answer of a handler that raised an `OperationError`, or of a stream that broke before the answer came."""

    code: str
    """A key of the table of errors in `core/operation.py`."""
    detail: str
    hint: NodeId = ""
    """Who may serve instead, where the answerer knows it (a leader, a primary)."""


class Channel(Enum):
    """How a message travels."""

    STREAM = "stream"
    """As TCP: in order and reliable until it breaks; then both ends learn of it."""
    DATAGRAM = "datagram"
    """As UDP: may be lost, repeated or reordered; no larger than `DATAGRAM_LIMIT_BYTES`."""


DATAGRAM_LIMIT_BYTES = 1_200
"""The largest datagram: what passes any path unfragmented (RFC 8899, section 5)."""

M = TypeVar("M")


class Envelope(msgspec.Struct, Generic[M], frozen=True, array_like=True, gc=False):
    """A message with what its answer needs to find the way back."""

    message: M
    request: int = 0
    """The asker's number for this message; 0 when no answer is wanted."""
    answers: int = 0
    """The number that this message answers; 0 when it answers nothing."""
    cause: int = 0
    """The trace's id of the sending; 0 when nothing is traced."""


class Codec:
    """Turns envelopes into bytes and back, for the kinds of messages that one node knows."""

    def __init__(self, kinds: Iterable[type[Message]]) -> None:
        known = tuple(dict.fromkeys((*kinds, Failure)))
        envelope: Any = Envelope[Union[known]]  # type: ignore[valid-type]  # noqa: UP007
        self._decoder: msgspec.msgpack.Decoder[Envelope[Any]] = msgspec.msgpack.Decoder(envelope)
        self._encoder = msgspec.msgpack.Encoder()
        self.encode = self._encoder.encode
        """Envelope → MessagePack bytes."""

    def decode(self, data: bytes) -> Envelope[Any]:
        """MessagePack bytes → Envelope.

        Raises `msgspec.DecodeError` (or its `ValidationError`) for a stranger's bytes.
        """
        try:
            return self._decoder.decode(data)
        except UnicodeDecodeError as error:  # msgspec lets this one pass as it is
            raise msgspec.DecodeError(f"text that is no UTF-8: {error}") from error


def tag_of(kind: type[Message] | Message) -> str:
    """The tag of a message or of a kind of message, such as `quorum.store`."""
    tag: str = kind.__struct_config__.tag  # type: ignore[assignment]  # ours are all text
    return tag


def fields_of(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields as plain data for traces and transcripts: bytes as text where they are UTF-8."""
    return {name: plain(getattr(struct, name)) for name in struct.__struct_fields__}


def plain(value: Any) -> Any:
    """A value as plain data: bytes as text where they are UTF-8, a message with its `kind`."""
    return _PLAINLY[type(value)](value)


class _Plainly(dict[type[Any], Callable[[Any], Any]]):
    """How values of a type become plain data, found out once a type: traces and transcripts have millions of them."""

    def __missing__(self, kind: type[Any]) -> Callable[[Any], Any]:
        self[kind] = how = _how(kind)
        return how


def _how(kind: type[Any]) -> Callable[[Any], Any]:
    if issubclass(kind, bytes):
        return text_of
    if issubclass(kind, msgspec.Struct):
        return _struct_plainly(kind)
    if issubclass(kind, (tuple, list)):
        return lambda items: [_PLAINLY[type(item)](item) for item in items]
    if issubclass(kind, dict):
        return lambda items: {str(plain(key)): plain(item) for key, item in items.items()}
    if issubclass(kind, Enum):
        return lambda member: member.value
    return lambda value: value


def _struct_plainly(kind: type[msgspec.Struct]) -> Callable[[Any], Any]:
    tag = kind.__struct_config__.tag
    first = {"kind": tag} if tag else {}
    deep = [field.name for field in msgspec.structs.fields(kind) if field.type not in (int, str, float, bool)]
    as_dict = msgspec.structs.asdict

    def plainly(struct: msgspec.Struct) -> dict[str, Any]:
        fields = first | as_dict(struct)
        for name in deep:
            value = fields[name]
            fields[name] = _PLAINLY[type(value)](value)
        return fields

    return plainly


_PLAINLY = _Plainly()


def text_of(data: bytes) -> str | dict[str, str]:
    """Bytes for people: the text where they are UTF-8, else `{"b64": …}` as in histories."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        import base64

        return {"b64": base64.b64encode(data).decode()}
