"""Exports keep the rules of the programs that read them, and each rule is one that can be broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.lab.chrome_trace import chrome_events
from kvsim.lab.experiment import load
from kvsim.lab.shiviz import shiviz_log
from kvsim.lab.traces import TraceEntry, read_trace
from tests.lab.export_rules import chrome_problems, shiviz_problems

FAULTS = """
[network]
loss = 0.02
duplicate = 0.05
min_rto = "5ms"
[machines]
cpu = "null"
[[faults]]
kind = "crash"
node = "data-1"
at = "20ms"
lasts = "30ms"
[[faults]]
kind = "loss"
at = "30ms"
lasts = "40ms"
share = 0.5
"""


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[TraceEntry]:
    """A run without CPU time, so that much happens at once, under faults that overlap."""
    from tests.lab.conftest import SMALL

    home = tmp_path_factory.mktemp("exported")
    path = home / "hurt.toml"
    path.write_text(SMALL.replace("[design]\n", '[design]\nmembership = "heartbeat"\n') + FAULTS, encoding="utf-8")
    load(path).run(out=home / "out", trace="first")
    return list(read_trace(home / "out" / "runs" / "seed=0" / "trace.jsonl"))


def log_of(entries: Iterable[TraceEntry]) -> str:
    return "".join(shiviz_log(entries))


def document_of(entries: Iterable[TraceEntry]) -> Any:
    return json.loads(json.dumps({"traceEvents": list(chrome_events(entries))}))


def test_a_whole_trace_and_any_part_of_it_keep_the_rules(entries: list[TraceEntry]) -> None:
    for part in (entries, entries[len(entries) // 3 :], entries[500:1_500]):
        assert list(shiviz_problems(log_of(part))) == []
        assert list(chrome_problems(document_of(part))) == []


@given(st.text(min_size=1, max_size=5))
def test_keys_of_any_characters_keep_the_rules(key: str) -> None:
    asked = TraceEntry(1, 0, "client-1", "client.invoked", 0, {"operation": "put", "key": key, "value": [key]})
    assert list(shiviz_problems(log_of([asked]))) == []
    assert list(chrome_problems(document_of([asked]))) == []


@given(st.lists(st.tuples(st.integers(0, 1_500), st.sampled_from("ab"), st.booleans()), max_size=12))
def test_messages_at_any_distance_keep_the_rules(steps: list[tuple[int, str, bool]]) -> None:
    entries: list[TraceEntry] = []
    sent: list[int] = []
    now = 10**12 + 1
    for number, (later_ns, node, sends) in enumerate(steps, 1):
        now += later_ns
        if sends or not sent:
            sent.append(number)
            entries.append(TraceEntry(number, now, node, "world.sent", 0, {"kind": "k"}))
        else:
            entries.append(TraceEntry(number, now, node, "world.delivered", sent.pop(), {"kind": "k"}))
    assert list(chrome_problems(document_of(entries))) == []
    assert list(shiviz_problems(log_of(entries))) == []


Hurt = Callable[[str], str]
SHIVIZ: dict[str, Hurt] = {
    "something is no event": lambda log: log.replace(" ms ", " ms\u2028 ", 1),
    "has counts that are none": lambda log: log.replace(": 1}", ": -1}", 1),
    "is missing from its own clock": lambda log: log.replace("\na {", "\nc {", 1),
    "does not count its events one by one": lambda log: log.replace('"a": 2}', '"a": 3}', 1),
    "forgets what it knew": lambda log: log.replace('b {"a": 1, "b": 3}', 'b {"b": 3}'),
    "which has no event": lambda log: log.replace('{"a": 1}', '{"a": 1, "d": 1}', 1),
    "than there are": lambda log: log.replace('{"a": 1, "b": 1}', '{"a": 9, "b": 1}'),
    "and not of all that came before": lambda log: log.replace('c {"a": 1, "b": 2, "c": 1}', 'c {"b": 2, "c": 1}'),
}
STORY = [
    TraceEntry(1, 0, "a", "world.sent", 0, {"kind": "k", "to": "b"}),
    TraceEntry(2, 10, "a", "world.timer", 0, {}),
    TraceEntry(3, 20, "b", "world.delivered", 1, {"kind": "k", "sender": "a"}),
    TraceEntry(4, 20, "b", "world.sent", 3, {"kind": "k", "to": "c"}),
    TraceEntry(5, 25, "b", "world.timer", 0, {}),
    TraceEntry(6, 30, "c", "world.delivered", 4, {"kind": "k", "sender": "b"}),
]


@pytest.mark.parametrize("said", SHIVIZ)
def test_a_broken_log_for_shiviz_is_found(said: str) -> None:
    log = log_of(STORY)
    hurt = SHIVIZ[said](log)
    assert hurt != log
    assert any(said in problem for problem in shiviz_problems(hurt))


def first(events: list[dict[str, Any]], phase: str) -> dict[str, Any]:
    return next(event for event in events if event["ph"] == phase)


def set_first(phase: str, **fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda events: first(events, phase).update(fields)


CHROME: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "lacks ['dur']": lambda events: first(events, "X").pop("dur"),
    "is of no known phase": set_first("i", ph="Z"),
    "is no time": set_first("X", ts=-1.0),
    "is nowhere": set_first("i", pid="a"),
    "an instant's scope": set_first("i", s="x"),
    "has no name": set_first("s", tid=77),
    "two names for one thread": lambda events: events.append({**events[0], "args": {"name": "c"}, "pid": 9}),
    "belongs to two processes": set_first("s", pid=2),
    "overlaps another slice": lambda events: events.append({**first(events, "X"), "ts": 0.005, "dur": 9.0}),
    "has no slice": set_first("f", ts=50.0),
    "begins twice, or ends before": lambda events: events.append(first(events, "s")),
    "ends at the next slice": set_first("f", bp="n"),
    "lies too deep": lambda events: events.extend([first(events, "X")] * 600),
}


@pytest.mark.parametrize("said", CHROME)
def test_a_broken_document_for_perfetto_is_found(said: str) -> None:
    document = document_of(STORY)
    assert list(chrome_problems(document)) == []
    hurt = copy.deepcopy(document)
    CHROME[said](hurt["traceEvents"])
    assert any(said in problem for problem in chrome_problems(hurt)), list(chrome_problems(hurt))
