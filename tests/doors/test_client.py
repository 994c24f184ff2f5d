"""Client and AsyncClient at an open door: results, errors, and writes applied once, however often they are sent."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kvsim.client import AsyncClient, Client
from kvsim.client_form import Broken, Response, conversation, request_for, result_from
from kvsim.core.operation import (
    Absent,
    AlreadyExists,
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Limits,
    Mismatch,
    NotFound,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Put,
    Read,
    Remove,
    RequestId,
    Scan,
    TooLarge,
    Unavailable,
    Update,
    Written,
)
from kvsim.core.version import Version
from tests.doors.conftest import PATIENCE_S, OpenDoors


@pytest.fixture
def client(doors: OpenDoors) -> Iterator[Client]:
    with Client(doors.url, retries=0) as connected:
        yield connected


ODD_KEYS = [b"", b".", b"..", b"a/../b", b"%2F", b"a b+c?d=e&f#g", b"\x00\xff", "ä".encode(), b"k" * 1_024]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_and_value_come_back(doors: OpenDoors, client: Client, key: bytes) -> None:
    value = bytes(range(256)) + key

    async def same_by_asyncio() -> bytes | None:
        async with AsyncClient(doors.url, retries=0) as other:
            await other.update(key, value + b"!")
            return await other.get(key)

    assert client.get(key) is None
    assert client.put(key, value).existed is False
    assert client.get(key) == value
    assert asyncio.run(same_by_asyncio()) == value + b"!"
    assert list(doors.store.records) == [key]


def test_every_operation(client: Client) -> None:
    assert client.read("k") == Absent()
    assert client.create("k", "1") == Written(Version(1, "data-1"), existed=False)
    with pytest.raises(AlreadyExists, match="k is present"):
        client.create("k", "2")
    assert client.update("k", "2").existed is True
    assert client.put("k", "3").existed is True
    found = client.read("k")
    assert found == Found(b"3", Version(3, "data-1"))
    assert client.cas("k", "4", expected_version=found.version)
    with pytest.raises(Mismatch):
        client.cas("k", "5", expected_version=str(found.version))
    assert client.cas("k", "5", expected="4")
    with pytest.raises(Mismatch):
        client.cas("k", "6", expected=None)
    assert client.cas("new", "1", expected=None).existed is False
    assert client.delete("k").existed is True
    with pytest.raises(NotFound):
        client.delete("k")
    with pytest.raises(NotFound):
        client.update("k", "1")
    assert client.remove("k").version == Version(8, "data-1")


def test_scan_pages(client: Client) -> None:
    for key in (b"a", b"b", b"c\xff", b"d"):
        client.put(key, key * 2)
    page = client.scan("b", limit=2)
    assert [(item.key, item.value) for item in page.items] == [(b"b", b"bb"), (b"c\xff", b"c\xffc\xff")]
    assert page.next == b"d"
    assert client.scan(page.next).next is None
    assert [item.key for item in client.scan("a", "c", limit=5_000).items] == [b"a", b"b"]


def test_every_operation_by_asyncio(doors: OpenDoors) -> None:
    async def talk() -> None:
        async with AsyncClient(doors.url, retries=0) as client:
            await asyncio.gather(*(client.put(f"k{number}", str(number)) for number in range(40)))
            assert [item.value for item in (await client.scan("k1", "k11")).items] == [b"1", b"10"]
            assert await client.read("absent") == Absent()
            with pytest.raises(AlreadyExists):
                await client.create("k1", "v")
            assert (await client.cas("k1", "v", expected="1")).existed is True
            assert (await client.delete("k1")).existed is True
            with pytest.raises(NotFound):
                await client.update("k1", "v")
            await client.remove("k1")

    asyncio.run(talk())


@pytest.mark.parametrize(
    "failure", [Unavailable("away"), OutcomeUnknown("late"), NotServed("not here"), TooLarge("big")]
)
def test_errors_are_those_of_the_store(doors: OpenDoors, client: Client, failure: OperationError) -> None:
    async def same_by_asyncio() -> None:
        async with AsyncClient(doors.url, retries=0) as other:
            await other.get("k")

    with doors.store.failing(failure):
        for call in (lambda: client.put("k", "v"), lambda: client.get("k"), lambda: client.scan()):
            with pytest.raises(type(failure), match=failure.detail):
                call()
        with pytest.raises(type(failure), match=failure.detail):
            asyncio.run(same_by_asyncio())


def test_limits_are_checked_before_anything_is_sent(doors: OpenDoors, client: Client) -> None:
    with pytest.raises(TooLarge, match="the limit is 1048576"):
        client.put("k", b"x" * 1_048_577)
    with Client(doors.url, limits=Limits(key_bytes=2)) as strict, pytest.raises(TooLarge, match="the limit is 2"):
        strict.get("long")
    assert doors.store.seen == []


def test_each_write_has_a_number_of_its_own(doors: OpenDoors) -> None:
    with Client(doors.url, name="ada") as client:
        client.put("k", "1")
        client.delete("k")
    assert [op.request for op in doors.store.seen] == [RequestId("ada", 1), RequestId("ada", 2)]


def test_a_write_sent_again_is_applied_once(doors: OpenDoors) -> None:
    """The answer to the first sending is lost on the way; the second one gets it."""
    with losing_the_first_answer(doors.http_port) as port, Client(f"http://127.0.0.1:{port}", name="ada") as client:
        assert client.create("k", "v") == Written(Version(1, "data-1"), existed=False)
    assert [op.request for op in doors.store.seen] == [RequestId("ada", 1)] * 2


def test_without_retries_a_lost_answer_is_an_unknown_outcome(doors: OpenDoors) -> None:
    async def by_asyncio(port: int) -> None:
        async with AsyncClient(f"http://127.0.0.1:{port}", retries=0) as client:
            await client.put("k", "v")

    with losing_the_first_answer(doors.http_port) as port, pytest.raises(OutcomeUnknown, match="no answer"):
        Client(f"http://127.0.0.1:{port}", retries=0).put("k", "v")
    with losing_the_first_answer(doors.http_port) as port, pytest.raises(OutcomeUnknown, match="no answer"):
        asyncio.run(by_asyncio(port))
    assert len(doors.store.seen) == 2


def test_asyncio_never_sends_again_by_itself_on_a_kept_connection(doors: OpenDoors) -> None:
    async def talk(port: int) -> None:
        async with AsyncClient(f"http://127.0.0.1:{port}", retries=0) as client:
            await client.put("k", "1")
            with pytest.raises(OutcomeUnknown):
                await client.put("k", "2")

    with losing_the_first_answer(doors.http_port, answers_before=1) as port:
        asyncio.run(talk(port))
    assert len(doors.store.seen) == 2


def test_nobody_there_is_a_certain_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable, match=f"nobody answers at 127.0.0.1:{port}"):
            Client(f"http://127.0.0.1:{port}", retries=1).put("k", "v")

        async def by_asyncio() -> None:
            async with AsyncClient(f"http://127.0.0.1:{port}", retries=0) as client:
                await client.put("k", "v")

        with pytest.raises(Unavailable, match="nobody answers"):
            asyncio.run(by_asyncio())


def test_a_door_that_is_silent_is_given_up(doors: OpenDoors) -> None:
    silent = Client(doors.url, timeout_s=0.2, retries=0)
    with doors.store.holding(doors.loop), pytest.raises(OutcomeUnknown, match="timed out"):
        silent.put("k", "v")


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "redis://127.0.0.1", "http://", "http://h/path", "http://h:port"])
def test_a_wrong_address_is_named(url: str) -> None:
    with pytest.raises(ValueError):
        Client(url)


# When to send again ---------------------------------------------------------------------------------------------------

PUT = Put(RequestId("c", 1), b"k", b"v")
DONE = Response(201, '"1.a"', b"")
AWAY = Response(503, "", b'{"detail": "away", "code": "unavailable"}')
LATE = Response(504, "", b'{"detail": "late", "code": "outcome_unknown"}')
EXISTS = Response(412, "", b'{"detail": "there", "code": "already_exists"}')
LOST = Broken(True, "lost")
UNSENT = Broken(False, "unsent")


def outcome(came: list[Response | Broken], retries: int = 2) -> AnyResult | OperationError:
    talk = conversation(PUT, retries)
    next(talk)
    try:
        for one in came:
            assert talk.send(one) > 0
    except StopIteration as ended:
        result: AnyResult = ended.value
        return result
    except OperationError as failed:
        return failed
    raise AssertionError("it wants to send once more")


@pytest.mark.parametrize("first", [[], [AWAY], [LATE], [LOST], [UNSENT], [LOST, AWAY]])
def test_a_success_after_failures_is_a_success(first: list[Response | Broken]) -> None:
    assert isinstance(outcome([*first, DONE]), Written)


@pytest.mark.parametrize("came", [[AWAY] * 3, [UNSENT] * 3, [UNSENT, AWAY, UNSENT]])
def test_only_certain_failures_are_one(came: list[Response | Broken]) -> None:
    assert isinstance(outcome(came), Unavailable)


@pytest.mark.parametrize("came", [[LOST] * 3, [AWAY, AWAY, LATE], [LATE, AWAY, AWAY], [LOST, EXISTS]])
def test_one_unknown_among_failures_makes_all_unknown(came: list[Response | Broken]) -> None:
    """The first sending may be on its way yet, so what the second was told is no proof."""
    assert isinstance(outcome(came), OutcomeUnknown)


def test_a_final_failure_is_not_sent_again() -> None:
    assert isinstance(outcome([AWAY, EXISTS]), AlreadyExists)
    assert isinstance(outcome([AWAY], retries=0), Unavailable)


@pytest.mark.parametrize(
    "response",
    [Response(200, "", b""), Response(200, '"x"', b""), Response(302, "", b""), Response(500, "", b"<html>")],
)
def test_an_answer_of_somebody_else_is_an_unknown_outcome(response: Response) -> None:
    for operation in (PUT, Read(RequestId("c", 1), b"k"), Scan(RequestId("c", 1), b"")):
        with pytest.raises(OutcomeUnknown):
            result_from(operation, response)


def test_a_refusal_without_a_code_is_certain() -> None:
    with pytest.raises(NotServed, match="is it a kvsim door"):
        result_from(PUT, Response(404, "", b"<html>"))
    with pytest.raises(NotServed, match="no such page"):
        result_from(Read(RequestId("c", 1), b"k"), Response(404, "", b'{"detail": "no such page"}'))


NUMBER = RequestId("c", 7)


@pytest.mark.parametrize(
    "operation",
    [
        Put(NUMBER, b"k", b"v"),
        Create(NUMBER, b"k", b"v"),
        Update(NUMBER, b"k", b"v"),
        Delete(NUMBER, b"k"),
        Remove(NUMBER, b".."),
        CompareAndSet(NUMBER, b"k", b"v", expected=b"o"),
        CompareAndSet(NUMBER, b"k", b"v", expected=None),
        CompareAndSet(NUMBER, b"k", b"v", expected_version=Version(3, "a")),
    ],
)
def test_the_door_performs_the_operation_that_the_client_was_given(doors: OpenDoors, operation: AnyOperation) -> None:
    assert request_for(operation).headers["Idempotency-Key"] == "c/7"
    with doors.store.failing(NotServed("only looked at")), Client(doors.url) as client, pytest.raises(NotServed):
        client.perform(operation)
    assert doors.store.seen == [operation]


@contextmanager
def losing_the_first_answer(door_port: int, answers_before: int = 0) -> Iterator[int]:
    """A proxy that passes requests on, but hangs up instead of passing on one answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    left = answers_before

    def serve() -> None:
        nonlocal left
        lost = False
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", door_port), PATIENCE_S) as far:
                while request := whole_message(near):
                    far.sendall(request)
                    answer = whole_message(far)
                    if not lost and left == 0:
                        lost = True
                        break
                    left -= 1
                    near.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)


def whole_message(stream: socket.socket) -> bytes:
    """The next request or answer, its body included, which may come in a segment of its own; b"" at the end."""
    came = b""
    while (head_end := came.find(b"\r\n\r\n")) < 0 or len(came) < head_end + 4 + body_length(came[:head_end]):
        piece = stream.recv(65_536)
        if not piece:
            return b""
        came += piece
    return came


def body_length(head: bytes) -> int:
    return int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head + b"\r\ncontent-length: 0")[1])
