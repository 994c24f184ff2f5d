"""The history of a run: what its clients asked, and what they were told, in real-time order.

Judges and metrics see nothing else, so a simulation and a real cluster are judged alike. The file format is
described in docs/reference/history.md.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal, TypeAlias, cast

import msgspec

EventType: TypeAlias = Literal["invoke", "ok", "fail", "info"]
Outcome: TypeAlias = Literal["ok", "fail", "info"]
FileOperationName: TypeAlias = Literal["create", "read", "update", "delete", "remove", "put", "cas", "scan", "txn"]
OperationName: TypeAlias = FileOperationName | Literal["append"]
"""`append`, which adds to the end of a text, occurs in logs of other systems alone."""
Key: TypeAlias = str | bytes
"""Text where the key is UTF-8, else the bytes themselves."""

NEVER: int = 2**62
"""The index of a completion that never came: later than every event."""

WRITES: frozenset[str] = frozenset({"create", "update", "put", "cas"})
"""Operations that leave a value behind."""
ERASURES: frozenset[str] = frozenset({"delete", "remove"})
"""Operations that leave the key absent: `delete` found it present, `remove` did not look."""

_ANSWERED = frozenset({"read", "scan", "txn"})
_COMPOUND = frozenset({"scan", "txn"})
_LONGEST_LINE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_LARGEST_BYTES = 1 << 30
_MOST_EVENTS = 6_000_000
"""More would take over 2 GiB of memory."""
_NANOSECONDS = 1_000_000_000
_LATEST_S = 2**62 / _NANOSECONDS


class HistoryError(ValueError):
    """A history that cannot be read; `line` counts from 1 and is the first line at fault (0: the file itself)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


class Event(msgspec.Struct, frozen=True, gc=False):
    """One line of a history: an operation begins, happened (`ok`), certainly did not (`fail`), or nobody knows."""

    index: int
    type: EventType
    process: int
    time_ns: int
    op: OperationName
    key: Key | None
    value: Any = None
    expected: Any = None


class Operation(msgspec.Struct, frozen=True, gc=False):
    """An invocation with its completion.

    `invoked` and `completed` are positions in the history, and order operations in real time: `a` came before `b` if
    `a.completed < b.invoked`. An operation of unknown outcome never completes (`completed == NEVER`).
    """

    process: int
    op: OperationName
    key: Key | None
    value: Any
    """What is written; for `scan` and `txn` what was asked."""
    expected: Any
    invoked: int
    completed: int
    invoked_ns: int
    completed_ns: int | None
    """When the client learned of the outcome, or that it would not learn it; None if the history ends before."""
    outcome: Outcome
    answer: Any = None
    """What a `read`, `scan` or `txn` returned; None also stands for an absent key."""


