"""What each RESP command means, by the bytes of its reply, in both protocols."""

import itertools
import socket
from collections.abc import Iterator

import hiredis
import pytest

from kvsim.core.operation import (
    CompareAndSet,
    Create,
    Delete,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Put,
    Read,
    Remove,
    Scan,
    TooLarge,
    Unavailable,
    Update,
)
from tests.doors.conftest import PATIENCE_S, OpenDoors, until


class Wire:
    """A connection that speaks bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.reader = hiredis.Reader(notEnoughData=Wire)

    def send(self, *words: bytes | str) -> None:
        self.socket.sendall(hiredis.pack_command(words))

    def reply(self) -> object:
        while (reply := self.reader.gets()) is Wire:
            data = self.socket.recv(65_536)
            if not data:
                return "closed"
            self.reader.feed(data)
        return str(reply) if isinstance(reply, hiredis.ReplyError) else reply

    def ask(self, *words: bytes | str) -> object:
        self.send(*words)
        return self.reply()

    def raw(self, *words: bytes | str) -> bytes:
        """The reply's own bytes."""
        self.send(*words)
        data = self.socket.recv(65_536)
        self.send("PING")
        while not data.endswith(b"+PONG\r\n"):
            data += self.socket.recv(65_536)
        return data.removesuffix(b"+PONG\r\n")


@pytest.fixture
def wire(doors: OpenDoors) -> Iterator[Wire]:
    connection = Wire(doors.resp_port)
    with connection.socket:
        yield connection


def test_set_get_and_delete(doors: OpenDoors, wire: Wire) -> None:
    assert wire.ask("SET", "k", "v") == b"OK"
    assert wire.ask("get", "k") == b"v"
    assert wire.ask("STRLEN", "k") == 1
    assert wire.ask("TYPE", "k") == b"string"
    assert wire.ask("DEL", "k", "absent", "k") == 1
    assert wire.ask("GET", "k") is None
    assert wire.ask("TYPE", "k") == b"none"
    assert wire.ask("KVSIM.REMOVE", "k") == b"OK"
    writes = [type(op) for op in doors.store.seen if isinstance(op, Put | Delete | Remove)]
    assert writes == [Put, Delete, Delete, Remove]


def test_values_are_bytes_and_keys_may_be_empty(wire: Wire) -> None:
    everything = bytes(range(256))
    assert wire.ask("SET", everything, everything) == b"OK"
    assert wire.ask("GET", everything) == everything
    assert wire.ask("SET", "", "") == b"OK"
    assert wire.ask("GET", "") == b""


def test_nx_is_a_create_xx_an_update_and_ifeq_a_compare_and_set(doors: OpenDoors, wire: Wire) -> None:
    assert wire.ask("SET", "k", "1", "XX") is None
    assert wire.ask("SET", "k", "1", "nx") == b"OK"
    assert wire.ask("SET", "k", "2", "NX") is None
    assert wire.ask("SET", "k", "2", "XX") == b"OK"
    assert wire.ask("SET", "k", "3", "IFEQ", "1") is None
    assert wire.ask("SET", "k", "3", "IFEQ", "2") == b"OK"
    assert wire.ask("GET", "k") == b"3"
    assert wire.ask("SETNX", "k", "4") == 0
    kinds = [type(op) for op in doors.store.seen if isinstance(op, Create | Update | CompareAndSet)]
    assert kinds == [Update, Create, Create, Update, CompareAndSet, CompareAndSet, Create]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["EX", "10"], "expiry"),
        (["NX", "PX", "10"], "expiry"),
        (["GET"], "GET"),
        (["NX", "XX"], "syntax"),
        (["IFEQ"], "syntax"),
        (["WHAT"], "syntax"),
    ],
)
def test_set_refuses_what_is_not_served_and_writes_nothing(
    doors: OpenDoors, wire: Wire, options: list[str], word: str
) -> None:
    reply = str(wire.ask("SET", "k", "v", *options))
    assert reply.startswith("ERR ")
    assert word in reply
    assert doors.store.records == {}


def test_many_keys_are_one_operation_each(doors: OpenDoors, wire: Wire) -> None:
    assert wire.ask("MSET", "a", "1", "b", "2", "a", "3") == b"OK"
    assert wire.ask("MGET", "a", "x", "b") == [b"3", None, b"2"]
    assert wire.ask("EXISTS", "a", "a", "x") == 2
    assert wire.ask("DBSIZE") == 2
    requests = [op.request for op in doors.store.seen]
    assert len(set(requests)) == len(requests)
    assert str(wire.ask("MSET", "a", "1", "b")).startswith("ERR wrong number of arguments")


