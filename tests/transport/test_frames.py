"""Frames survive any cutting, and damage never passes for a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.transport.frames import (
    FRAME_LIMIT_BYTES,
    CorruptFrame,
    FrameReader,
    Refused,
    framed,
    greeting,
    read_greeting,
    why_refuse,
)
from tests.transport.ends import hello


def frames_in(pieces: list[bytes]) -> list[bytes]:
    reader = FrameReader()
    return [payload for piece in pieces for payload in reader.feed(piece)]


@given(payloads=st.lists(st.binary(max_size=200)), cuts=st.lists(st.integers(1, 300)))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, payloads))
    pieces = []
    for cut in cuts:
        pieces.append(stream[:cut])
        stream = stream[cut:]
    assert frames_in([*pieces, stream]) == payloads


@given(payloads=st.lists(st.binary(max_size=50), min_size=1), data=st.data())
def test_one_flipped_bit_never_yields_another_message(payloads: list[bytes], data: st.DataObject) -> None:
    stream = bytearray(b"".join(map(framed, payloads)))
    bit = data.draw(st.integers(0, 8 * len(stream) - 1))
    stream[bit // 8] ^= 1 << bit % 8
    found: list[bytes] = []
    try:
        for payload in FrameReader().feed(bytes(stream)):
            found.append(payload)  # noqa: PERF402 - what comes before the damage is kept
    except CorruptFrame:
        pass
    assert found == payloads[: len(found)] and len(found) < len(payloads)


def test_a_frame_of_the_largest_size_passes_in_pieces() -> None:
    payload = bytes(FRAME_LIMIT_BYTES)
    stream = framed(payload)
    assert frames_in([stream[at : at + 65_536] for at in range(0, len(stream), 65_536)]) == [payload]


def test_a_larger_frame_is_refused_on_both_sides() -> None:
    with pytest.raises(ValueError, match="send it in parts"):
        framed(bytes(FRAME_LIMIT_BYTES + 1))
    with pytest.raises(CorruptFrame, match="are allowed"):
        frames_in([(FRAME_LIMIT_BYTES + 1).to_bytes(4, "big") + bytes(4)])


def test_what_is_no_greeting_is_corrupt() -> None:
    with pytest.raises(CorruptFrame, match="no greeting"):
        read_greeting(b"GET / HTTP/1.1")
    with pytest.raises(CorruptFrame):
        read_greeting(greeting(hello("abc"))[8:].replace(b"abc", b"a\xffc"))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (hello("data-2", protocol=2), "protocol"),
        (hello("data-2", cluster="cluster-2"), "cluster-2"),
        (hello("data-2", design="design-2"), "design-2"),
        (hello("data-1"), "met itself"),
        (hello("data-2", to="data-3"), "called data-3"),
    ],
)
def test_a_stranger_is_told_why(theirs: object, reason: str) -> None:
    assert reason in str(why_refuse(hello("data-1"), theirs))  # type: ignore[arg-type]


def test_a_peer_of_the_same_cluster_and_design_is_welcome() -> None:
    assert why_refuse(hello("data-1"), hello("data-2", to="data-1")) is None


@pytest.mark.parametrize(
    ("said", "golden"),
    [
        (
            hello("data-1", to="data-2"),
            "97a568656c6c6f01a9636c75737465722d31a864657369676e2d31a6646174612d3101a6646174612d32",
        ),
        (Refused("no"), "92a772656675736564a26e6f"),
    ],
)
def test_the_bytes_of_greetings_never_change(said: object, golden: str) -> None:
    assert greeting(said)[8:].hex() == golden, "the wire is append-only"  # type: ignore[arg-type]