class History:
    """What the clients of one run saw."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events = list(events)

    def __len__(self) -> int:
        return len(self.events)

    def dumps(self) -> bytes:
        """The history as JSON lines; equal histories give equal bytes."""
        return b"".join(_lines(self.events))

    def to_jsonl(self, path: str | Path) -> None:
        """Write the history as JSON lines."""
        with open(path, "wb") as file:
            file.writelines(_lines(self.events))


class Recorder:
    """Writes down what the clients of a run see, as they see it: the caller gives events in real-time order."""

    def __init__(self) -> None:
        self.history = History()
        self._events = self.history.events
        self._open: dict[int, Event | None] = {}  # None: the process ended with an unknown outcome

    def invoke(
        self, process: int, time_ns: int, op: OperationName, key: Key | None, value: Any = None, expected: Any = None
    ) -> int:
        """An operation begins; returns its index. `value` and `expected` are text, numbers or bytes."""
        if process in self._open:
            raise ValueError(f"process {process} has an operation open, or one of unknown outcome behind it")
        index = len(self._events)
        event = Event(index, "invoke", process, time_ns, op, as_text(key), as_text(value), as_text(expected))
        self._open[process] = event
        self._events.append(event)
        return index

    def complete(self, process: int, time_ns: int, type: Outcome, value: Any = None) -> None:
        """The open operation of `process` ends; `value` is the answer of a read, scan or txn (None: absent)."""
        begun = self._open.pop(process, None)
        if begun is None:
            raise ValueError(f"process {process} has no operation open")
        value = as_text(value) if begun.op in _ANSWERED else begun.value
        if type == "info":
            self._open[process] = None
        self._events.append(
            Event(len(self._events), type, process, time_ns, begun.op, begun.key, value, begun.expected)
        )


def as_text(value: Any) -> Any:
    """Bytes as the text that they spell in UTF-8, and as they are when they spell none; anything else unchanged."""
    if type(value) is not bytes:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def operations(history: History) -> list[Operation]:
    """Pair every invocation with its completion, in the order of the invocations."""
    ends: dict[int, Event] = {}
    found: list[Operation] = []
    # Backwards, so that a process's next completion is known when its invocation comes.
    for event in reversed(history.events):
        if event.type != "invoke":
            ends[event.process] = event
            continue
        end = ends.pop(event.process, None)
        known = end is not None and end.type != "info"
        found.append(
            Operation(
                event.process,
                event.op,
                event.key,
                event.value,
                event.expected,
                event.index,
                end.index if end is not None and known else NEVER,
                event.time_ns,
                end.time_ns if end is not None else None,
                end.type if end is not None else "info",  # type: ignore[arg-type]
                end.value if end is not None and end.type == "ok" and event.op in _ANSWERED else None,
            )
        )
    found.reverse()
    return found


# ---- the file: one JSON object a line


class _Base64(msgspec.Struct, frozen=True):
    b64: bytes


class _Line(msgspec.Struct, gc=False):
    index: int
    type: EventType
    process: int
    time: float
    op: FileOperationName
    key: str | _Base64 | None = None
    value: Any = msgspec.UNSET
    expected: Any = None


class _Written(msgspec.Struct, gc=False):
    index: int
    type: str
    process: int
    time: msgspec.Raw
    op: str
    key: Any = msgspec.UNSET
    value: Any = None
    expected: Any = msgspec.UNSET


def _lines(events: Iterable[Event]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for e in events:
        yield (
            encode(
                _Written(
                    e.index,
                    e.type,
                    e.process,
                    msgspec.Raw(seconds(e.time_ns)),
                    e.op,
                    msgspec.UNSET if e.key is None else json_value(e.key),
                    json_value(e.value),
                    json_value(e.expected) if e.op == "cas" else msgspec.UNSET,
                )
            )
            + b"\n"
        )


def seconds(time_ns: int) -> str:
    """Nanoseconds as decimal seconds without rounding: 1_204_000_000 is 1.204."""
    whole, part = divmod(time_ns, _NANOSECONDS)
    return f"{whole}.{part:09d}".rstrip("0") if part else f"{whole}.0"


def json_value(value: Any) -> Any:
    """A value as it stands in a history file: bytes that are not UTF-8 become `{"b64": …}`."""
    return _Base64(value) if type(value) is bytes else value


def read_history(path: str | Path) -> History:
    """Read JSON lines, plain or compressed by gzip.

    Raises HistoryError, with the line, for whatever breaks the format's rules: an unreadable line, an index out of
    turn, a completion without its invocation, a process with two open operations, time that runs backwards. Memory is
    bounded: longer than 64 MiB a line, 1 GiB or 6,000,000 events is an error too.
    """
    with open_plain(path) as stream:
        return History(_read_events(_chunks(stream)))


def loads_history(data: bytes) -> History:
    """Read JSON lines from memory; errors as with `read_history`."""
    return History(_read_events([data] if data else []))


@contextmanager
def open_plain(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, and unpack it on the way if it is compressed by gzip."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise HistoryError(0, f"the compressed file is damaged: {error}") from None


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines, many at a time."""
    rest = b""
    number = total = 0
    while block := stream.read(_CHUNK_BYTES):
        end = block.rfind(b"\n") + 1
        if not end:
            rest += block
            if len(rest) > _LONGEST_LINE_BYTES:
                raise HistoryError(number + 1, f"longer than {_LONGEST_LINE_BYTES >> 20} MiB")
            continue
        chunk = rest + block[:end]
        number += chunk.count(b"\n")
        total += len(chunk)
        if total > _LARGEST_BYTES:
            raise HistoryError(number, f"larger than {_LARGEST_BYTES >> 20} MiB; judge a part of it")
        yield chunk
        rest = block[end:]
    if rest:
        yield rest