def test_scan_gives_every_key_over_several_calls(wire: Wire) -> None:
    keys = {f"key:{number}".encode() for number in range(250)}
    wire.ask("MSET", *itertools.chain.from_iterable((key, b"v") for key in keys), "other", "v")
    found: list[bytes] = []
    cursor, calls = b"0", 0
    while True:
        cursor, part = wire.ask("SCAN", cursor, "MATCH", "key:*", "COUNT", "40")  # type: ignore[misc, assignment]
        found += part
        calls += 1
        if cursor == b"0":
            break
    assert calls == 7
    assert len(found) == 250
    assert set(found) == keys
    assert sorted(wire.ask("KEYS", "key:?")) == sorted(f"key:{n}".encode() for n in range(10))  # type: ignore[call-overload]
    assert wire.ask("SCAN", "0", "TYPE", "list") == [b"0", []]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["SCAN", "x"], "invalid cursor"),
        (["SCAN", "+1"], "invalid cursor"),
        (["SCAN", "18446744073709551616"], "invalid cursor"),
        (["SCAN", "0", "COUNT", "0"], "syntax"),
        (["SCAN", "0", "COUNT", "-1"], "not an integer"),
        (["SCAN", "0", "COUNT", "9" * 30], "not an integer"),
        (["SCAN", "0", "COUNT"], "syntax"),
        (["SCAN", "0", "MATCH", "x" * 2_000], "limit"),
        (["KEYS", "x" * 2_000], "limit"),
        (["GET"], "wrong number of arguments for 'get' command"),
        (["SELECT", "1"], "out of range"),
        (["NOPE", "a", "b"], "unknown command 'NOPE', with args beginning with: 'a' 'b'"),
        (["INCR", "n"], "INCR is not served"),
        (["MULTI"], "transaction=False"),
        (["CLUSTER", "SLOTS"], "cluster support disabled"),
        (["HELLO", "4"], "NOPROTO"),
        (["HELLO", "3", "WHAT"], "Syntax error"),
        (["AUTH", "secret"], "no password"),
        (["CLIENT", "MAINT_NOTIFICATIONS", "ON"], "unknown subcommand"),
        (["CLIENT", "SETNAME", "a b"], "Client names"),
        (["CONFIG", "SET", "save", ""], "not served"),
        (["COMMAND", "WHAT"], "unknown subcommand"),
    ],
)
def test_wrong_requests_get_an_error_and_the_connection_goes_on(wire: Wire, words: list[str], reason: str) -> None:
    assert reason in str(wire.ask(*words))
    assert wire.ask("PING") == b"PONG"


@pytest.mark.parametrize(
    ("failure", "prefix"),
    [
        (Unavailable("2 of 3 are down"), "CLUSTERDOWN 2 of 3 are down"),
        (
            OutcomeUnknown("no answer in time"),
            "UNKNOWN no answer in time; if it was a write, it may or may not have happened: read the key",
        ),
        (NotServed("not atomic here"), "ERR not atomic here"),
        (TooLarge("too much"), "ERR too much"),
    ],
)
def test_errors_say_whether_it_happened(doors: OpenDoors, wire: Wire, failure: OperationError, prefix: str) -> None:
    with doors.store.failing(failure):
        for words in (["GET", "k"], ["SET", "k", "v"], ["DEL", "k"], ["MGET", "k"], ["EXISTS", "k"], ["DBSIZE"]):
            assert str(wire.ask(*words)).startswith(prefix)
    assert wire.ask("GET", "k") is None


