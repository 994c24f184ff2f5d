"""Agreement with the histories of known verdict that lie beside the checkout, where they are there."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvsim.check import Verdict, read
from kvsim.check.judges import JUDGES, Limited
from kvsim.check.transactions import transactions
from kvsim.core.history import HistoryError

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "histories"
NAMES = {"holds": "not_refuted", "violated": "refuted"}
ENTRIES = json.loads((FOLDER / "manifest.json").read_text())["histories"] if FOLDER.exists() else []
ABSENT = pytest.mark.skipif(
    not ENTRIES, reason="the histories of known verdict do not lie in shared/ beside this checkout"
)


@ABSENT
def test_every_judge_that_the_manifest_names_is_there() -> None:
    named = {verdict["judge"] for entry in ENTRIES for verdict in entry["expect"]}
    assert named - {"format", "transactions"} <= set(JUDGES)


@ABSENT
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in ENTRIES] or [None])
def test_the_verdicts_agree(entry: dict[str, Any]) -> None:
    for verdict in entry["expect"]:
        if verdict["judge"] == "format":
            with pytest.raises(HistoryError) as refused:
                read(FOLDER / entry["file"])
            assert refused.value.line == verdict["line"]
        elif verdict["judge"] == "transactions":
            agree_on_levels(entry, verdict)
        else:
            bounds = {
                "versions": verdict.get("versions"),
                "seconds": verdict.get("seconds"),
                "after_ns": round(verdict["after"] * 1e9) if "after" in verdict else None,
            }
            found: Verdict = JUDGES[verdict["judge"]].judge(read(FOLDER / entry["file"]), Limited(**bounds))
            assert found.name == NAMES[verdict["verdict"]], (verdict, found)


def agree_on_levels(entry: dict[str, Any], verdict: dict[str, Any]) -> None:
    found = transactions(read(FOLDER / entry["file"]))
    expected = {level: NAMES[name] for level, name in verdict["levels"].items()}
    assert {level: found.levels[level] for level in expected} == expected
    assert found.strongest == verdict.get("strongest", found.strongest)
    names = {anomaly.name for anomaly in found.anomalies}
    assert set(verdict["anomalies"]) <= names
    others = {name for name in names if not name.endswith(("-process", "-realtime"))}
    assert others <= {*verdict["anomalies"], *verdict["also"]}
