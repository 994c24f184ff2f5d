"""How messages, events and results read on one line: the tag, then every field.

`c1/1` is a request (`-`: no client's), `@1.a` a version, `x=1` a key and its value, `x=-` a key that holds nothing; all
else has its name before it: `acks=2`, and times have units.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from kvsim.core.message import Failure, Message, text_of
from kvsim.core.operation import ERRORS, Absent, RequestId
from kvsim.core.settings import shown_duration
from kvsim.core.version import Version

LONGEST_BYTES = 64
"""Values that are longer, such as a workload's padded ones, are cut."""
SHOWN_BYTES = 16


def line(struct: msgspec.Struct) -> str:
    """`quorum.store c1/1 x=1 @1.a`."""
    tag = struct.__struct_config__.tag
    return " ".join(part for part in (str(tag) if tag else "", fields(struct)) if part)


def answer(message: Message, request: RequestId) -> str:
    """What a client is told: `ok c1/1 @1.a acks=2`; `fail` if it certainly did not happen, `info` if nobody knows."""
    if isinstance(message, Failure):
        outcome = "fail" if message.code in ERRORS and ERRORS[message.code].certain else "info"
        hint = f" hint={message.hint}" if message.hint else ""
        return f"{outcome} {request} {message.code}: {message.detail}{hint}"
    return f"ok {request} {'absent' if isinstance(message, Absent) else fields(message)}"


def fields(struct: msgspec.Struct) -> str:
    """Every field, in order."""
    names = struct.__struct_fields__
    parts: list[str] = []
    for name in names:
        value = getattr(struct, name)
        if name == "value" and "key" in names:
            continue  # shown beside its key
        if name == "key" and "value" in names:
            held = struct.value  # type: ignore[attr-defined]
            parts.append(f"{shown(value)}={shown(held)}")
        elif name in ("key", "request", "version") or _has_tag(value):
            parts.append(shown(value))
        elif name.endswith("_ns") and isinstance(value, int):
            parts.append(f"{name.removesuffix('_ns')}={shown_duration(value).replace(' ', '')}")
        else:
            parts.append(f"{name}={shown(value)}")
    return " ".join(parts)


def shown(value: Any) -> str:
    """One value."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Version):
        return f"@{value}"
    if isinstance(value, RequestId):
        return str(value) if value.number else "-"
    if isinstance(value, Enum):
        return shown(value.value)
    if isinstance(value, bytes):
        if len(value) > LONGEST_BYTES:
            return f"{shown(value[:SHOWN_BYTES])}…({len(value)} bytes)"
        text = text_of(value)
        return _word(text if isinstance(text, str) else f"b64:{text['b64']}")
    if isinstance(value, msgspec.Struct):
        return f"({line(value)})"
    if isinstance(value, (tuple, list)):
        if not value:
            return "-"
        plain = all(isinstance(item, (str, int)) for item in value)
        return ",".join(map(shown, value)) if plain else f"[{' '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{' '.join(f'{shown(key)}:{shown(item)}' for key, item in value.items())}}}"
    return _word(str(value))


def _has_tag(value: Any) -> bool:
    return isinstance(value, msgspec.Struct) and value.__struct_config__.tag is not None


def _word(text: str) -> str:
    """Quoted where it would not read as one word."""
    is_word = text and text.isprintable() and not any(c in ' ="' for c in text)
    return text if is_word else msgspec.json.encode(text).decode()
