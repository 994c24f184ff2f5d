"""Strangers at the RESP door: garbage, floods, half commands and hang-ups get a short answer; all others go on."""

import asyncio
import socket

import hiredis
import pytest

from kvsim.core.operation import Put, RequestId
from kvsim.real.doors.resp_door import Connection
from tests.doors.conftest import PATIENCE_S, RESP_LIMITS, OpenDoors, until


def talk(port: int, data: bytes, half_close: bool = True) -> bytes:
    """Send, and read until the door hangs up."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer


def packed(*words: bytes | str) -> bytes:
    return hiredis.pack_command(words)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1000000000\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$2000000000\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"\x00" * 70_000, b"-ERR Protocol error: too big inline request\r\n"),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", b""),
    ],
)
def test_garbage_is_answered_and_closed(doors: OpenDoors, data: bytes, answer: bytes) -> None:
    assert talk(doors.resp_port, data, half_close=False) == answer
    assert talk(doors.resp_port, packed("PING")) == b"+PONG\r\n"


def test_what_came_before_the_garbage_is_answered_first(doors: OpenDoors) -> None:
    data = packed("SET", "k", "v") + packed("GET", "k") + b"*x\r\n" + packed("DEL", "k")
    expected = b"+OK\r\n$1\r\nv\r\n-ERR Protocol error: invalid multibulk length\r\n"
    assert talk(doors.resp_port, data, half_close=False) == expected
    assert b"k" in doors.store.records


def test_quit_is_the_last_answer(doors: OpenDoors) -> None:
    assert (
        talk(doors.resp_port, packed("PING") + packed("QUIT") + packed("PING"), half_close=False) == b"+PONG\r\n+OK\r\n"
    )


def test_a_client_that_sends_no_more_still_gets_its_replies(doors: OpenDoors) -> None:
    data = b"".join(packed("SET", f"k{n}", "v") for n in range(500))
    assert talk(doors.resp_port, data) == b"+OK\r\n" * 500


def test_a_client_that_hangs_up_in_the_middle_disturbs_nobody(doors: OpenDoors) -> None:
    for data in (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf", b"*", packed("SET", "k", "v")[:-1]):
        with socket.create_connection(("127.0.0.1", doors.resp_port), PATIENCE_S) as connection:
            connection.sendall(data)
    assert talk(doors.resp_port, packed("PING")) == b"+PONG\r\n"
    assert doors.store.records == {}
    doors.on_loop(connections_become(doors, 0))


def test_a_client_that_goes_during_its_operation_disturbs_nobody(doors: OpenDoors) -> None:
    with doors.store.holding(doors.loop), socket.create_connection(("127.0.0.1", doors.resp_port)) as connection:
        connection.sendall(packed("SET", "k", "v"))
        doors.on_loop(until(lambda: doors.store.under_way == 1))
    doors.on_loop(connections_become(doors, 0))
    assert b"k" in doors.store.records, "what was asked for is done, whether or not its asker waits"


def test_half_a_command_is_not_waited_for_for_ever(hasty_doors: OpenDoors) -> None:
    assert talk(hasty_doors.resp_port, b"*2\r\n$3\r\nGET\r\n$1\r\n", half_close=False) == b""


def test_an_idle_client_may_stay(hasty_doors: OpenDoors) -> None:
    with socket.create_connection(("127.0.0.1", hasty_doors.resp_port), PATIENCE_S) as idle:
        assert pong(idle)
        talk(hasty_doors.resp_port, b"*2\r\n", half_close=False)  # lasts until the door's patience has ended
        assert pong(idle)


def test_a_flood_waits_in_the_clients_own_buffers(doors: OpenDoors) -> None:
    doors.on_loop(connections_become(doors, 0))
    with doors.store.holding(doors.loop), socket.create_connection(("127.0.0.1", doors.resp_port)) as flood:
        doors.on_loop(connections_become(doors, 1))
        [connection] = doors.resp.connections.values()
        sent_bytes = doors.on_loop(send_until_stuck(flood, packed("SET", "k", b"x" * 1_000) * 64, connection))
        assert doors.store.under_way == 1, "all are on one key, so one after the other"
        assert connection.parser.unread_bytes < 2 * 1_048_576 < sent_bytes, "the rest is with the client and the kernel"
    assert talk(doors.resp_port, packed("PING")) == b"+PONG\r\n"


@pytest.mark.parametrize("requests", [30, 1_000])
def test_a_client_that_never_reads_is_served_no_further_and_hung_up_on(hasty_doors: OpenDoors, requests: int) -> None:
    doors = hasty_doors
    doors.on_loop(doors.store.perform(Put(RequestId("test", 1), b"big", b"x" * 1_000_000)))
    with socket.create_connection(("127.0.0.1", doors.resp_port)) as greedy:
        greedy.sendall(packed("GET", "big") * requests)
        doors.on_loop(until(lambda: len(doors.store.seen) > 30))
        doors.on_loop(connections_become(doors, 0))
    assert len(doors.store.seen) < 4 * RESP_LIMITS.pipelined


def test_the_reason_reaches_a_client_that_sends_on(doors: OpenDoors) -> None:
    """TCP that is closed with bytes unread resets the connection, and takes the last reply with it."""
    answer = talk(doors.resp_port, b"*x\r\n" + b"x" * 4_000_000, half_close=False)
    assert answer == b"-ERR Protocol error: invalid multibulk length\r\n"


def test_one_connection_too_many_is_told_so(doors: OpenDoors) -> None:
    doors.on_loop(connections_become(doors, 0))
    opened = [
        socket.create_connection(("127.0.0.1", doors.resp_port), PATIENCE_S) for _ in range(RESP_LIMITS.connections)
    ]
    try:
        assert all(map(pong, opened))
        assert talk(doors.resp_port, b"") == b"-ERR max number of clients reached\r\n"
    finally:
        for connection in opened:
            connection.close()
    doors.on_loop(connections_become(doors, 0))
    assert talk(doors.resp_port, packed("PING")) == b"+PONG\r\n"


def pong(connection: socket.socket) -> bool:
    """Whether a ping is answered."""
    connection.sendall(packed("PING"))
    answer = b""
    while len(answer) < len(b"+PONG\r\n") and (piece := connection.recv(100)):
        answer += piece
    return answer == b"+PONG\r\n"


FLOOD_BYTES = 128 * 1_048_576
TURNS = 1_000


async def send_until_stuck(client: socket.socket, data: bytes, connection: Connection) -> int:
    """Send until the door reads no more and nobody else takes anything either; how many bytes were taken."""
    client.setblocking(False)
    sent_bytes = in_vain = 0
    while in_vain < TURNS and sent_bytes < FLOOD_BYTES:
        try:
            sent_bytes += client.send(data)
            in_vain = 0
        except BlockingIOError:
            in_vain += not connection.transport.is_reading()
            await asyncio.sleep(0)
    return sent_bytes


async def connections_become(doors: OpenDoors, count: int) -> None:
    await until(lambda: len(doors.resp.connections) == count)
