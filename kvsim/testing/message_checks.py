"""What a strategy's nodes say to each other can be told apart and travels as bytes."""

from __future__ import annotations

import re
import sys
import types
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from kvsim.core.message import Codec, Envelope, Message, tag_of
from kvsim.core.node import Component
from kvsim.strategies.catalogue import BUILT_IN, find_strategy, message_kinds
from kvsim.testing.contract import refuse
from kvsim.testing.examples import example
from kvsim.testing.subject import Subject

TAG = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


def its_messages_have_tags_of_their_own(subject: Subject) -> None:
    """Each message has a tag `protocol.name` that no other message has: the wire tells them apart by it."""
    by_tag = _built_in_kinds()
    for kind in subject.own_kinds():
        tag = str(tag_of(kind))
        if not TAG.fullmatch(tag):
            protocol = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", subject.strategy.__name__).lower()
            name = kind.__name__
            refuse(f"{name} has the tag {tag!r}", f'class {name}(Message, tag="{protocol}.{name.lower()}")')
        other = by_tag.setdefault(tag, kind)
        if (other.__name__, _file(other)) != (kind.__name__, _file(kind)):
            refuse(f"{kind.__name__} and {other.__name__} share the tag {tag!r}", "give one of them another")


def its_messages_hold_what_cannot_change(subject: Subject) -> None:
    """A message's fields are immutable: in the simulated world sender and receiver hold the same object."""
    for kind in subject.own_kinds():
        for name, hint in get_type_hints(kind, include_extras=True).items():
            if mutable := _mutable(hint):
                refuse(
                    f"the field {name} of {kind.__name__} is a {mutable}, which sender or receiver could change",
                    "use tuple[X, ...], bytes, or a msgspec.Struct with frozen=True",
                )


def its_messages_travel(subject: Subject) -> None:
    """Each message comes out of the codec as it went in."""
    for kind in subject.own_kinds():
        try:
            codec = Codec([kind])
            sent = Envelope(example(kind), 7, 8, 9)
            arrived = codec.decode(codec.encode(sent))
        except (TypeError, msgspec.MsgspecError) as error:
            refuse(f"{kind.__name__} does not travel: {error}", "let fields hold plain data, tuples and structs")
        if arrived != sent:
            refuse(f"{sent.message} arrives as {arrived.message}", "let fields hold plain data, tuples and structs")


def its_handlers_messages_are_known(subject: Subject) -> None:
    """Every message that it handles is among those that its design's codec knows."""
    if not issubclass(subject.strategy, Component):
        return
    known = message_kinds(subject.design())
    for owner in subject.strategy.__mro__:
        for name, member in vars(owner).items():
            kind = getattr(member, "handles", (None,))[0]
            if kind is not None and kind not in known:
                refuse(
                    f"{name}() handles {kind.__name__} of {kind.__module__}, which the codec does not know",
                    f"import it by name in the file of {owner.__name__}: from … import {kind.__name__}",
                )


def _built_in_kinds() -> dict[str, type[Message]]:
    kinds: dict[str, type[Message]] = {}
    for axis, names in BUILT_IN.items():
        for name in names:
            for member in vars(sys.modules[find_strategy(axis, name).__module__]).values():
                if isinstance(member, type) and issubclass(member, Message) and member is not Message:
                    kinds[str(tag_of(member))] = member
    return kinds


def _file(kind: type) -> str | None:
    """Where a class is written: a file that was loaded twice has two classes that are one."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None)


def _mutable(hint: Any) -> str:
    """The mutable type within a type; empty if there is none."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _mutable(parts[0])
    if isinstance(hint, types.GenericAlias) or origin is not None:
        hint = origin
    if isinstance(hint, type):
        if issubclass(hint, list | dict | set | bytearray):
            return hint.__name__
        if issubclass(hint, msgspec.Struct) and not hint.__struct_config__.frozen:
            return f"{hint.__name__} that is not frozen"
    return next((found for part in parts if part is not ... and (found := _mutable(part))), "")
