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
