"""`kvsim check`: verdict on one line, explanation under it, exit codes, JSON, and short errors."""

import json
from pathlib import Path
from random import Random

import pytest
import typer
from typer.testing import CliRunner

from kvsim.cli.check import check
from kvsim.core.history import History
from tests.check.worlds import REGISTER, run, story

STALE = "0 put 1 1 2\n0 put 2 3 4\n1 read 1 5 6"
GOOD = "0 put 1 1 2\n0 put 2 3 4\n1 read 2 5 6"

app = typer.Typer()
app.command()(check)


def judged(tmp_path: Path, history: History, *options: str) -> tuple[int, str]:
    path = tmp_path / "history.jsonl"
    history.to_jsonl(path)
    result = CliRunner().invoke(app, [str(path), *options])
    return result.exit_code, result.output


def test_what_nothing_speaks_against_exits_with_0(tmp_path: Path) -> None:
    code, output = judged(tmp_path, story(GOOD))
    assert code == 0
    assert output.startswith("not refuted: linearizable, 3 operations\n  nothing in this history speaks against it")


@pytest.mark.parametrize("level", ["linearizable", "durability"])
def test_a_refutation_exits_with_1_and_tells_why(tmp_path: Path, level: str) -> None:
    code, output = judged(tmp_path, story(STALE), "--level", level)
    assert code == 1
    first, second, *table = output.splitlines()
    assert first == f"refuted: {level}, 3 operations"
    assert second.startswith(
        '  key "x": process 1 read 1 at 6.000 s, although process 0\'s write of 2 was acknowledged'
    )
    assert any(row.split() == ["2", "0", "3.000", "s", "4.000", "s", "write", "of", "2"] for row in table)


def test_a_limit_exits_with_3_and_is_never_ok(tmp_path: Path) -> None:
    hard = run(Random(1), 4000, 8, REGISTER, unique=False, unknown=0.0)
    code, output = judged(tmp_path, hard, "--time-limit", "1ns")
    assert code == 3
    assert output.startswith("unknown: linearizable, 4,000 operations\n")
    assert "raise --time-limit" in output


def test_json_gives_verdict_and_witness(tmp_path: Path) -> None:
    code, output = judged(tmp_path, story(STALE), "--json")
    found = json.loads(output)
    assert code == 1
    assert (found["verdict"], found["level"], found["operations"]) == ("refuted", "linearizable", 3)
    assert found["witness"]["key"] == "x"
    assert [(o["op"], o["index"]) for o in found["witness"]["operations"]] == [("put", 0), ("put", 2), ("read", 4)]
    assert json.loads(judged(tmp_path, story(GOOD), "--json")[1])["verdict"] == "not_refuted"


def test_what_cannot_be_read_exits_with_2_and_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(story(GOOD).dumps()[:-10])
    result = CliRunner().invoke(app, [str(path)])
    assert result.exit_code == 2
    assert result.output.startswith(f"kvsim check: {path}, line 6: not an event")


def test_a_file_that_is_not_there_exits_with_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert "No such file" in result.output


def test_values_cannot_reach_the_terminal_raw(tmp_path: Path) -> None:
    evil = "\x1b[31m[bold]x\x07"
    history = story(f"0 put {json.dumps(evil)} 1 2\n1 read nothing 3 4".replace(" [", "["))
    _, output = judged(tmp_path, history)
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[bold]" in output
