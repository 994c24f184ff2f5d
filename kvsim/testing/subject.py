"""What is put to the test: one strategy with its settings, in a design whose other choices are given or usual."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from kvsim.core.axes import Replication
from kvsim.core.design import AXES, Axis, Design, Strategy
from kvsim.core.message import Message
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, read_experiment
from kvsim.lab.hunt.target import ANYWHERE, CLUSTER
from kvsim.strategies.catalogue import StrategyNotFound, find_strategy, known, message_kinds, read_design

RUNS_VARIABLE = "KVSIM_HUNT_RUNS"
"""An environment variable: how many runs a hunt has where the test does not say."""
USUAL_RUNS = 20


class Subject(NamedTuple):
    """One strategy under test."""

    axis: Axis
    name: str
    """What designs call it: `quorum`, or `mine.py:MyRaft`."""
    folder: Path
    """What a file's name is relative to."""
    strategy: type[Strategy]
    settings: Mapping[str, Any]
    """Its settings, as a file says them."""
    others: Mapping[str, Any]
    """The rest of `[design]`."""
    hunt_runs: int

    def table(self, **more: Any) -> dict[str, Any]:
        """The `[design]` with it."""
        return {**self.others, self.axis: {"strategy": self.name, **self.settings}, **more}

    def design(self, nodes: int = 0, /, **more: Any) -> Design:
        """The design with it. Raises `SettingsError` if it is refused."""
        return read_design(self.table(**more), "design", nodes or self.nodes, self.folder)

    @property
    def nodes(self) -> int:
        """How many ServerData nodes its clusters have: three, or as many as it keeps copies."""
        design = read_design(self.table(), "design", 1_000, self.folder)
        replication = design["replication"]
        return max(3, cast(type[Replication], replication.strategy).copies(replication.settings, 3))

    @property
    def chosen(self) -> Any:
        """Its settings with all defaults, as its class is given them."""
        return self.design()[self.axis].settings

    def experiment(self, **more: Any) -> Experiment:
        """What a hunt of it hunts: the same as `kvsim hunt` of its file."""
        design = self.table(**more)
        table: dict[str, Any] = {"title": self.name, "design": design, "cluster": {**CLUSTER, "nodes": self.nodes}}
        if "topology" not in design and getattr(self.strategy, "from_anywhere", False):
            table["variant"] = [{"name": each["name"], "design": {**design, **each["design"]}} for each in ANYWHERE]
        return read_experiment(table, self.folder / "experiment.toml")

    def again(self, seed: int, **more: Any) -> str:
        """How to see a run of its hunt again: a command, where there is one."""
        if ".py:" not in self.name:
            return f"seed {seed} of {self.name}"
        set_ = [f"design.{self.axis}.{key}={value}" for key, value in self.settings.items()]
        set_ += [f"design.{axis}={_toml(choice)}" for axis, choice in {**self.others, **more}.items()]
        file = os.path.relpath(self.folder / self.name)
        if file.startswith(".."):
            file = str(self.folder / self.name)
        return f"kvsim hunt {file} --seed {seed} --runs 1" + "".join(f" --set '{each}'" for each in set_)

    def own_kinds(self) -> list[type[Message]]:
        """The messages that it brings with it: those of its own module or package."""
        home = _home(self.strategy.__module__)
        return [kind for kind in message_kinds(self.design()) if _home(kind.__module__) == home]


def _home(module: str) -> str:
    """Where a module belongs: its package, if that is a strategy's own folder, or itself."""
    parts = module.split(".")
    return ".".join(parts[:4]) if parts[:2] == ["kvsim", "strategies"] else module


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def subject_of(
    axis: Axis | None,
    strategy: str | type[Strategy],
    folder: Path,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Subject:
    """The subject that a test names: a built-in name, `file.py:Class` beside the test, or a class.

    Raises `SettingsError` where there is none, or where it is a strategy of another axis.
    """
    name, home = (_name_of(strategy, axis), folder) if isinstance(strategy, type) else (strategy, folder)
    if ".py:" in name:
        path = folder / name
        name, home = path.name, path.parent
    found_axis, found = _find(axis, name, home)
    others = dict(design or {})
    own = others.pop(found_axis, {})
    subject = Subject(found_axis, name, home, found, {**own, **(settings or {})}, others, _runs(hunt_runs))
    subject.design()
    return subject


def _runs(asked: int | None) -> int:
    where, given = ("hunt_runs", str(asked)) if asked is not None else (RUNS_VARIABLE, os.environ.get(RUNS_VARIABLE))
    if given is None:
        return USUAL_RUNS
    if not given.isdecimal():
        raise SettingsError([f"{where}: expected a number of runs, got {asked if asked is not None else repr(given)}"])
    return int(given)


def _find(axis: Axis | None, name: str, folder: Path) -> tuple[Axis, type[Strategy]]:
    problem = ""
    for each in AXES if axis is None else (axis,):
        try:
            return each, find_strategy(each, name, folder)
        except StrategyNotFound as error:
            problem = str(error)
            if "is no strategy for" not in problem and ".py:" in name:
                break
    raise SettingsError([problem])


def _name_of(strategy: type[Strategy], axis: Axis | None) -> str:
    """What a design would call a class: the built-in name, its file and name, or its module and name."""
    place = f"{strategy.__module__}:{strategy.__qualname__}"
    for each in AXES if axis is None else (axis,):
        for name, where in known(each).items():
            if where == place or _find_if_ours(each, name, where) is strategy:
                return name
    if "<locals>" in strategy.__qualname__:
        raise SettingsError(
            [f"{strategy.__name__} is defined inside a function; designs find classes of a module only"]
        )
    module = sys.modules[strategy.__module__]
    file = inspect.getsourcefile(strategy)
    if file is not None and "." not in module.__name__:
        return f"{Path(file).resolve()}:{strategy.__qualname__}"
    return place


def _find_if_ours(axis: Axis, name: str, where: str) -> type[Strategy] | None:
    """A built-in strategy, whose place in the catalogue may be its package."""
    return find_strategy(axis, name) if where.startswith("kvsim.") else None
