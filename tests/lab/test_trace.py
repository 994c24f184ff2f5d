"""Traces: all that happens, with what it follows from; and their exports."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvsim.cli.app import run
from kvsim.core.history import read_history
from kvsim.lab.experiment import load
from kvsim.lab.shiviz import PARSER

Small = Callable[..., Path]
HURT = """
[network]
loss = 0.02
min_rto = "5ms"
[[faults]]
kind = "crash"
node = "data-1"
at = "20ms"
lasts = "30ms"
[[faults]]
kind = "loss"
at = "60ms"
lasts = "20ms"
share = 1.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under faults, traced."""
    from tests.lab.conftest import SMALL

    home = tmp_path_factory.mktemp("traced")
    path = home / "hurt.toml"
    text = SMALL.replace("[design]\n", '[design]\nmembership = "heartbeat"\n')
    text = text.replace('settle = "100ms"', 'settle = "100ms"\ntimeout = "40ms"')
    path.write_text(text + HURT, encoding="utf-8")
    load(path).run(out=home / "out", trace="first")
    return home / "out" / "runs" / "seed=0"


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]


def test_everything_stands_in_a_trace(lines: list[dict[str, Any]]) -> None:
    found = Counter(line["event"] for line in lines)
    assert {
        "client.invoked", "client.completed", "world.sent", "world.delivered", "world.dropped", "world.timer",
        "world.disk", "world.crashed", "world.restarted", "world.fault_began", "world.fault_ended", "quorum.met",
        "world.retransmitted",
    } <= found.keys()  # fmt: skip
    assert {line["operation"] for line in lines if line["event"] == "world.disk"} >= {"append", "sync"}
    assert all(line["reason"] for line in lines if line["event"] == "world.dropped")


def test_ids_count_and_causes_come_before(lines: list[dict[str, Any]]) -> None:
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line.get("cause", 0) < line["id"] for line in lines)
    assert all(before["time_ns"] <= after["time_ns"] for before, after in itertools.pairwise(lines))
    for line in lines:
        cause = lines[line["cause"] - 1] if "cause" in line else None
        if line["event"] == "world.delivered":
            assert cause is not None
            assert (cause["event"], cause["to"], cause["node"]) == ("world.sent", line["node"], line["sender"])
        elif cause is not None:
            assert cause["node"] == line["node"], "only messages lead from node to node"


def test_every_message_is_sent_once_and_ends_at_most_once(lines: list[dict[str, Any]]) -> None:
    ends = Counter(line["cause"] for line in lines if line["event"] in ("world.delivered", "world.dropped"))
    sent = {line["id"] for line in lines if line["event"] == "world.sent"}
    assert ends.keys() <= sent
    assert set(ends.values()) == {1}


def test_the_history_stands_in_the_trace(folder: Path, lines: list[dict[str, Any]]) -> None:
    history = read_history(folder / "history.jsonl").events
    clients = [line for line in lines if line["event"].startswith("client.")]
    assert [(line["index"], line["process"], line["time_ns"], line["operation"]) for line in clients] == [
        (event.index, event.process, event.time_ns, event.op) for event in history
    ]
    begun = {line["id"]: line for line in clients if line["event"] == "client.invoked"}
    asked = [line for line in lines if line["event"] == "world.sent" and line["kind"] == "client.perform"]
    assert all(line["cause"] in begun for line in asked if line["node"] in {b["node"] for b in begun.values()})


def test_shiviz_reads_the_export_and_its_clocks_order_what_causes_order(
    folder: Path, lines: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert run(["trace", str(folder), "--to", "shiviz", "--out", str(tmp_path / "log")]) == 0
    text = (tmp_path / "log").read_text()
    parser = PARSER.replace("(?<", "(?P<")
    events = [match.groupdict() for match in re.finditer(parser, text)]
    assert len(events) == len(lines)
    clocks = [json.loads(event["clock"]) for event in events]
    own: Counter[str] = Counter()
    for event, clock in zip(events, clocks, strict=True):
        own[event["host"]] += 1
        assert clock[event["host"]] == own[event["host"]], "a host counts its own events"
    for number, line in enumerate(lines):
        if "cause" in line:
            before, after = clocks[line["cause"] - 1], clocks[number]
            assert all(count <= after.get(host, 0) for host, count in before.items())


def test_perfetto_reads_the_export(folder: Path, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    assert run(["trace", str(folder), "--to", "chrome", "--out", str(tmp_path / "json")]) == 0
    document = json.loads((tmp_path / "json").read_bytes())
    events = document["traceEvents"]
    needed = {
        "M": {"name", "args"}, "X": {"name", "ts", "dur", "cat"}, "i": {"name", "ts", "s"},
        "s": {"name", "ts", "id", "cat"}, "f": {"name", "ts", "id", "cat", "bp"},
    }  # fmt: skip
    for event in events:
        assert needed[event["ph"]] | {"pid", "tid"} <= event.keys()
        assert event.get("dur", 0) >= 0
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {line["node"] for line in lines if not line["event"].startswith("world.fault")} | {"world"}
    starts = {event["id"] for event in events if event["ph"] == "s"}
    ends = {event["id"] for event in events if event["ph"] == "f"}
    assert ends <= starts
    assert len(ends) == sum(line["event"] == "world.delivered" for line in lines)
    slices = Counter(event["name"] for event in events if event["ph"] == "X")
    assert {"down", "crash", "loss"} <= slices.keys()
    operations = [event for event in events if event["ph"] == "X" and event["cat"] == "client.invoked"]
    assert len(operations) == sum(line["event"] == "client.invoked" for line in lines)


def test_a_part_of_a_trace_is_exported_alone(folder: Path, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "part"
    command = ["trace", str(folder), "--to", "shiviz", "--start", "50ms", "--end", "60ms", "--out", str(out)]
    assert run(command) == 0
    wanted = sum(50_000_000 <= line["time_ns"] <= 60_000_000 for line in lines)
    assert wanted
    assert out.read_text().count("\n") == 2 * wanted


def test_an_experiments_folder_will_do_if_one_run_has_a_trace(folder: Path, tmp_path: Path) -> None:
    assert run(["trace", str(folder.parents[1]), "--to", "chrome", "--out", str(tmp_path / "json")]) == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "has no trace.jsonl"), ("{}\n", "line 1: is no entry of a trace"), ("\xff\n", "is no entry of a trace")],
)
def test_what_is_no_trace_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "trace.jsonl").write_bytes(content.encode("latin-1"))
    assert run(["trace", str(tmp_path), "--to", "chrome"]) == 2
    assert reason in capsys.readouterr().err
