"""The wire is append-only: what any released kvsim sent or stored can still be read, byte for byte.

`golden.json` holds for each tag the bytes of its example, oldest first. `pytest --update` adds, and never takes away.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.message import Codec, Envelope, Message, tag_of
from kvsim.core.operation import AnyOperation, Failure, Perform
from kvsim.core.replica import Change, Known
from kvsim.testing.examples import example
from tests.wire.examples import built_in_kinds

GOLDEN = Path(__file__).with_name("golden.json")
RETIRED: tuple[str, ...] = ()
"""Tags that nothing sends any more. They stay reserved: no new kind may take one."""

KINDS = built_in_kinds()
CODEC = Codec(KINDS.values())


def pinned() -> dict[str, list[str]]:
    return json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}


def todays() -> dict[str, bytes]:
    """The bytes of an example of everything that is sent or stored."""
    sent: dict[str, Message] = {tag: example(kind) for tag, kind in KINDS.items()}
    for operation in get_args(AnyOperation):
        sent[f"client.perform {tag_of(operation)}"] = Perform(example(operation), 1)
    found = {name: CODEC.encode(Envelope(message, 7, 8, 9)) for name, message in sent.items()}
    return found | {f"disk {tag_of(kind)}": msgspec.msgpack.encode(example(kind)) for kind in (Change, Known)}


def decoded(name: str, data: bytes) -> Any:
    if name.startswith("disk "):
        return msgspec.msgpack.decode(data, type=Change | Known)
    return CODEC.decode(data)


def test_what_is_sent_and_stored_today_is_pinned(pytestconfig: pytest.Config) -> None:
    now, before = todays(), pinned()
    changed = [name for name, data in now.items() if before.get(name, [])[-1:] != [data.hex()]]
    if pytestconfig.getoption("update") and changed:
        added = {name: [*before.get(name, []), now[name].hex()] for name in changed}
        GOLDEN.write_text(json.dumps(dict(sorted((before | added).items())), indent=1) + "\n", encoding="utf-8")
    else:
        assert not changed, "the bytes of these changed; if by a new field with a default, run pytest --update"


@pytest.mark.parametrize("name", [name for name in pinned() if name.split()[-1] not in RETIRED])
def test_all_that_was_ever_sent_can_be_read(name: str) -> None:
    """A field that was added without a default, taken away, moved or given another type fails here."""
    *older, newest = [bytes.fromhex(text) for text in pinned()[name]]
    again = decoded(name, newest)
    assert (CODEC.encode(again) if isinstance(again, Envelope) else msgspec.msgpack.encode(again)) == newest
    for data in older:
        decoded(name, data)


def test_a_tag_is_used_by_one_kind_for_ever() -> None:
    tags = [name for name in pinned() if " " not in name]
    assert sorted(tags) == sorted({*KINDS, *RETIRED})
    assert not set(RETIRED) & set(KINDS)


def test_every_tag_names_its_protocol() -> None:
    assert [tag for tag in KINDS if tag.count(".") != 1] == []


def test_messages_hold_no_mutable_fields() -> None:
    """In the simulated world sender and receiver share them."""
    mutable = [
        f"{tag}.{field.name}"
        for tag, kind in KINDS.items()
        for field in msgspec.structs.fields(kind)
        if str(field.type).startswith(("list", "set", "<class 'list'", "<class 'set'", "bytearray"))
    ]
    assert mutable == []


def test_a_codec_knows_only_the_kinds_of_its_design() -> None:
    small = Codec([Perform])
    assert small.decode(small.encode(Envelope(Failure("unavailable", "x"), 0, 3))).answers == 3
    with pytest.raises(msgspec.ValidationError):
        small.decode(CODEC.encode(Envelope(example(KINDS["quorum.store"]))))


@given(st.binary(max_size=60))
def test_a_strangers_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        CODEC.decode(data)
    except msgspec.DecodeError:
        return


def test_text_that_is_no_utf_8_is_refused_like_all_else() -> None:
    """msgspec itself raises another error for it, which whoever guards a door might not expect."""
    good = CODEC.encode(Envelope(Failure("unavailable", "abc")))
    with pytest.raises(msgspec.DecodeError, match="no UTF-8"):
        CODEC.decode(good.replace(b"abc", b"a\xffc"))


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_damaged_bytes_are_refused_or_read_as_a_message(tag: str, data: st.DataObject) -> None:
    good = bytearray(CODEC.encode(Envelope(example(KINDS[tag]), 1)))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert isinstance(CODEC.decode(bytes(good)).message, Message)
    except msgspec.DecodeError:
        return
