"""A kept collection of shrunk failures as regression tests: the present code must refute none of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment
from kvsim.lab.hunt.case import Case
from kvsim.lab.hunt.folder import case_in
from kvsim.lab.hunt.trial import play


class Replayed(NamedTuple):
    """One kept failure, played with the present code."""

    folder: Path
    kind: str
    """What it refuted when it was found."""
    refuted: dict[str, str]
    """What is refuted now, by kind; empty where the code is cured."""


def failures_in(folder: Path) -> list[Path]:
    """The folders of kept failures. Raises `SettingsError` where there are none."""
    if not folder.is_dir():
        raise SettingsError([f"there is no folder {folder}"])
    found = sorted(path.parent for path in folder.rglob("run.json") if (path.parent / "story.md").is_file())
    if not found:
        raise SettingsError([f"{folder} holds no kept failures; copy folders from a hunt's found/ into it"])
    return found


def regress(folder: Path, present: Experiment | None = None) -> Iterator[Replayed]:
    """Play each kept failure. `present`: its strategies from outside take the place of the copies that lie there."""
    for path in failures_in(folder):
        case, described = case_in(path)
        if present is not None:
            case = _with_present_strategies(case, present)
        kind = described.get("refuted", {}).get("kind", "")
        yield Replayed(path, kind, {finding.kind: finding.sentence for finding in play(case).findings})


def _with_present_strategies(case: Case, present: Experiment) -> Case:
    """The same run, by the strategies that a user's file holds now."""
    home = present.path.resolve().parent
    design: dict[str, Any] = dict(case.tables.get("design", {}))
    for axis, choice in present.setups[0].design.choices.items():
        if ".py:" not in choice.name:
            continue
        given = design.get(axis)
        settings = given if isinstance(given, dict) else {}
        file, _, name = choice.name.rpartition(":")
        design[axis] = {**settings, "strategy": f"{home / file}:{name}"}
    return case._replace(tables={**case.tables, "design": design})
