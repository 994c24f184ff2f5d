"""kvsim replay: a run again from its folder alone, up to the first event that differs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.cli.app import run
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import load, read_experiment
from kvsim.lab.replay import replay
from kvsim.lab.run import simulate

Small = Callable[..., Path]
MINE = """
from kvsim.strategies.replication.single_copy import SingleCopy

class Mine(SingleCopy):
    pass
"""
DRAWS_OUTSIDE = """
import random
from kvsim.strategies.replication.single_copy import SingleCopy

class Mine(SingleCopy):
    def start(self, *given):
        self.host.after(random.SystemRandom().randrange(1_000_000), lambda: None)
        super().start(*given)
"""


def left_by(path: Path, tmp_path: Path, trace: Any = "first") -> Path:
    load(path).run(out=tmp_path / "out", trace=trace)
    [folder] = (tmp_path / "out" / "runs").iterdir()
    return folder


def test_a_run_is_repeated_from_its_folder(small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "20ms"\nlasts = "30ms"\n[measure]\nuse = ["pbs"]\n'
    path = small(faults)
    folder = left_by(path, tmp_path)
    path.unlink()
    assert run(["replay", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("the same: trace.jsonl, history.jsonl, metrics.json; ")
    assert replay(folder).changed == ()


@pytest.mark.parametrize("file", ["trace.jsonl", "history.jsonl", "metrics.json"])
def test_the_first_line_that_differs_is_shown_beside_the_one_that_was(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    folder = left_by(small(), tmp_path)
    lines = (folder / file).read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b":", b": ", 1)
    (folder / file).write_bytes(b"".join(lines))
    assert run(["replay", str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"differs: {file}, line 5; " in said
    assert f"then: {lines[4].decode().rstrip()}"[:100] in said
    assert "\n  now:  " in said
    assert "nothing that decides a run has changed" in said


def test_a_trace_that_ended_early_differs_where_it_ended(small: Small, tmp_path: Path) -> None:
    folder = left_by(small(), tmp_path)
    lines = (folder / "trace.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "trace.jsonl").write_bytes(b"".join(lines[:-1]))
    difference = replay(folder).difference
    assert difference is not None
    assert (difference.line, difference.was) == (len(lines), "")


def test_a_strategy_that_changed_since_is_told(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    folder = left_by(small(text=text_with("mine.py:Mine")), tmp_path)
    mine.unlink()
    assert replay(folder).changed == (), "the folder has a copy of its own"
    (folder / "files" / "mine.py").write_text(MINE + "    # as it was, but for this\n")
    assert run(["replay", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "not as it was: outside.strategies.replication.sha256 was " in said
    assert "\nthe same: " in said


def text_with(replication: str) -> str:
    return f"""
[design]
replication = "{replication}"
[workload]
keys = {{ count = 5, distribution = "uniform" }}
clients = 2
duration = "50ms"
settle = "10ms"
"""


def test_a_version_that_changed_since_is_told(small: Small, tmp_path: Path) -> None:
    folder = left_by(small(), tmp_path, trace="none")
    described = msgspec.json.decode((folder / "run.json").read_bytes())
    described["versions"]["kvsim"] = "0.0.1"
    (folder / "run.json").write_bytes(msgspec.json.encode(described))
    found = replay(folder)
    assert any(change.startswith("versions.kvsim was 0.0.1, is ") for change in found.changed)
    assert (found.compared, found.difference) == (("history.jsonl", "metrics.json"), None)


def test_a_strategy_that_draws_outside_its_host_is_caught(small: Small, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DRAWS_OUTSIDE)
    difference = replay(left_by(small(text=text_with("mine.py:Mine")), tmp_path)).difference
    assert difference is not None
    assert difference.file == "trace.jsonl"
    assert "world.timer" in difference.was + difference.now


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name the folder of one run"):
        replay(tmp_path)
    for name in ("run.json", "history.jsonl", "metrics.json"):
        (tmp_path / name).write_text("no")
    assert run(["replay", str(tmp_path)]) == 2


DESIGNS: list[dict[str, Any]] = [
    {"replication": "single_copy", "durability": "memory"},
    {"replication": {"strategy": "quorum", "r": 1, "w": 1}, "consistency": "eventual", "durability": "memory"},
    {"replication": {"strategy": "quorum", "r": 2, "w": 2}, "topology": "peer_to_peer", "consistency": "eventual"},
    {"replication": {"strategy": "quorum", "r": 2, "w": 2}, "consistency": "linearizable"},
    {"replication": {"strategy": "primary_backup", "mode": "async"}, "consistency": "eventual"},
    {"replication": {"strategy": "raft", "heartbeat": "10ms", "election_timeout": "50ms"}},
]


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Any]:
    node = draw(st.sampled_from(("NODE-1", "NODE-2", "NODE-3")))
    at, lasts = f"{draw(st.integers(0, 80))}ms", f"{draw(st.integers(1, 60))}ms"
    more: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"kind": "crash", "node": node},
                {"kind": "partition", "sides": [[node]]},
                {"kind": "loss", "share": 0.3},
                {"kind": "delay", "delay": "7ms"},
            ]
        )
    )
    return {"at": at, "lasts": lasts, **more}


@settings(max_examples=15)
@given(
    st.sampled_from(DESIGNS), st.integers(0, 2), st.lists(faults(), max_size=3), st.sampled_from([0.0, 0.02]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_random_designs_under_random_faults_replay_identically(
    design: dict[str, Any], more: int, faults: list[dict[str, Any]], loss: float, seed: int
) -> None:
    table = {
        "design": design,
        "cluster": {"nodes": 3 + more},
        "network": {"loss": loss, "min_rto": "5ms", "keepalive": "20ms"},
        "workload": {
            "keys": {"count": 5, "distribution": "uniform"}, "clients": 2, "duration": "100ms", "settle": "20ms",
            "timeout": "50ms",
        },
        "faults": faults,
    }  # fmt: skip
    nodes = "node" if design.get("topology") == "peer_to_peer" else "data"
    table = msgspec.json.decode(msgspec.json.encode(table).replace(b"NODE", nodes.encode()))
    left = []
    for _ in range(2):
        trace = io.BytesIO()
        [setup] = read_experiment(table, Path("random.toml")).setups
        run = simulate(setup, seed, trace=trace)
        assert run.failures == ()
        left.append((trace.getvalue(), run.seen.history.dumps(), run.metrics))
    assert left[0] == left[1]
