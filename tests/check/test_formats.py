"""Histories of others: known by their content, read to the same operations, refused with the line."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.check import NotRefuted, Refuted, linearizable, read
from kvsim.check.formats.edn import Keyword, forms
from kvsim.check.formats.jepsen import jepsen
from kvsim.core.history import NEVER, HistoryError, operations
from tests.check.worlds import story

EDN = """\
; the register of a Jepsen test
[{:process 0, :type :invoke, :f :write, :value 1, :time 5}
 {:process 0, :type :ok, :f :write, :value 1, :time 7}
 {:process :nemesis, :type :info, :f :start, :value {0 #{1 2}}}
 {:process 1, :type :invoke, :f :cas, :value [1 2], :error "a [b \\" {c"}
 #_ {:process 2}
 {:process 2, :type :invoke, :f :read, :value nil}
 {:process 1, :type :info, :f :cas, :value :timed-out}
 {:process 2, :type :ok, :f :read, :value 2}]
"""
ETCD = """\
INFO  jepsen.core - Worker 0 starting
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:info\t:cas\t:timed-out
INFO  jepsen.util - 2\t:ok\t:read\t2
"""
KVSIM = """
    0 put 1    1 2
    1 cas 1 2  3 5 info
    2 read 2   4 6
"""


@pytest.mark.parametrize("text", [EDN, EDN.replace("[{", "{").replace("}]", "}"), ETCD], ids=["vector", "bare", "etcd"])
@pytest.mark.parametrize("packed", [False, True])
def test_one_register_reads_alike_from_every_format(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / "history"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    write, cas, seen = operations(read(path))
    assert (write.op, write.value, write.outcome) == ("put", 1, "ok")
    assert (cas.op, cas.expected, cas.value, cas.outcome, cas.completed) == ("cas", 1, 2, "info", NEVER)
    assert (seen.op, seen.answer, seen.outcome) == ("read", 2, "ok")
    assert linearizable(read(path)) == NotRefuted()


def test_json_lines_are_known_by_their_content(tmp_path: Path) -> None:
    story(KVSIM).to_jsonl(tmp_path / "anything")
    assert read(tmp_path / "anything").events == story(KVSIM).events


def test_times_of_jepsen_are_kept_and_never_run_backwards() -> None:
    times = [e.time_ns for e in jepsen(EDN).events]
    assert times[:2] == [5, 7]
    assert times == sorted(times)


def test_a_read_of_nil_found_the_register_absent() -> None:
    text = "{:process 0 :type :invoke :f :write :value 1}{:process 0 :type :ok :f :write :value 1}"
    text += "{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read :value nil}"
    assert isinstance(linearizable(jepsen(text)), Refuted)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('[\n#inst "2020"]', 2, "unknown tag '#inst'"),
        ("[{:process 0\n", 1, "never closed"),
        ("{:process 0]", 1, "closes"),
        ("{:process}", 1, "no value"),
        ("\n\n{:process 0 :type :ok :f :read :value 1}", 3, "no operation open"),
        ("{:type :invoke :f :read}", 1, "without :process"),
        ("{:process 0 :type :invoke :f :append :value 1}", 1, "unknown operation 'append'"),
        ("{:process 0 :type :begin :f :read}", 1, "unknown type 'begin'"),
        ("{:process 0 :type :invoke :f :cas :value 1}", 1, "[expected new]"),
        ("{:process 0 :type :invoke :f :write :value nil}", 1, "without a value"),
        ("{:process 0 :type :invoke :f :write :value [1]}", 1, "a number or a string"),
        ('{:process 0 :process "', 1, "not EDN"),
        ("[" * 200, 1, "nested more than"),
        ("{:process " + "9" * 2000, 1, "more than a thousand"),
        ("[1 2]", 1, "an event is a map"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(HistoryError) as refused:
        jepsen(text)
    assert refused.value.line == line
    assert reason in refused.value.reason


def test_edn_values() -> None:
    text = '{:a [1 -2 3N 4.5], "b\\n" #{nil true}, c (x/y)}'
    assert [form.value for form in forms(text)] == [
        {Keyword("a"): [1, -2, 3, 4.5], "b\n": [None, True], Keyword("c"): [Keyword("x/y")]}
    ]


@given(st.text(alphabet='[](){}#_:"\\;a1 \n.-', max_size=60))
def test_no_text_brings_forth_anything_but_forms_or_an_error_with_a_line(text: str) -> None:
    assert fault(text) is None or fault(text) in range(1, 62)


def fault(text: str) -> int | None:
    try:
        list(forms(text))
    except HistoryError as error:
        return error.line
    return None


KV = """\
{:process 0, :type :invoke, :f :put, :key "a", :value "x"}
{:process 0, :type :ok, :f :put, :key "a", :value "x"}
{:process 1, :type :invoke, :f :append, :key "a", :value "y"}
{:process 2, :type :invoke, :f :append, :key "a", :value "z"}
{:process 1, :type :ok, :f :append, :key "a", :value "y"}
{:process 3, :type :invoke, :f :get, :key "a", :value nil}
{:process 3, :type :ok, :f :get, :key "a", :value "SEEN"}
{:process 2, :type :info, :f :append, :key "a", :value "z"}
"""


@pytest.mark.parametrize(
    ("seen", "holds"),
    [("xy", True), ("xzy", True), ("xyz", True), ("xz", False), ("yx", False), ("x", False), ("", False)],
)
def test_texts_that_grow_are_judged_by_what_appends_leave(tmp_path: Path, seen: str, holds: bool) -> None:
    path = tmp_path / "kv.txt"
    path.write_text(KV.replace("SEEN", seen))
    found = read(path)
    assert [o.op for o in operations(found)] == ["put", "append", "append", "read"]
    assert isinstance(linearizable(found), NotRefuted) == holds


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (':process 0, :type :invoke, :f :increment, :key "a"', "unknown operation"),
        (":process 0, :type :invoke, :f :get, :value nil", "without :key"),
        (':process 0, :type :done, :f :get, :key "a"', "unknown type"),
        (':process 9, :type :ok, :f :get, :key "a", :value ""', "has no operation open"),
    ],
)
def test_what_is_no_event_of_a_growing_text_is_refused_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "kv.txt"
    path.write_text(KV + "{" + line + "}\n")
    with pytest.raises(HistoryError, match=reason) as refused:
        read(path)
    assert refused.value.line == 9


def test_transactions_of_jepsen_need_neither_f_nor_process() -> None:
    found = operations(
        jepsen("{:type :invoke, :value [[:append 1 2] [:r 1 nil]]}\n{:type :ok, :value [[:append 1 2] [:r 1 [2]]]}")
    )
    assert [(o.op, o.answer) for o in found] == [("txn", [["append", 1, 2], ["r", 1, [2]]])]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{:type :invoke, :value [[:inc 1 2]]}", "a micro-operation is"),
        ("{:type :invoke, :value [[:append 1 [2]]]}", "keys and written values"),
        ("{:type :invoke, :value 7}", "a transaction is a vector"),
        ("{:type :ok, :value []}", "has no operation open"),
        ('{:type :invoke, :value #inst "2020"}', "unknown tag '#inst'"),
    ],
)
def test_what_is_no_transaction_is_refused(text: str, reason: str) -> None:
    with pytest.raises(HistoryError, match=reason) as refused:
        jepsen(text)
    assert refused.value.line == 1


GOOD = story("0 put 1 1 2\n1 read 1 3 4").dumps().splitlines()


@pytest.mark.parametrize(
    ("number", "line", "reason"),
    [
        (4, GOOD[3][:-9], "not an event"),
        (3, b"", "not an event"),
        (3, b"\xff", "not"),
        (2, GOOD[1].replace(b'"time":2.0', b'"time":0.5'), "time runs backwards"),
        (2, GOOD[1].replace(b'"time":2.0', b'"time":1e300'), "negative or too large"),
        (1, GOOD[0].replace(b'"value":1', b'"value":' + b"9" * 5_000), "not an event"),
        (3, GOOD[2].replace(b'"index":2', b'"index":7'), "index 7 where 2 is next"),
        (2, GOOD[1].replace(b'"process":0', b'"process":8'), "has no operation open"),
        (3, GOOD[2].replace(b'"time":3.0', b'"time":NaN'), "not an event"),
        (3, GOOD[2].replace(b'"op":"read"', b'"op":"append","value":"1"'), "not an event"),
    ],
)
def test_a_line_at_fault_is_named_among_good_ones(tmp_path: Path, number: int, line: bytes, reason: str) -> None:
    path = tmp_path / "history.jsonl"
    lines = list(GOOD)
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(HistoryError, match=reason) as refused:
        read(path)
    assert refused.value.line == number


def test_an_endless_line_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvsim.core.history._LONGEST_LINE_BYTES", 3 << 20)
    path = tmp_path / "history.jsonl"
    path.write_bytes(GOOD[0] + b"\n" + b" " * (6 << 20))
    with pytest.raises(HistoryError, match="longer than 3 MiB") as refused:
        read(path)
    assert refused.value.line == 2


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [("_LARGEST_BYTES", 1 << 21, "larger than 2 MiB"), ("_MOST_EVENTS", 9_000, "more than 9,000 events")],
)
def test_a_history_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, reason: str
) -> None:
    monkeypatch.setattr(f"kvsim.core.history.{limit}", value)
    path = tmp_path / "history.jsonl"
    one = '{"type":"invoke","process":%d,"time":1,"op":"put","key":"x","value":"%s","index":%d}\n'
    path.write_text("".join(one % (i, "v" * 100, i) for i in range(20_000)))
    with pytest.raises(HistoryError, match=reason) as refused:
        read(path)
    assert refused.value.line > 0


@pytest.mark.parametrize(
    ("op", "value", "answer", "line"),
    [
        ("scan", "7", "[]", 1),
        ("scan", '{"end":null,"limit":2}', "[[1]]", 2),
        ("txn", '[["r","x"]]', "[]", 1),
        ("txn", '[["r",[1],null]]', "[]", 1),
        ("txn", '[["r","x",null]]', "7", 2),
        ("txn", '[["r","x",null]]', '[["r","x",{"y":1}]]', 2),
    ],
)
def test_scans_and_transactions_have_their_shape(tmp_path: Path, op: str, value: str, answer: str, line: int) -> None:
    key = '"key":"a",' if op == "scan" else ""
    path = tmp_path / "history.jsonl"
    path.write_text(
        f'{{"type":"invoke","process":0,"time":1,"op":"{op}",{key}"value":{value},"index":0}}\n'
        f'{{"type":"ok","process":0,"time":2,"op":"{op}",{key}"value":{answer},"index":1}}\n'
    )
    with pytest.raises(HistoryError, match=r"a scan|a transaction") as refused:
        read(path)
    assert refused.value.line == line
