"""The history: what a recorder writes is what a reader reads, and what breaks the rules is refused with its line."""

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.history import (
    NEVER,
    History,
    HistoryError,
    Recorder,
    as_text,
    loads_history,
    operations,
    read_history,
    seconds,
)


def recorded() -> History:
    recorder = Recorder()
    assert recorder.invoke(0, 1_000, "put", "x", "a") == 0
    assert recorder.invoke(1, 1_204_000_000, "read", "x") == 1
    recorder.complete(0, 1_204_000_000, "ok")
    recorder.complete(1, 1_300_000_000, "ok", "a")
    recorder.invoke(0, 1_400_000_000, "cas", "x", "b", "a")
    recorder.complete(0, 1_500_000_000, "info")
    recorder.invoke(1, 1_500_000_001, "delete", "x")
    return recorder.history


LINES = """\
{"index":0,"type":"invoke","process":0,"time":0.000001,"op":"put","key":"x","value":"a"}
{"index":1,"type":"invoke","process":1,"time":1.204,"op":"read","key":"x","value":null}
{"index":2,"type":"ok","process":0,"time":1.204,"op":"put","key":"x","value":"a"}
{"index":3,"type":"ok","process":1,"time":1.3,"op":"read","key":"x","value":"a"}
{"index":4,"type":"invoke","process":0,"time":1.4,"op":"cas","key":"x","value":"b","expected":"a"}
{"index":5,"type":"info","process":0,"time":1.5,"op":"cas","key":"x","value":"b","expected":"a"}
{"index":6,"type":"invoke","process":1,"time":1.500000001,"op":"delete","key":"x","value":null}
"""


