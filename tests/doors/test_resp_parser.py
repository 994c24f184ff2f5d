"""The parser of requests: any split of the bytes gives the same commands, and both of its paths agree."""

import itertools
import tracemalloc

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.real.doors.inline_words import split_words
from kvsim.real.doors.resp_parser import ForeignProtocol, ParserLimits, ProtocolError, RequestParser, StrictParser

ROOMY = ParserLimits()
TIGHT = ParserLimits(elements=3, command_bytes=30, inline_bytes=20)
NO_LINES = ParserLimits(inline=False)


def read(parser: StrictParser | RequestParser, pieces: list[bytes]) -> list[object]:
    """All commands in these pieces; the error at the end, where there is one."""
    commands: list[object] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (command := parser.next()) is not None:
                commands.append(command)
        except ProtocolError as wrong:
            return [*commands, str(wrong)]
        except ForeignProtocol:
            return [*commands, "foreign"]
    return commands


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def packed(commands: list[list[bytes]]) -> bytes:
    return b"".join(hiredis.pack_command(tuple(command)) for command in commands)


cuts = st.lists(st.integers(0, 10_000), max_size=8)
commands = st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4), max_size=6)
fragments = st.sampled_from(
    [
        *(
            b"*1\r\n",
            b"*2\r\n",
            b"*4\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*01\r\n",
            b"*10000000\r\n",
            b"*",
            b"%1\r\n",
            b"~1\r\n",
        ),
        *(b"$3\r\n", b"$1\r\n", b"$-1\r\n", b"$+3\r\n", b"$", b"$25\r\n" + b"x" * 25 + b"\r\n", b"$4\r\nPING\r\n"),
        *(
            b"GET\r\n",
            b"k\r\n",
            b"+OK\r\n",
            b":5\r\n",
            b"=8\r\ntxt:PING\r\n",
            b"#f\r\n",
            b"_\r\n",
            b"-ERR\r\n",
            b",1.5\r\n",
        ),
        *(
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b'"a b"',
            b"\n",
            b"\r",
            b"POST / HTTP/1.1\r\n",
            b"*1\r\n*1\r\n$1\r\na\r\n",
        ),
    ]
)


@given(commands, cuts)
def test_any_split_of_the_bytes_gives_the_same_commands(sent: list[list[bytes]], at: list[int]) -> None:
    pieces = cut(packed(sent), at)
    assert read(StrictParser(ROOMY), pieces) == sent
    assert read(RequestParser(ROOMY), pieces) == sent


def test_a_flood_of_small_commands_is_not_all_taken_apart_at_once() -> None:
    parser = RequestParser(ROOMY)
    flood = packed([[b"PING"]]) * 20_000
    tracemalloc.start()
    try:
        parser.feed(flood)
        assert parser.next() == [b"PING"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 * len(flood)
    assert read(parser, [b""]) == [[b"PING"]] * 19_999


@given(st.lists(fragments | st.binary(max_size=3), max_size=10).map(b"".join), cuts)
def test_both_paths_agree_on_any_bytes_in_any_pieces(data: bytes, at: list[int]) -> None:
    for limits in (ROOMY, TIGHT, NO_LINES):
        expected = read(StrictParser(limits), [data])
        assert read(StrictParser(limits), cut(data, at)) == expected
        assert read(RequestParser(limits), [data]) == expected
        assert read(RequestParser(limits), cut(data, at)) == expected


def test_ordinary_commands_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(self: StrictParser) -> None:
        assert not self.in_command

    monkeypatch.setattr(StrictParser, "next", unwanted)
    sent = [[b"GET", b"k"]] * 300
    assert read(RequestParser(ROOMY), [packed(sent)]) == sent


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*1 \r\n", "invalid multibulk length"),
        (b"*" + b"9" * 20 + b"\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$4_0\r\n", "invalid bulk length"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n=8\r\ntxt:PING\r\n", "expected '$', got '='"),
        (b"*1\r\n$4\r\nPINGS\r\n", "a bulk string is longer than its length says"),
        (b"x" * 65_537, "too big inline request"),
        (b'SET k "v\r\n', "unbalanced quotes in request"),
    ],
)
def test_what_is_no_request_is_named(data: bytes, reason: str) -> None:
    for parser in (StrictParser(ROOMY), RequestParser(ROOMY)):
        assert read(parser, [data]) == [f"Protocol error: {reason}"]


def test_no_elements_and_empty_lines_are_passed_over() -> None:
    assert read(RequestParser(ROOMY), [b"*0\r\n*-1\r\n\r\n\n*1\r\n$4\r\nPING\r\n"]) == [[b"PING"]]


@pytest.mark.parametrize("kind", [b"*", b"%", b"~", b">"])
def test_a_huge_count_allocates_nothing(kind: bytes) -> None:
    tracemalloc.start()
    try:
        refused = read(RequestParser(ROOMY), [b"*1\r\n" + kind + b"20000000\r\n"])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused == [f"Protocol error: expected '$', got {kind.decode()!r}"]
    assert peak_bytes < 1_000_000


def test_a_count_in_pieces_is_no_way_round() -> None:
    parser = RequestParser(ROOMY)
    for piece in (b"*100", b"0000\r\n$1\r\n"):
        parser.feed(piece)
        assert parser.next() is None


@pytest.mark.parametrize("line", [b"POST /v1/kv HTTP/1.1", b"GET / HTTP/1.1", b"host: 127.0.0.1", b"\x16\x03\x01\x02"])
def test_a_browser_is_not_answered(line: bytes) -> None:
    assert read(RequestParser(ROOMY), [line + b"\r\n"]) == ["foreign"]


def test_lines_of_words_only_where_they_are_allowed() -> None:
    [refused] = read(RequestParser(NO_LINES), [b"PING\r\n"])
    assert "loopback" in str(refused)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"GET k", [b"GET", b"k"]),
        (b"  GET   k  ", [b"GET", b"k"]),
        (b'SET k "a b"', [b"SET", b"k", b"a b"]),
        (rb'SET k "\x41\n\"\\"', [b"SET", b"k", b'A\n"\\']),
        (rb"SET k 'it\'s'", [b"SET", b"k", b"it's"]),
        (b'SET k ""', [b"SET", b"k", b""]),
        (b"", []),
    ],
)
def test_words_of_a_line(line: bytes, words: list[bytes]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", [b'"a', b"'a", b'"a"b', b"a'b", b'a"'])
def test_unbalanced_quotes_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="quotes"):
        split_words(line)
