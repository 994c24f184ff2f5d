"""Agreement with the histories of known verdict that lie beside the checkout, where they are there."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvsim.check import Verdict, durability, linearizable, read, staleness
from kvsim.core.history import HistoryError

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "histories"
FORMATS = ("kvsim-jsonl", "jepsen-edn", "porcupine-etcd-log")
NAMES = {"holds": "not_refuted", "violated": "refuted"}
JUDGES = {"linearizable": linearizable, "durability": durability}


def expected(judge: str) -> list[Any]:
    """A test a history for which the manifest names the judge's verdict."""
    manifest = FOLDER / "manifest.json"
    if not manifest.exists():
        reason = "the histories of known verdict do not lie in shared/ beside this checkout"
        return [pytest.param({}, {}, marks=pytest.mark.skip(reason=reason), id=judge)]
    entries = json.loads(manifest.read_text())["histories"]
    return [
        pytest.param(entry, verdict, id=entry["file"])
        for entry in entries
        for verdict in entry["expect"]
        if entry["format"] in FORMATS and verdict["judge"] == judge
    ]


@pytest.mark.parametrize("judge", JUDGES)
def test_the_manifest_knows_the_judge(judge: str) -> None:
    if not FOLDER.exists():
        pytest.skip("the histories of known verdict do not lie in shared/ beside this checkout")
    assert len(expected(judge)) >= 10


@pytest.mark.parametrize(("entry", "verdict"), expected("linearizable"))
def test_linearizable(entry: dict[str, Any], verdict: dict[str, Any]) -> None:
    agree(linearizable(read(FOLDER / entry["file"])), verdict)


@pytest.mark.parametrize(("entry", "verdict"), expected("durability"))
def test_durability(entry: dict[str, Any], verdict: dict[str, Any]) -> None:
    agree(durability(read(FOLDER / entry["file"])), verdict)


@pytest.mark.parametrize(("entry", "verdict"), expected("bounded-staleness"))
def test_staleness_in_seconds(entry: dict[str, Any], verdict: dict[str, Any]) -> None:
    stalest_ns = max(staleness(read(FOLDER / entry["file"])))
    if "seconds" in verdict:
        assert (stalest_ns <= verdict["seconds"] * 1e9) == (verdict["verdict"] == "holds")
    elif verdict["versions"] == 0:
        assert (stalest_ns == 0) == (verdict["verdict"] == "holds")


@pytest.mark.parametrize(("entry", "verdict"), expected("format"))
def test_what_breaks_the_format_is_refused_with_its_line(entry: dict[str, Any], verdict: dict[str, Any]) -> None:
    with pytest.raises(HistoryError) as refused:
        read(FOLDER / entry["file"])
    assert refused.value.line == verdict["line"]


def agree(found: Verdict, verdict: dict[str, Any]) -> None:
    assert found.name == NAMES[verdict["verdict"]], found
