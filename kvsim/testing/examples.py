"""One example of whatever type a message may hold, made from the types alone: a new kind of message has one at once."""

from __future__ import annotations

import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

PLAIN: dict[Any, Any] = {int: 300, float: 0.5, bool: True, str: "data-1", bytes: b"k\x00\xff"}


def example(hint: Any) -> Any:
    """One value of this type, with every field filled in. Raises TypeError for what no message may hold."""
    return next(examples(hint))


def examples(hint: Any) -> Iterator[Any]:
    """A value for each alternative of this type."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        yield PLAIN[hint]
    elif hint is None or hint is types.NoneType:
        yield None
    elif origin is Annotated:
        yield from examples(parts[0])
    elif origin is Literal:
        yield parts[0]
    elif origin in (Union, types.UnionType):
        for part in parts:
            yield from examples(part)
    elif origin in (tuple, list):
        yield tuple(examples(parts[0])) if parts[1:] in ((), (...,)) else tuple(map(example, parts))
    elif origin is dict:
        yield {example(parts[0]): example(parts[1])}
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield next(iter(hint))
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint, include_extras=True)
        yield hint(*(example(hints[name]) for name in hint.__struct_fields__))
    else:
        raise TypeError(f"no example for {hint!r}; messages hold plain data, tuples, dicts and structs only")