def test_a_command_that_is_partly_done_is_unknown(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.failing(Unavailable("away"), key=b"b"):
        assert str(wire.ask("MSET", "a", "1", "b", "2")).startswith("UNKNOWN MSET is not atomic")
        assert str(wire.ask("DEL", "a", "b")).startswith("UNKNOWN DEL is not atomic")


def test_a_refused_delete_names_the_blind_one(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.failing(NotServed("a quorum cannot judge")):
        assert "KVSIM.REMOVE" in str(wire.ask("DEL", "k"))


def test_a_defect_behind_the_door_is_an_unknown_outcome(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.failing(RuntimeError("a bug")):
        assert str(wire.ask("SET", "k", "v")).startswith("UNKNOWN kvsim failed")
    assert wire.ask("PING") == b"PONG"


def test_too_large_is_said_with_the_limit(wire: Wire) -> None:
    assert "the limit is 1048576" in str(wire.ask("SET", "k", b"x" * 1_048_577))
    assert "the limit is 1024" in str(wire.ask("GET", "k" * 1_025))
    assert wire.ask("SET", "k", b"x" * 1_048_576) == b"OK"


def test_replies_in_both_protocols(wire: Wire) -> None:
    assert wire.raw("GET", "absent") == b"$-1\r\n"
    assert wire.raw("CONFIG", "GET", "save") == b"*0\r\n"
    assert wire.raw("INFO").startswith(b"$")
    assert wire.raw("HELLO", "3").startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nkvsim\r\n")
    assert wire.raw("GET", "absent") == b"_\r\n"
    assert wire.raw("SET", "absent", "v", "XX") == b"_\r\n"
    assert wire.raw("CONFIG", "GET", "save") == b"%0\r\n"
    assert wire.raw("COMMAND", "DOCS") == b"%0\r\n"
    assert wire.raw("INFO").startswith(b"=")
    assert wire.raw("RESET") == b"+RESET\r\n"
    assert wire.raw("GET", "absent") == b"$-1\r\n"


def test_the_connection_is_known_by_its_name(wire: Wire) -> None:
    assert wire.ask("CLIENT", "GETNAME") is None
    assert wire.ask("CLIENT", "SETNAME", "ada") == b"OK"
    assert wire.ask("CLIENT", "SETINFO", "lib-name", "redis-py") == b"OK"
    assert wire.ask("CLIENT", "GETNAME") == b"ada"
    number = wire.ask("CLIENT", "ID")
    [line] = [line for line in wire.ask("CLIENT", "LIST").splitlines() if b"name=ada" in line]  # type: ignore[attr-defined]
    assert line.startswith(b"id=%d addr=127.0.0.1:" % number)
    assert b"lib-name=redis-py" in line
    assert b"cmd=client" in wire.ask("CLIENT", "INFO")  # type: ignore[operator]


def test_command_describes_what_is_served(wire: Wire) -> None:
    [described, unknown] = wire.ask("COMMAND", "INFO", "get", "nope")  # type: ignore[misc]
    assert described == [b"get", 2, [b"readonly"], 1, 1, 1]
    assert unknown is None
    assert wire.ask("COMMAND", "COUNT") == len(wire.ask("COMMAND"))  # type: ignore[arg-type]
    assert wire.ask("COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]


def test_a_clients_own_text_cannot_forge_a_reply(wire: Wire) -> None:
    forged = "X\r\n$5\r\nforged"
    assert wire.raw(forged, forged).count(b"\r\n") == 1
    assert wire.raw("CLIENT", forged).count(b"\r\n") == 1
    assert wire.raw("ECHO", forged) == b"$%d\r\n%b\r\n" % (len(forged), forged.encode())


def test_a_read_waits_for_the_write_before_it(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.holding(doors.loop, Put):
        for words in (["SET", "a", "1"], ["GET", "a"], ["SET", "b", "1"], ["PING"], ["DBSIZE"], ["GET", "b"]):
            wire.send(*words)
        doors.on_loop(until(lambda: doors.store.under_way > 0))
    assert [wire.reply() for _ in range(6)] == [b"OK", b"1", b"OK", b"PONG", 2, b"1"]


def test_a_write_waits_for_the_reads_before_it(doors: OpenDoors, wire: Wire) -> None:
    wire.ask("SET", "a", "old")
    with doors.store.holding(doors.loop, Read):
        for words in (["GET", "a"], ["MGET", "b", "a"], ["SET", "a", "new"]):
            wire.send(*words)
        doors.on_loop(until(lambda: doors.store.under_way == 3))
    assert [wire.reply() for _ in range(3)] == [b"old", [None, b"old"], b"OK"]


def test_a_write_waits_for_the_write_before_it(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.holding(doors.loop, Put):
        for words in (["SET", "a", "first"], ["KVSIM.REMOVE", "a"], ["SETNX", "a", "last"]):
            wire.send(*words)
        doors.on_loop(until(lambda: doors.store.under_way > 0))
    assert [wire.reply() for _ in range(3)] == [b"OK", b"OK", 1]
    assert wire.ask("GET", "a") == b"last"


def test_commands_on_different_keys_are_under_way_together(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.holding(doors.loop):
        for number in range(10):
            wire.send("SET", f"k{number}", "v")
        doors.on_loop(until(lambda: doors.store.under_way == 10))
    assert [wire.reply() for _ in range(10)] == [b"OK"] * 10


def test_who_reads_large_values_has_few_under_way(doors: OpenDoors, wire: Wire) -> None:
    large = b"x" * 600_000
    wire.ask("SET", "large", large)
    assert wire.ask("GET", "large") == large
    connection = list(doors.resp.connections.values())[-1]
    with doors.store.holding(doors.loop, Read):
        for _ in range(20):
            wire.send("GET", "large")
        doors.on_loop(until(lambda: not connection.transport.is_reading()))
        assert doors.store.under_way == 2
    assert all(wire.reply() == large for _ in range(20))


def test_what_looks_at_everything_waits_for_all_before_it_and_all_after_it_wait(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.holding(doors.loop, Put):
        wire.send("SET", "a", "1")
        wire.send("DBSIZE")
        doors.on_loop(until(lambda: doors.store.under_way > 0))
    assert [wire.reply(), wire.reply()] == [b"OK", 1]
    with doors.store.holding(doors.loop, Scan):
        wire.send("DBSIZE")
        wire.send("SET", "b", "1")
        doors.on_loop(until(lambda: doors.store.under_way > 0))
    assert [wire.reply(), wire.reply()] == [1, b"OK"]


def test_a_new_protocol_begins_after_the_replies_of_the_old_one(doors: OpenDoors, wire: Wire) -> None:
    with doors.store.holding(doors.loop, Read):
        for words in (["GET", "absent"], ["HELLO", "3"], ["GET", "absent"], ["QUIT"]):
            wire.send(*words)
        doors.on_loop(until(lambda: doors.store.under_way > 0))
    data = b""
    while piece := wire.socket.recv(65_536):
        data += piece
    assert data.startswith(b"$-1\r\n%7\r\n")
    assert data.endswith(b"_\r\n+OK\r\n")
