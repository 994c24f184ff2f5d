"""`kvsim check`: verdict on one line, explanation under it, exit codes, JSON, and short errors."""

import json
from pathlib import Path
from random import Random

import pytest
import typer
from typer.testing import CliRunner

from kvsim.cli.check import check
from kvsim.core.history import History, Recorder
from kvsim.lab.plots.style import FAULT
from tests.check.worlds import REGISTER, run, story

STALE = "0 put 1 1 2\n0 put 2 3 4\n1 read 1 5 6"
GOOD = "0 put 1 1 2\n0 put 2 3 4\n1 read 2 5 6"

app = typer.Typer()
app.command()(check)


def judged(tmp_path: Path, history: History, *options: str) -> tuple[int, str]:
    path = tmp_path / "history.jsonl"
    history.to_jsonl(path)
    result = CliRunner().invoke(app, [str(path), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
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


def test_all_tells_the_strongest_level(tmp_path: Path) -> None:
    late = story("0 put 1 1 2\n0 put 2 3 4\n1 read 1 5 6\n1 read 2 7 8")
    code, output = judged(tmp_path, late, "--all")
    assert code == 0
    assert output.startswith(
        "strongest not refuted: sequential, 4 operations\n  refuted: linearizable: process 1 read "
    )
    found = json.loads(judged(tmp_path, late, "--all", "--json")[1])
    assert found["strongest"] == ["sequential"]
    assert found["levels"]["causal"] == {"verdict": "not_refuted"}


def test_bounds_are_asked_for_and_used(tmp_path: Path) -> None:
    history = story(STALE)
    assert judged(tmp_path, history, "--level", "bounded-staleness", "--versions", "1")[0] == 0
    assert judged(tmp_path, history, "--level", "bounded-staleness", "--seconds", "0.5")[0] == 1
    code, output = judged(tmp_path, history, "--level", "bounded-staleness")
    assert (code, "needs --versions or --seconds" in output) == (2, True)
    assert judged(tmp_path, history, "--level", "convergence", "--after", "4.5")[0] == 0
    assert judged(tmp_path, history, "--level", "convergence", "--after", "1")[0] == 3


def test_outages_are_listed_beside_the_verdict(tmp_path: Path) -> None:
    history = story("0 put 1 1 2\n0 put 2 3 4 fail\n0 put 3 5 6 fail\n0 put 4 7 8\n0 put 5 9 9.5 fail")
    code, output = judged(tmp_path, history, "--outages", "1s")
    assert code == 0
    assert output.splitlines()[2:] == [
        "availability: 2 outages of 1s or longer",
        "  client 0: 3 s, from 3.000 s to 6.000 s; 2 operations in vain",
        '  keys "x" to "x": 3 s, from 3.000 s to 6.000 s; 2 operations in vain',
    ]
    found = json.loads(judged(tmp_path, history, "--outages", "2s", "--all", "--json")[1])
    assert found["outages"][0] == {"of": "client 0", "begin_s": 3.0, "end_s": 6.0, "asked": 2}
    code, output = judged(tmp_path, history, "--outages", "long")
    assert (code, "--outages" in output) == (2, True)


def test_a_model_that_the_history_is_not_of_is_refused(tmp_path: Path) -> None:
    code, output = judged(tmp_path, story("0 create 1 1 2"), "--model", "register")
    assert (code, "line 1: create is no operation of the model register" in output) == (2, True)
    assert judged(tmp_path, story("0 create 1 1 2"), "--model", "kv")[0] == 0


SKEW = [
    (0, [["r", "x", None], ["w", "y", 1]]),
    (1, [["r", "y", None], ["w", "x", 1]]),
]


def write_skew() -> History:
    recorder = Recorder()
    for process, mops in SKEW:
        recorder.invoke(process, process, "txn", None, mops)
    for process, mops in SKEW:
        recorder.complete(process, 10 + process, "ok", mops)
    return recorder.history


def test_transactions_are_judged_at_all_levels(tmp_path: Path) -> None:
    code, output = judged(tmp_path, write_skew())
    assert code == 1
    assert output.startswith("transactions: the strongest level not refuted is snapshot-isolation, 2 operations\n")
    assert "  write-skew: T0 (process 0) read nothing" in output
    found = json.loads(judged(tmp_path, write_skew(), "--json")[1])
    assert (found["strongest"], found["anomalies"]) == ("snapshot-isolation", ["G2-item", "write-skew"])
    assert found["levels"]["serializable"] == "refuted"
    assert [edge["kind"] for edge in found["evidence"][0]["edges"]] == ["rw", "rw"]
    assert judged(tmp_path, write_skew(), "--level", "snapshot-isolation")[0] == 0
    assert judged(tmp_path, write_skew(), "--level", "serializable")[0] == 1


def test_a_transaction_that_is_none_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"type":"invoke","process":0,"time":1,"op":"txn","value":[["r","x"]],"index":0}\n')
    result = CliRunner().invoke(app, [str(path)])
    assert (result.exit_code, "line 1: a transaction is [[" in result.output) == (2, True)


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_witnesses_and_cycles_are_drawn_and_equal_histories_give_equal_pictures(tmp_path: Path, ending: str) -> None:
    pictures = []
    for name in ("one", "two"):
        picture = tmp_path / f"{name}{ending}"
        assert judged(tmp_path, story(STALE), "--picture", str(picture))[0] == 1
        cycle = tmp_path / f"{name}-cycle{ending}"
        assert judged(tmp_path, write_skew(), "--picture", str(cycle))[0] == 1
        pictures.append((picture.read_bytes(), cycle.read_bytes()))
    assert pictures[0] == pictures[1]
    assert len(pictures[0][0]) > 5_000
    assert len(pictures[0][1]) > 5_000


def test_faults_of_a_run_of_kvsim_are_shaded_in_the_picture(tmp_path: Path) -> None:
    picture = tmp_path / "witness.svg"
    judged(tmp_path, story(STALE), "--picture", str(picture))
    assert FAULT.lower() not in picture.read_text()
    (tmp_path / "run.json").write_text('{"faults_s": [{"name": "crash", "start": 1.5, "end": 2.5, "nodes": []}]}')
    judged(tmp_path, story(STALE), "--picture", str(picture))
    assert FAULT.lower() in picture.read_text()
    (tmp_path / "run.json").write_text("[]")
    assert judged(tmp_path, story(STALE), "--picture", str(picture))[0] == 1


def test_times_have_no_more_digits_than_tell_them_apart(tmp_path: Path) -> None:
    apart = story("0 put 1 1.0001 2.123456789\n1 read nothing 3.00000123 4.5")
    assert "process 1 found the key absent at 4.500 s, although" in judged(tmp_path, apart)[1]
    close = story("0 put 1 1.0 2.123456789\n1 read nothing 2.123459 4.5")
    assert "was acknowledged at 2.123457 s" in judged(tmp_path, close)[1]


def test_one_operation_is_told_in_the_singular(tmp_path: Path) -> None:
    assert "linearizable, 1 operation\n" in judged(tmp_path, story("0 put 1 1 2"))[1]


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    code, output = judged(tmp_path, story(STALE), "--picture", "witness.bmp")
    assert (code, ".png or .svg" in output) == (2, True)


def test_an_empty_history_is_said_to_be_unjudged(tmp_path: Path) -> None:
    code, output = judged(tmp_path, History([]), "--all")
    assert code == 0
    assert "holds no operations, so nothing was judged" in output


def test_what_became_of_the_picture_is_told(tmp_path: Path) -> None:
    picture = tmp_path / "w.svg"
    assert f"wrote {picture}" in judged(tmp_path, story(STALE), "--picture", str(picture))[1]
    assert picture.is_file()
    other = tmp_path / "none.svg"
    assert f"nothing was refuted, so {other} was not drawn" in judged(tmp_path, story(GOOD), "--picture", str(other))[1]
    assert judged(tmp_path, story(STALE), "--all", "--picture", str(other))[0] == 2