def _read_events(chunks: Iterable[bytes]) -> list[Event]:
    decoder = msgspec.json.Decoder(_Line)
    events: list[Event] = []
    rules = Rules()
    for chunk in chunks:
        if len(events) > _MOST_EVENTS:
            raise HistoryError(_MOST_EVENTS + 1, f"more than {_MOST_EVENTS:,} events; judge a part of them")
        lines = chunk.count(b"\n") + (not chunk.endswith(b"\n"))
        try:
            found = decoder.decode_lines(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = []
        if len(found) == lines:
            _add_events(events, found, rules)
        else:  # one of them is at fault, or empty: find out which
            for text in chunk.split(b"\n")[:lines]:
                _add_events(events, [_decoded(decoder, len(events) + 1, text)], rules)
    return events


def _decoded(decoder: "msgspec.json.Decoder[_Line]", number: int, text: bytes) -> _Line:
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise HistoryError(number, f"not an event: {error}") from None
    except UnicodeDecodeError:
        raise HistoryError(number, "not UTF-8") from None


def _add_events(events: list[Event], lines: list[_Line], rules: "Rules") -> None:
    """Check and add lines. Plain reads and writes, of which long histories are made, take the short way."""
    open_, last_ns = rules.open, rules.last_ns
    unset, latest_s, add = msgspec.UNSET, _LATEST_S, events.append
    number = len(events)
    for line in lines:
        number += 1
        op, type_, key, value, process = line.op, line.type, line.key, line.value, line.process
        time_s, kind = line.time, type(value)
        time_ns = round(time_s * 1e9) if 0 <= time_s < latest_s else -1
        if line.index == number - 1 and time_ns >= last_ns and type(key) is str and line.expected is None:
            if type_ == "invoke":
                plain = op == "put" and (kind is str or kind is int)
                if (plain or (op == "read" and (value is unset or value is None))) and process not in open_:
                    event = Event(number - 1, type_, process, time_ns, op, key, value if plain else None)
                    open_[process] = (number, event)
                    add(event)
                    last_ns = time_ns
                    continue
            elif type_ == "ok" and (kind is str or kind is int or value is None):
                entry = open_.get(process)
                if entry is not None:
                    begun = entry[1]
                    if begun.op == op and begun.key == key and (op == "read" or (op == "put" and begun.value == value)):
                        del open_[process]
                        add(Event(number - 1, type_, process, time_ns, op, key, value))
                        last_ns = time_ns
                        continue
        rules.last_ns = last_ns
        event = _event(number, line)
        if event.index != number - 1:
            raise HistoryError(number, f"index {event.index} where {number - 1} is next")
        rules.admit(number, event)
        events.append(event)
        last_ns = rules.last_ns
    rules.last_ns = last_ns


class Rules:
    """What makes a sequence of events a history; `line` says where an event stands in its file."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[int, Event] | None] = {}
        """By process, the line and event with which its operation began; None: an unknown outcome ended it."""
        self.last_ns = 0

    def admit(self, line: int, event: Event) -> None:
        """The next event. Raises HistoryError if it cannot follow those before it."""
        if event.time_ns < self.last_ns:
            before, now = seconds(self.last_ns), seconds(event.time_ns)
            raise HistoryError(line, f"time runs backwards, from {before} s to {now} s")
        self.last_ns = event.time_ns
        if event.type != "invoke":
            _check_completion(line, event, self.open.pop(event.process, None))
            if event.type == "info":
                self.open[event.process] = None
            return
        if event.process in self.open:
            begun = self.open[event.process]
            if begun is None:
                raise HistoryError(line, f"process {event.process} goes on after an operation of unknown outcome")
            raise HistoryError(line, f"process {event.process} has its {begun[1].op} from line {begun[0]} still open")
        self.open[event.process] = line, event

    def begun(self, process: int) -> Event | None:
        """The invocation that a process has open."""
        entry = self.open.get(process)
        return entry[1] if entry else None


def _check_completion(line: int, event: Event, entry: tuple[int, Event] | None) -> None:
    if entry is None:
        raise HistoryError(line, f"process {event.process} completes a {event.op}, but has no operation open")
    where, begun = entry
    if event.op != begun.op or event.key != begun.key:
        ended, opened = f"{event.op} of {event.key!r}", f"{begun.op} of {begun.key!r}"
        raise HistoryError(line, f"process {event.process} completes a {ended}, but had begun a {opened}")
    if event.op not in _ANSWERED and (event.value != begun.value or event.expected != begun.expected):
        raise HistoryError(line, f"the completion does not repeat what was invoked on line {where}")


def _event(number: int, line: _Line) -> Event:
    if not 0 <= line.time < _LATEST_S:
        raise HistoryError(number, f"time {line.time} s is negative or too large")
    key: Key | None = line.key.b64 if isinstance(line.key, _Base64) else line.key
    if (key is None) != (line.op == "txn"):
        raise HistoryError(number, "txn has no key" if line.op == "txn" else f"{line.op} without a key")
    value, expected = line.value, line.expected
    if line.op not in _COMPOUND:
        value, expected = _plain(number, value), _plain(number, expected)
        if line.op in WRITES:
            if value is None or value is msgspec.UNSET:
                raise HistoryError(number, f"{line.op} without a value")
        elif line.op == "read" and line.type == "ok":
            if value is msgspec.UNSET:
                raise HistoryError(number, "an answered read without a value (null means absent)")
        elif value is not None and value is not msgspec.UNSET and line.type in ("invoke", "ok"):
            raise HistoryError(number, f"{line.op} with a value where none belongs")
    if value is msgspec.UNSET:
        value = None
    if line.op in _COMPOUND:
        _check_compound(number, line, value)
    return Event(line.index, line.type, line.process, round(line.time * 1e9), line.op, key, value, expected)


class _ScanAsked(msgspec.Struct):
    end: str | _Base64 | None
    limit: Annotated[int, msgspec.Meta(gt=0)]


_Scalar = str | int | float | bool | None
_MicroOperation = tuple[Literal["r", "append", "w"], _Scalar, _Scalar | list[_Scalar]]
_TRANSACTION = 'a transaction is [["r", key, answer], ["append", key, x], ["w", key, x], …]'
_SHAPES: dict[tuple[str, bool], tuple[Any, str]] = {
    ("scan", False): (_ScanAsked, 'a scan asks {"end": KEY or null, "limit": N}'),
    ("scan", True): (list[tuple[str | _Base64, Any]], "a scan is answered with [[key, value], …]"),
    ("txn", False): (list[_MicroOperation], _TRANSACTION),
    ("txn", True): (list[_MicroOperation], _TRANSACTION),
}


def _check_compound(number: int, line: _Line, value: Any) -> None:
    """Scans and transactions have parts; those of a completion that tells nothing are not looked at."""
    if line.type in ("fail", "info"):
        return
    shape, says = _SHAPES[line.op, line.type == "ok"]
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise HistoryError(number, f"{says}: {error}") from None


def _plain(number: int, value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or value is msgspec.UNSET:
        return value
    if kind is dict and value.keys() == {"b64"}:
        try:
            return msgspec.convert(value, _Base64).b64
        except msgspec.ValidationError:
            raise HistoryError(number, "b64 holds no base64") from None
    raise HistoryError(number, 'a value is a string, a number or {"b64": …}')
