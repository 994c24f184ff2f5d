"""`kvsim client URL …`: what it prints, and with which exit code it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kvsim.cli.client import app
from kvsim.core.operation import OutcomeUnknown
from tests.doors.conftest import OpenDoors


def run(doors: OpenDoors, *words: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["--retries", "0", doors.url, *words], input=given)


def test_put_get_update_and_delete(doors: OpenDoors) -> None:
    assert run(doors, "put", "k", "v").stdout == "done, version 1.data-1; before, the key was absent\n"
    assert run(doors, "get", "k").stdout_bytes == b"v"
    assert json.loads(run(doors, "get", "k", "--json").stdout) == {"value": "v", "version": "1.data-1"}
    assert json.loads(run(doors, "update", "k", "w", "--json").stdout) == {"version": "2.data-1", "existed": True}
    assert run(doors, "delete", "k").exit_code == 0
    assert run(doors, "remove", "k").exit_code == 0
    assert run(doors, "create", "k", "v").exit_code == 0


def test_a_value_comes_from_a_file_or_from_standard_input(doors: OpenDoors, tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "value").write_bytes(content)
    assert run(doors, "put", "k", "--file", str(tmp_path / "value")).exit_code == 0
    assert run(doors, "get", "k").stdout_bytes == content
    assert run(doors, "put", "k", "-", given=content * 2).exit_code == 0
    assert run(doors, "get", "k").stdout_bytes == content * 2


def test_cas_and_scan(doors: OpenDoors) -> None:
    assert run(doors, "cas", "k", "1", "--absent").exit_code == 0
    assert run(doors, "cas", "k", "2", "--expected", "1").exit_code == 0
    assert run(doors, "cas", "k", "3", "--version", "2.data-1").exit_code == 0
    assert run(doors, "cas", "k", "4", "--version", "2.data-1").exit_code == 1
    run(doors, "put", "l", "1")
    shown = run(doors, "scan", "--limit", "1")
    assert shown.stdout == "k\t3\n"
    assert "more from 'l'" in shown.stderr
    assert json.loads(run(doors, "scan", "--end", "l", "--json").stdout)["items"][0]["key"] == "k"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["get", "absent"], 1, "absent is absent"),
        (["delete", "absent"], 1, "absent is absent"),
        (["put", "k", "v" * 1_048_577], 1, "the limit is 1048576"),
        (["put", "k"], 2, "give a value"),
        (["cas", "k", "v"], 2, "--expected"),
        (["cas", "k", "v", "--version", "x"], 2, "not a version"),
    ],
)
def test_failures_are_short_and_coded(doors: OpenDoors, words: list[str], code: int, reason: str) -> None:
    ended = run(doors, *words)
    assert ended.exit_code == code
    assert reason in " ".join(ended.stderr.split())


def test_an_unknown_outcome_has_a_code_of_its_own(doors: OpenDoors) -> None:
    with doors.store.failing(OutcomeUnknown("no answer in time")):
        ended = run(doors, "put", "k", "v")
    assert ended.exit_code == 3
    assert "Read before deciding" in ended.stderr


def test_a_wrong_address_is_wrong_input() -> None:
    ended = CliRunner().invoke(app, ["nonsense", "get", "k"])
    assert ended.exit_code == 2
    assert "no address of a kvsim door" in " ".join(ended.stderr.split())
