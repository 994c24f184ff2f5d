"""Strangers at the HTTP door: half requests, garbage, floods and hang-ups are answered shortly; all others go on."""

import contextlib
import logging
import socket
import time

import pytest

from tests.doors.conftest import HTTP_LIMITS, PATIENCE_S, OpenDoors, until


def talk(doors: OpenDoors, data: bytes) -> bytes:
    """Send, and read until the door hangs up."""
    with socket.create_connection(("127.0.0.1", doors.http_port), PATIENCE_S) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer


def send_for_ever(connection: socket.socket, data: bytes) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        connection.sendall(data)


def is_well(doors: OpenDoors) -> bool:
    request = b"GET /v1/cluster HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return talk(doors, request).startswith(b"HTTP/1.1 200 ")


HOST = b"Host: localhost\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET http://evil.example/v1/kv/k HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/kv/k HTTP/1.1\r\n" + HOST + b"X: x\r\n" * 1_000 + b"\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx",
        b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(doors: OpenDoors, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    answer = talk(doors, data)
    assert answer.split(b" ")[1] in (b"400", b"421"), answer
    assert doors.store.seen == []
    assert is_well(doors)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_half_a_header_is_not_waited_for_for_ever(hasty_doors: OpenDoors) -> None:
    assert talk(hasty_doors, b"GET /v1/kv/k HTTP/1.1\r\nHost: loc") == b""


def test_a_header_that_comes_drop_by_drop_is_not_waited_for_for_ever(hasty_doors: OpenDoors) -> None:
    with socket.create_connection(("127.0.0.1", hasty_doors.http_port), PATIENCE_S) as connection:
        connection.sendall(b"GET /v1/kv/k HTTP/1.1\r\n" + HOST + b"X: ")
        connection.settimeout(0.1)
        end_s = time.monotonic() + PATIENCE_S
        while not hung_up(connection):
            assert time.monotonic() < end_s, "the door still waits"
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"x")


def hung_up(connection: socket.socket) -> bool:
    """Whether the door has ended the connection; waits a moment for it."""
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_half_a_body_is_not_waited_for_for_ever(hasty_doors: OpenDoors) -> None:
    answer = talk(hasty_doors, b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert hasty_doors.store.seen == []


def test_a_client_that_hangs_up_in_the_middle_disturbs_nobody(
    doors: OpenDoors, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"GET /v1", b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nhalf"):
        with socket.create_connection(("127.0.0.1", doors.http_port), PATIENCE_S) as connection:
            connection.sendall(data)
    assert is_well(doors)
    assert doors.store.seen == []
    assert caplog.records == []


def test_a_client_that_goes_during_its_operation_disturbs_nobody(doors: OpenDoors) -> None:
    with doors.store.holding(doors.loop), socket.create_connection(("127.0.0.1", doors.http_port)) as connection:
        connection.sendall(b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nv")
        doors.on_loop(until(lambda: doors.store.under_way == 1))
    doors.on_loop(until(lambda: b"k" in doors.store.records))
    assert is_well(doors)


@pytest.mark.parametrize("announced", [b"Content-Length: 2000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_without_end_is_cut_off(doors: OpenDoors, announced: bytes) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", doors.http_port), PATIENCE_S) as connection:
        connection.sendall(b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + announced)
        with pytest.raises(ConnectionError):
            send_for_ever(connection, chunk)
    assert doors.store.seen == []
    assert is_well(doors)


def test_a_body_announced_as_too_large_is_refused_before_it_comes(doors: OpenDoors) -> None:
    answer = talk(doors, b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Content-Length: 2000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_large(doors: OpenDoors) -> None:
    chunks = (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17  # and no end
    answer = talk(doors, b"PUT /v1/kv/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert doors.store.seen == []


def test_pipelined_requests_are_answered_in_order(doors: OpenDoors) -> None:
    puts = [b"PUT /v1/kv/k%d HTTP/1.1\r\n" % number + HOST + b"Content-Length: 1\r\n\r\nv" for number in range(200)]
    last = b"GET /v1/cluster HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = talk(doors, b"".join(puts) + last)
    assert answer.count(b"HTTP/1.1 201 Created") == 200
    assert [op.key for op in doors.store.seen] == [b"k%d" % number for number in range(200)]  # type: ignore[union-attr]


def test_one_connection_too_many_is_told_so(doors: OpenDoors) -> None:
    opened = [
        socket.create_connection(("127.0.0.1", doors.http_port), PATIENCE_S) for _ in range(HTTP_LIMITS.connections)
    ]
    try:
        assert talk(doors, b"").startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in opened:
            connection.close()
