"""Lines of a trace say of every event and message what `plain` says of it, in the order of the entries."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.message import Message, plain
from kvsim.core.trace import Event
from kvsim.core.trace_lines import BLOCK, Lines, line_of
from kvsim.core.version import Version


class Colour(Enum):
    RED = "red"


class Inner(Message, tag="test.inner"):
    data: bytes
    version: Version


class Happened(Event, tag="test.happened"):
    number: int
    name: str
    either: bytes | None
    inner: Inner
    many: tuple[Inner, ...]
    names: tuple[str, ...]
    share: float
    anything: Any = None


class Marked(Event, tag="test.marked"):
    pass


INNER = st.builds(Inner, st.binary(max_size=6), st.builds(Version, st.integers(0, 2**62), st.text(max_size=3)))
HAPPENED = st.builds(
    Happened,
    st.integers(-(2**62), 2**62),
    st.text(max_size=5),
    st.none() | st.binary(max_size=4),
    INNER,
    st.lists(INNER, max_size=2).map(tuple),
    st.lists(st.text(max_size=2), max_size=2).map(tuple),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([None, 3, "text", b"bytes", b"\xff", ["list", b"x"], {"a": b"b"}, Colour.RED, (1, (2, b"3"))]),
)


def slowly(id: int, time_ns: int, node: str, event: Event, cause: int) -> bytes:
    """A line by the generic way."""
    fields = {name: plain(getattr(event, name)) for name in event.__struct_fields__}
    head = {"id": id, "time_ns": time_ns, "node": node, **({"cause": cause} if cause else {})}
    return msgspec.json.encode({**head, "event": event.__struct_config__.tag, **fields}) + b"\n"


@given(HAPPENED, st.integers(1, 2**40), st.text(max_size=4), st.integers(0, 2))
def test_a_line_is_what_the_generic_way_gives(event: Happened, time_ns: int, node: str, cause: int) -> None:
    assert line_of(7, time_ns, node, event, cause) == slowly(7, time_ns, node, event, cause)


def test_an_event_without_fields() -> None:
    assert line_of(1, 0, "a", Marked(), 0) == b'{"id":1,"time_ns":0,"node":"a","event":"test.marked"}\n'


def test_lines_come_in_blocks_and_none_is_kept_back_at_the_end() -> None:
    written: list[bytes] = []
    lines = Lines(written.append)
    for number in range(1, 2 * BLOCK + 4):
        lines.take(number, number, "a", Marked(), 0)
    assert len(written) == 2
    lines.flush()
    lines.flush()
    assert len(written) == 3
    ids = [json.loads(line)["id"] for line in b"".join(written).splitlines()]
    assert ids == list(range(1, 2 * BLOCK + 4))


def test_a_write_that_fails_is_not_repeated() -> None:
    def full(_: bytes) -> None:
        raise OSError("disk full")

    lines = Lines(full)
    lines.take(1, 0, "a", Marked(), 0)
    with pytest.raises(OSError, match="disk full"):
        lines.flush()
    lines.flush()


def test_an_event_may_not_use_the_words_of_every_line() -> None:
    with pytest.raises(TypeError, match="field 'node' of Wrong is a word of every line of a trace; rename it"):

        class Wrong(Event, tag="test.wrong"):
            node: str
