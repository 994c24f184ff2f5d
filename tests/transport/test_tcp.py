"""Streams keep order, tell of their breaks, refuse strangers in words and outlive damage; over real sockets."""

import asyncio

import pytest

from kvsim.transport import tcp
from kvsim.transport.frames import HEADER_BYTES, Hello, Refused, framed, greeting, read_greeting
from tests.transport.ends import LOOPS, End, addresses, hello, run


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """All up to the end of the connection, which may be abrupt."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def next_frame(reader: asyncio.StreamReader) -> bytes:
    """The payload of the next frame, however it was cut on the way."""
    header = await reader.readexactly(HEADER_BYTES)
    return await reader.readexactly(int.from_bytes(header[:4], "big"))


def test_messages_arrive_in_the_order_of_sending(loop: str) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            sent = [b"%d" % number * (number % 50) for number in range(3_000)]
            for payload in sent:
                one.streams.send("data-2", payload)
            assert [await other.got.get() for _ in sent] == [("data-1", payload) for payload in sent]

    run(test, loop)


def test_a_client_without_an_address_is_answered_on_its_own_stream(loop: str) -> None:
    async def test() -> None:
        where = addresses("data-1")
        async with End(hello("data-1"), where) as node, End(hello("client-1"), where) as client:
            client.streams.send("data-1", b"question")
            assert await node.got.get() == ("client-1", b"question")
            node.streams.send("client-1", b"answer")
            assert await client.got.get() == ("data-1", b"answer")

    run(test, loop)


def test_both_ends_learn_of_a_break_and_the_next_message_opens_a_new_stream(loop: str) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            one.streams.send("data-2", b"before")
            assert await other.got.get() == ("data-1", b"before")
            one.streams.break_with("data-2")
            assert (await one.lost.get(), await other.lost.get()) == ("data-2", "data-1")
            one.streams.send("data-2", b"after")
            assert await other.got.get() == ("data-1", b"after")

    run(test, loop)


def test_messages_to_a_peer_that_is_down_are_given_up_and_reported(loop: str) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as one:
            one.streams.send("data-2", b"nobody hears")
            assert await one.lost.get() == "data-2"
            async with End(hello("data-2"), where) as other:
                one.streams.send("data-2", b"now it is up")
                assert await other.got.get() == ("data-1", b"now it is up")

    run(test, loop)


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (hello("data-2", cluster="cluster-2"), "cluster-2"),
        (hello("data-2", protocol=9), "protocol 9"),
        (hello("data-2", design="design-2"), "design-2"),
    ],
)
def test_a_stranger_is_refused_and_both_sides_know_why(
    stranger: Hello, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as node, End(stranger, where) as other:
            other.streams.send("data-1", b"let me in")
            assert await other.lost.get() == "data-1"
            assert reason in other.streams.refusals["data-1"]
            assert node.got.empty() and node.lost.empty()

    run(test)
    refused = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refused data-2")]
    assert len(refused) == 1 and reason in refused[0]


def test_a_wrong_address_is_noticed_by_the_name_that_was_called() -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        wrong = {**where, "data-2": where["data-1"]}
        async with End(hello("data-1"), where), End(hello("data-3"), wrong) as other:
            other.streams.send("data-2", b"hello data-2")
            assert await other.lost.get() == "data-2"
            assert "called data-2, but this is data-1" in other.streams.refusals["data-2"]

    run(test)


@pytest.mark.parametrize("damage", [b"GET / HTTP/1.1\r\n\r\n", framed(b"no greeting"), bytes(8), b"\xff" * 100])
def test_what_is_no_greeting_ends_the_connection_and_nothing_else(damage: bytes) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", where["data-1"].port)
            writer.write(damage)
            assert await rest_of(reader) == b""
            writer.close()
            assert one.complaints.counts["corrupt frames"] == 1
            other.streams.send("data-1", b"all is well")
            assert await one.got.get() == ("data-2", b"all is well")

    run(test)


def test_a_corrupt_frame_breaks_its_stream_after_what_was_sound() -> None:
    async def test() -> None:
        where = addresses("data-1")
        async with End(hello("data-1"), where) as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", where["data-1"].port)
            writer.write(greeting(hello("client-1")))
            assert read_greeting(await next_frame(reader)) == hello("data-1")
            damaged = bytearray(framed(b"damaged"))
            damaged[-1] ^= 1
            writer.write(framed(b"sound") + damaged + framed(b"never seen"))
            assert await node.got.get() == ("client-1", b"sound")
            assert await node.lost.get() == "client-1"
            assert node.got.empty() and node.complaints.counts["corrupt frames"] == 1
            writer.close()

    run(test)


def test_a_refusal_reaches_a_stranger_in_words_before_the_end() -> None:
    async def test() -> None:
        where = addresses("data-1")
        async with End(hello("data-1"), where):
            reader, writer = await asyncio.open_connection("127.0.0.1", where["data-1"].port)
            writer.write(greeting(hello("client-1", cluster="another")))
            answer = read_greeting(await next_frame(reader))
            assert isinstance(answer, Refused) and "another" in answer.reason
            writer.close()

    run(test)


def test_a_peer_that_does_not_read_has_its_stream_broken_in_the_end(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(tcp, "OUTBOX_LIMIT_BYTES", 1_048_576)

    async def test() -> None:
        where = addresses("data-1", "data-2")

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(greeting(hello("data-2")))
            await writer.drain()
            writer.transport.pause_reading()
            held.append(writer)

        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(deaf, "127.0.0.1", where["data-2"].port, limit=1_024)
        async with End(hello("data-1"), where) as one:
            while one.lost.empty():
                one.streams.send("data-2", bytes(65_536))
                await asyncio.sleep(0)
            assert one.complaints.counts["outbox overflow"] == 1
        held[0].transport.abort()
        server.close()
        await server.wait_closed()

    run(test, loop)


def test_a_crowd_of_strangers_keeps_no_peer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STRANGERS_LIMIT", 4)

    async def test() -> None:
        where = addresses("data-1", "data-2")
        async with End(hello("data-1"), where) as node, End(hello("data-2"), where) as other:
            crowd = [await asyncio.open_connection("127.0.0.1", where["data-1"].port) for _ in range(5)]
            assert await rest_of(crowd[0][0]) == b"", "the oldest is hung up on"
            other.streams.send("data-1", b"me too")
            assert await node.got.get() == ("data-2", b"me too")
            assert await rest_of(crowd[1][0]) == b"", "the next has made room for a peer"
            assert node.complaints.counts["too many strangers"] == 2
            for _, writer in crowd:
                writer.close()

    run(test)


def test_one_who_never_greets_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "GREETING_TIMEOUT_S", 0.05)

    async def test() -> None:
        where = addresses("data-1")
        async with End(hello("data-1"), where) as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", where["data-1"].port)
            assert await rest_of(reader) == b""
            writer.close()
            assert node.complaints.counts["never greeted"] == 1

    run(test)
