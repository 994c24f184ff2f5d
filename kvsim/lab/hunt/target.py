"""What is hunted: an experiment's file, a bundled one, a run's folder, or one class of a user's own file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvsim.core.design import AXES, Strategy
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, load, read_experiment
from kvsim.lab.grid import parse_setting, set_key
from kvsim.strategies.catalogue import StrategyNotFound, find_strategy

CLASS = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
CLUSTER = {"nodes": 3, "frontends": 2}
"""Two frontends, so that clients can look at a cluster from both sides of a partition."""
ANYWHERE: list[dict[str, Any]] = [
    {"name": "client_server", "design": {"topology": "client_server"}},
    {"name": "peer_to_peer", "design": {"topology": "peer_to_peer"}},
    {"name": "frontends coordinate", "design": {"topology": {"strategy": "client_server", "coordinator": "frontend"}}},
]
"""Who may coordinate where any node can: each way shows other mistakes."""


def read_target(text: str, settings: Sequence[str] = ()) -> Experiment:
    """The experiment to be hunted. Raises `SettingsError`."""
    match = CLASS.fullmatch(text)
    if match is None:
        return load(text, settings, however_many=True)
    path = Path(match["file"])
    strategy = _find(path, match["name"])
    given = {"strategy": f"{path.name}:{match['name']}"}
    table: dict[str, Any] = {"title": text, "design": {strategy.axis: given}, "cluster": dict(CLUSTER)}
    for setting in settings:
        try:
            set_key(table, *parse_setting(setting))
        except ValueError as error:
            raise SettingsError([str(error)]) from error
    if getattr(strategy, "from_anywhere", False) and "topology" not in table["design"]:
        table["variant"] = [
            {"name": each["name"], "design": {**table["design"], **each["design"]}} for each in ANYWHERE
        ]
    return read_experiment(table, path)


def _find(path: Path, name: str) -> type[Strategy]:
    if not path.is_file():
        raise SettingsError([f"there is no file {path}"])
    problem = ""
    for axis in AXES:
        try:
            return find_strategy(axis, f"{path.name}:{name}", path.parent)
        except StrategyNotFound as error:
            problem = str(error)
            if "is no strategy for" not in problem:
                break
    raise SettingsError([f"{path.name}: {problem}"])
