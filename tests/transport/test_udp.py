"""Datagrams: small ones arrive, damaged and foreign ones are dropped and counted, large ones are a defect."""

import asyncio
import socket

import pytest

from kvsim.core.message import DATAGRAM_LIMIT_BYTES, NodeId
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import Hello
from kvsim.transport.tcp import Address
from kvsim.transport.udp import Datagrams
from tests.transport.ends import LOOPS, addresses, hello, run


class End:
    def __init__(self, me: Hello, where: dict[NodeId, Address]) -> None:
        self.got: asyncio.Queue[tuple[NodeId, bytes]] = asyncio.Queue()
        self.complaints = Complaints()
        self.datagrams = Datagrams(
            me, where, lambda peer, payload: self.got.put_nowait((peer, payload)), self.complaints
        )
        self.datagrams.listen(where[me.node])

    def __enter__(self) -> "End":
        return self

    def __exit__(self, *_: object) -> None:
        self.datagrams.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_datagram_of_the_largest_size_arrives(loop: str) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            one.datagrams.send("data-2", bytes(DATAGRAM_LIMIT_BYTES))
            assert await other.got.get() == ("data-1", bytes(DATAGRAM_LIMIT_BYTES))

    run(test, loop)


def test_a_larger_datagram_is_dropped_with_a_word_about_the_defect(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            one.datagrams.send("data-2", bytes(DATAGRAM_LIMIT_BYTES + 1))
            one.datagrams.send("data-2", b"small")
            assert await other.got.get() == ("data-1", b"small")
            assert one.complaints.counts["oversized datagrams"] == 1

    run(test)
    assert "1201 bytes to data-2" in caplog.text


def test_a_datagram_to_a_peer_that_is_down_harms_nobody() -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2")
        with End(hello("data-1"), where) as one:
            for _ in range(3):
                one.datagrams.send("data-2", b"anybody there?")
            with End(hello("data-2"), where) as other:
                other.datagrams.send("data-1", b"now I am")
                assert await one.got.get() == ("data-2", b"now I am")

    run(test)


def test_damaged_and_foreign_datagrams_are_dropped_and_counted() -> None:
    async def test() -> None:
        where = addresses("data-1", "data-2", "tap")
        with End(hello("data-1"), where) as one, End(hello("data-2"), where) as other:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
                tap.bind(("127.0.0.1", where["tap"].port))
                other.datagrams.send("tap", b"a message")
                sound = tap.recv(2_048)
                for at in range(len(sound)):
                    damaged = bytearray(sound)
                    damaged[at] ^= 0x20
                    tap.sendto(damaged, ("127.0.0.1", where["data-1"].port))
                tap.sendto(b"", ("127.0.0.1", where["data-1"].port))
                tap.sendto(b"PING\r\n", ("127.0.0.1", where["data-1"].port))
            with End(hello("tap", cluster="another"), where) as stranger:
                stranger.datagrams.send("data-1", b"let me in")
            other.datagrams.send("data-1", b"sound")
            assert await one.got.get() == ("data-2", b"sound")
            assert one.got.empty() and one.complaints.counts["corrupt datagrams"] == len(sound) + 3

    run(test)
