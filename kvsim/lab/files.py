"""The files that an experiment names: networks, measured times, strategies. Their paths are relative to its own file.

A run's folder has copies of them, so that the run can be repeated from its folder alone, wherever that is moved.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvsim.core.design import AXES
from kvsim.lab.grid import Table

COPIES = "files"
"""The folder of the copies, in a run's folder."""
GRAPHS = (".graphml", ".csv")

Rename = Callable[[str], str]


def located(tables: Table, folder: Path) -> Table:
    """The tables with data files by their absolute paths, as the simulated world reads them."""
    return _renamed(tables, lambda file: str((folder / file).resolve()))


def data_files(tables: Table, folder: Path) -> dict[str, Path]:
    """The data files that there are, by the names that the tables give them."""
    found: dict[str, Path] = {}

    def note(file: str) -> str:
        if (folder / file).is_file():
            found[file] = folder / file
        return file

    _renamed(tables, note)
    return dict(sorted(found.items()))


def copy_all(tables: Table, home: Path, folder: Path) -> tuple[Table, dict[str, str]]:
    """Copy all files that the tables name into this folder; gives the tables that name the copies, and the new names by
    the old ones. `home`: what the paths are relative to."""
    names: dict[str, str] = {}

    def copied(file: str) -> str:
        if file not in names:
            source = home / file
            path = folder / COPIES / source.name
            if path.exists() and path.read_bytes() != source.read_bytes():  # of two files of one name in two folders
                digest = hashlib.blake2b(file.encode(), digest_size=4).hexdigest()
                path = path.with_name(f"{source.stem}_{digest}{source.suffix}")
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, path)
            names[file] = path.relative_to(folder).as_posix()
        return names[file]

    def copied_strategy(name: str) -> str:
        file, colon, kind = name.rpartition(":")
        if file.endswith(".py"):
            names[name] = copied(file) + colon + kind
        return names.get(name, name)

    return _renamed(tables, copied, copied_strategy), names


def from_here(key: str, value: Any) -> Any:
    """The value of a key that was set on the command line, where a file's name is relative to the working directory."""
    here: Rename = lambda file: str(Path.cwd() / file) if (Path.cwd() / file).is_file() else file  # noqa: E731
    section, _, rest = key.partition(".")
    if key == "network.graph":
        return _renamed({"network": {"graph": value}}, here)["network"]["graph"]
    if section in ("network", "machines"):
        return here(value) if rest.endswith(".file") and isinstance(value, str) else _with_times(value, here)
    return value


def _renamed(tables: Table, data: Rename, strategy: Rename = lambda name: name) -> Table:
    """The tables with all names of files changed."""
    found = dict(tables)
    for section in ("network", "machines"):
        if section in found:
            found[section] = _with_times(found[section], data)
    graph = found["network"].get("graph") if isinstance(found.get("network"), Mapping) else None
    if isinstance(graph, str) and graph.endswith(GRAPHS):
        found["network"] = {**found["network"], "graph": data(graph)}
    if isinstance(found.get("design"), Mapping):
        design = found["design"]
        found["design"] = {key: _with_strategy(part, strategy) if key in AXES else part for key, part in design.items()}
    return found


def _with_times(part: Any, data: Rename) -> Any:
    """Measured times are named by a file wherever a distribution may stand."""
    if isinstance(part, Mapping):
        same = {key: _with_times(inner, data) for key, inner in part.items()}
        if part.get("distribution") == "empirical" and isinstance(part.get("file"), str):
            same["file"] = data(part["file"])
        return same
    return [_with_times(inner, data) for inner in part] if isinstance(part, list | tuple) else part


def _with_strategy(part: Any, strategy: Rename) -> Any:
    if isinstance(part, str):
        return strategy(part)
    if isinstance(part, Mapping) and isinstance(part.get("strategy"), str):
        return {**part, "strategy": strategy(part["strategy"])}
    return part
