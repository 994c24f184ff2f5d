"""`kvsim serve` as a person uses it: it says where it listens, survives a kill, stops on Ctrl-C, keeps its data."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kvsim
from kvsim.cli.serve import _leader
from kvsim.core.operation import OutcomeUnknown

DEFECT = '''
from kvsim.core.axes import Replication


class Breaks(Replication):
    """Breaks at its first write."""

    @classmethod
    def copies(cls, settings, nodes):
        return 1

    async def write(self, op):
        return 1 // 0

    read_latest = write
'''


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The running command, the address of its HTTP door, and what it printed until it was ready."""
    command = [sys.executable, "-c", "from kvsim.cli import main; main()", "serve", "--http", "0", "--resp", "0"]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "Ctrl-C" in line:
            break
    try:
        [url] = set(re.findall(r"http://127\.0\.0\.1:\d+(?=\s+127)", "".join(printed)))
        yield process, url, printed
    finally:
        process.kill()
        process.communicate()


def ctrl_c(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=30)


def test_a_killed_node_is_started_again_and_data_outlives_the_command(tmp_path: Path) -> None:
    with served("--data-dir", str(tmp_path / "data")) as (process, url, printed):
        with kvsim.Client(url, timeout_s=20) as store:
            store.put(b"k", b"v")
        [victim] = re.findall(r"kill -9 (\d+)", "".join(printed))
        assert re.search(rf"Process {victim} is data-\d(, the leader now|; the leader: kvsim where)", "".join(printed))
        subprocess.run(["kill", "-9", victim], check=True)
        assert process.stderr is not None
        assert "was killed by SIGKILL; started again as process" in process.stderr.readline()
        assert ctrl_c(process) == 0
    with served("--data-dir", str(tmp_path / "data")) as (process, url, _):
        with kvsim.Client(url, timeout_s=20) as store:
            assert store.get(b"k") == b"v"
        assert ctrl_c(process) == 0


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ({"frontend-1": "", "data-1": "follower", "data-2": "leader"}, ("leader", "data-2")),
        ({"frontend-1": "", "data-1": "primary", "data-2": "backup"}, ("primary", "data-1")),
        ({"frontend-1": "", "data-1": "follower", "data-2": "follower"}, ("leader", None)),
        ({"frontend-1": "", "data-1": "", "data-2": ""}, ("", None)),
    ],
)
def test_whom_to_kill_is_the_leader_where_a_design_has_one(
    roles: dict[str, str], told: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster:
        nodes = tuple(roles)

        def status(self, node: str) -> dict[str, list[str]]:
            return {"roles": [roles[node]] if roles[node] else []}

        def role(self, name: str) -> str | None:
            return next((node for node, role in roles.items() if role == name), None)

    monkeypatch.setattr("kvsim.cli.serve.ELECTION_S", 0)
    assert _leader(Cluster()) == told  # type: ignore[arg-type]


def test_a_node_that_a_defect_ended_stays_down_and_the_command_says_so_at_last(tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text(DEFECT, encoding="utf-8")
    experiment = tmp_path / "breaks.toml"
    experiment.write_text('[design]\nreplication = "breaks.py:Breaks"\ntimeout = "300ms"\n', encoding="utf-8")
    with served(str(experiment), "--nodes", "1", "--data-dir", str(tmp_path / "data")) as (process, url, _):
        with kvsim.Client(url, retries=0) as store, pytest.raises(OutcomeUnknown):
            store.put(b"k", b"v")
        assert process.stderr is not None
        told = process.stderr.readline()
        assert "ZeroDivisionError" in told
        assert "it stays down" in told
        assert ctrl_c(process) == 1
