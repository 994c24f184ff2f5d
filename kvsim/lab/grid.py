"""The points of an experiment: every combination of what `[vary]` lists, for every `[[variant]]`, and their labels.

A point is the experiment's own tables with some keys set; it is read and refused like a file of its own.
"""

from __future__ import annotations

import copy
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kvsim.core.design import AXES
from kvsim.core.settings import SettingsError

Table = dict[str, Any]


class Vary(NamedTuple):
    """One axis of the grid."""

    path: str
    """The key, such as `design.replication.r`; `variant` for whole designs side by side."""
    name: str
    """The path's shortest suffix that tells it from the other axes."""
    values: tuple[Any, ...]


class Point(NamedTuple):
    """One combination."""

    where: tuple[tuple[str, str], ...]
    """Axis name and value, as labels show them."""
    table: Table

    @property
    def label(self) -> str:
        """`r=1,w=2`; empty where nothing varies."""
        return ",".join(f"{name}={value}" for name, value in self.where)


def shown(value: Any) -> str:
    """A value in a label: text as it is, a strategy's table by its settings, numbers as TOML writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        rest = ",".join(f"{key}={shown(part)}" for key, part in value.items() if key != "strategy")
        name = str(value.get("strategy", ""))
        return f"{name}({rest})" if rest else name
    return json.dumps(value)


def set_key(table: Table, path: str, value: Any) -> None:
    """Set a key by its dotted path, in place; a strategy given by its name alone becomes a table. Raises ValueError."""
    keys = keys_of(path)
    here: Any = table
    for depth, key in enumerate(keys[:-1]):
        here = _step(here, key, keys[: depth + 1])
    last = keys[-1]
    if isinstance(here, list):
        here[_number(here, last, keys)] = value
    elif isinstance(here, dict):
        here[last] = value
    else:
        raise ValueError(f"{path}: {'.'.join(keys[:-1])} is no table, so nothing can be set in it")


def keys_of(path: str) -> list[str]:
    """The keys of a dotted path, by TOML's rules: `machines.cpu."quorum.store"` has three. Raises ValueError."""
    try:
        here: Any = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError:
        raise ValueError(f"{path}: expected keys joined by dots, such as design.replication.r") from None
    keys = []
    while isinstance(here, dict):
        [(key, here)] = here.items()
        keys.append(key)
    return keys


def _step(here: Any, key: str, path: Sequence[str]) -> Any:
    if isinstance(here, list):
        return here[_number(here, key, path)]
    if not isinstance(here, dict):
        raise ValueError(f"{'.'.join(path)}: {'.'.join(path[:-1])} is no table, so nothing can be set in it")
    below = here.get(key)
    if below is None:
        below = here[key] = {}
    elif isinstance(below, str) and len(path) == 2 and path[0] == "design" and key in AXES:
        below = here[key] = {"strategy": below}
    return below


def _number(among: list[Any], key: str, path: Sequence[str]) -> int:
    if not key.isdecimal() or int(key) >= len(among):
        raise ValueError(f"{'.'.join(path)}: {key!r} is no number from 0 to {len(among) - 1}")
    return int(key)


def parse_setting(text: str) -> tuple[str, Any]:
    """`workload.clients=5` → (`workload.clients`, 5): the value as TOML reads it, else as text. Raises ValueError."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ValueError(f"--set {text}: expected KEY=VALUE, such as workload.clients=5")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


def short_names(paths: Sequence[str]) -> list[str]:
    """Each path's shortest suffix that no other path ends with."""

    def suffix(path: str, length: int) -> str:
        return ".".join(path.split(".")[-length:])

    names = []
    for path in paths:
        length = 1
        while any(suffix(other, length) == suffix(path, length) for other in paths if other != path):
            length += 1
        names.append(suffix(path, length))
    return names


def axes_of(vary: Mapping[str, Any], variants: Sequence[Table], file: str) -> list[Vary]:
    """The axes of the grid, variants first. Raises `SettingsError`."""
    problems = []
    vary = dict(_flat(vary))
    for path, values in vary.items():
        if not isinstance(values, list) or not values:
            problems.append(f'{file}: vary."{path}": expected a list of values, got {values!r}')
        elif len({shown(value) for value in values}) < len(values):
            problems.append(f'{file}: vary."{path}": a value is listed twice')
    if problems:
        raise SettingsError(problems)
    paths = list(vary)
    axes = [Vary(path, name, tuple(vary[path])) for path, name in zip(paths, short_names(paths), strict=True)]
    if variants:
        axes.insert(0, Vary("variant", "variant", tuple(variant["name"] for variant in variants)))
    return axes


def _flat(vary: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Axes by their dotted paths, written as one quoted key or as tables."""
    for key, value in vary.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def points_of(base: Table, axes: Sequence[Vary], variants: Iterable[Table], file: str) -> list[Point]:
    """All points, the last axis changing fastest. Raises `SettingsError`."""
    by_name = {variant["name"]: variant for variant in variants}
    points = []
    for values in itertools.product(*(axis.values for axis in axes)):
        table = copy.deepcopy(base)
        where = []
        for axis, value in zip(axes, values, strict=True):
            where.append((axis.name, shown(value)))
            if axis.path == "variant":
                sections = {key: section for key, section in by_name[value].items() if key != "name"}
                table.update(copy.deepcopy(sections))
                continue
            try:
                set_key(table, axis.path, copy.deepcopy(value))
            except ValueError as error:
                raise SettingsError([f"{file}: vary.{error}"]) from error
        points.append(Point(tuple(where), table))
    return points