def test_the_lines_are_as_documented_byte_for_byte() -> None:
    assert recorded().dumps().decode() == LINES


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    recorded().to_jsonl(tmp_path / "history.jsonl")
    (tmp_path / "history.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    assert read_history(tmp_path / "history.jsonl").events == recorded().events
    assert read_history(tmp_path / "history.jsonl.gz").events == recorded().events


def test_completions_find_their_invocations() -> None:
    put, read, cas, delete = operations(recorded())
    assert (put.invoked, put.completed, put.outcome, put.value) == (0, 2, "ok", "a")
    assert (read.invoked, read.completed, read.answer, read.completed_ns) == (1, 3, "a", 1_300_000_000)
    assert (cas.outcome, cas.completed, cas.completed_ns, cas.expected) == ("info", NEVER, 1_500_000_000, "a")
    assert (delete.outcome, delete.completed, delete.completed_ns) == ("info", NEVER, None)


def test_bytes_become_text_where_they_are_utf_8() -> None:
    recorder = Recorder()
    recorder.invoke(0, 0, "put", b"k", "ä".encode())
    recorder.invoke(1, 0, "put", b"\xff", b"\xfe")
    first, second = recorder.history.events
    assert (first.key, first.value) == ("k", "ä")
    assert (second.key, second.value) == (b"\xff", b"\xfe")
    assert json.loads(recorder.history.dumps().splitlines()[1])["value"] == {"b64": "/g=="}
    assert loads_history(recorder.history.dumps()).events == [first, second]
    assert as_text(7) == 7


@given(st.integers(0, 2**51))
def test_times_are_exact_to_the_nanosecond(time_ns: int) -> None:
    recorder = Recorder()
    recorder.invoke(0, time_ns, "read", "x")
    assert loads_history(recorder.history.dumps()).events[0].time_ns == time_ns


def test_seconds_are_short_decimals() -> None:
    assert [seconds(t) for t in (0, 1, 1_204, 1_204_000_000, 3_000_000_000)] == [
        "0.0",
        "0.000000001",
        "0.000001204",
        "1.204",
        "3.0",
    ]


def test_a_process_has_one_operation_open() -> None:
    recorder = Recorder()
    recorder.invoke(0, 0, "read", "x")
    with pytest.raises(ValueError, match="process 0 has an operation open"):
        recorder.invoke(0, 1, "read", "x")


def test_a_process_ends_with_an_unknown_outcome() -> None:
    recorder = Recorder()
    recorder.invoke(0, 0, "put", "x", 1)
    recorder.complete(0, 1, "info")
    with pytest.raises(ValueError, match="unknown outcome"):
        recorder.invoke(0, 2, "read", "x")
    with pytest.raises(ValueError, match="no operation open"):
        recorder.complete(0, 2, "ok")


FIRST: dict[str, Any] = {
    "index": 0, "type": "invoke", "process": 0, "time": 1.0, "op": "put", "key": "x", "value": 1
}  # fmt: skip
SECOND: dict[str, Any] = FIRST | {"index": 1, "type": "ok", "time": 2.0}
OTHER: dict[str, Any] = FIRST | {"index": 1, "process": 1, "time": 2.0}

BROKEN: dict[str, dict[str, Any] | str] = {
    "completes a put, but has no operation open": SECOND | {"process": 5},
    "put from line 1 still open": SECOND | {"type": "invoke"},
    "time runs backwards, from 1.0 s to 0.5 s": SECOND | {"time": 0.5},
    "time -1.0 s is negative": SECOND | {"time": -1},
    "time 1e+300 s is negative or too large": SECOND | {"time": 1e300},
    "index 7 where 1 is next": SECOND | {"index": 7},
    "completes a put of 'y', but had begun a put of 'x'": SECOND | {"key": "y"},
    "completes a update of 'x', but had begun a put of 'x'": SECOND | {"op": "update"},
    "does not repeat what was invoked on line 1": SECOND | {"value": 2},
    "Invalid enum value 'done'": SECOND | {"type": "done"},
    "Invalid enum value 'increment'": OTHER | {"op": "increment"},
    "missing required field `process`": {name: SECOND[name] for name in SECOND if name != "process"},
    "Expected `object`, got `array`": "[1,2]",
    "truncated": json.dumps(SECOND)[:-12],
    "malformed": "what is this",
    "put without a value": OTHER | {"value": None},
    "put without a key": OTHER | {"key": None},
    "txn has no key": OTHER | {"op": "txn"},
    "a value is a string, a number": OTHER | {"value": True},
    "delete with a value": OTHER | {"op": "delete"},
    "b64 holds no base64": OTHER | {"value": {"b64": "?"}},
}


@pytest.mark.parametrize(("reason", "second"), BROKEN.items(), ids=BROKEN)
def test_what_breaks_the_rules_is_refused_with_its_line(reason: str, second: dict[str, Any] | str) -> None:
    with pytest.raises(HistoryError) as refused:
        loads_history(lines(FIRST, second))
    assert refused.value.line == 2
    assert reason in refused.value.reason


def test_a_process_never_goes_on_after_an_unknown_outcome() -> None:
    with pytest.raises(HistoryError, match="line 3: process 0 goes on after an operation of unknown outcome"):
        loads_history(lines(FIRST, SECOND | {"type": "info"}, OTHER | {"index": 2, "process": 0}))


def test_an_answered_read_says_what_it_found() -> None:
    asked = {name: FIRST[name] for name in FIRST if name != "value"} | {"op": "read"}
    with pytest.raises(HistoryError, match=r"line 2: .*null means absent"):
        loads_history(lines(asked, asked | {"index": 1, "type": "ok"}))
    assert operations(loads_history(lines(asked, asked | {"index": 1, "type": "ok", "value": None})))[0].answer is None


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(gzip.compress(LINES.encode())[:-10])
    with pytest.raises(HistoryError, match="the compressed file is damaged"):
        read_history(path)


@given(st.binary(max_size=300))
def test_no_bytes_bring_forth_anything_but_a_history_or_an_error_with_a_line(data: bytes) -> None:
    assert fault(data) is None or fault(data) in range(1, 302)


@given(st.integers(0, 1 << 32))
def test_a_damaged_line_is_refused_or_still_an_event(seed: int) -> None:
    random = Random(seed)
    data = bytearray(LINES.encode())
    data[random.randrange(len(data))] = random.randrange(256)
    assert fault(bytes(data)) in (None, *range(1, len(recorded()) + 2))


def fault(data: bytes) -> int | None:
    try:
        loads_history(data)
    except HistoryError as error:
        return error.line
    return None


def lines(*events: dict[str, Any] | str) -> bytes:
    return "\n".join(event if isinstance(event, str) else json.dumps(event) for event in events).encode()
