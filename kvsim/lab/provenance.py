"""All that decides a run's result beside its setup and seed: versions, kvsim's own sources, and files from outside."""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

import kvsim
from kvsim.lab.experiment import Setup
from kvsim.lab.files import data_files


@cache
def versions() -> dict[str, str]:
    """Of all that can change a run's result."""
    return {
        "kvsim": version("kvsim"),
        "sources": _sources_sha256(),
        "python": platform.python_version(),
        "msgspec": version("msgspec"),
        "networkx": version("networkx"),
        "simpy": version("simpy"),
    }


@cache
def _sources_sha256() -> str:
    """Over kvsim's own code, since whoever changes it rarely changes the version too."""
    home = Path(kvsim.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(file.relative_to(home).as_posix().encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def outside_strategies(setup: Setup) -> dict[str, dict[str, str]]:
    """Strategies that do not come with kvsim, by axis, with their files' hashes."""
    found: dict[str, dict[str, str]] = {}
    for axis, choice in setup.design.choices.items():
        module = sys.modules[choice.strategy.__module__]
        if module.__name__.split(".")[0] == "kvsim":
            continue
        file = getattr(module, "__file__", None)
        found[axis] = {"strategy": choice.name, "sha256": _sha256(Path(file)) if file else ""}
    return found


def outside_files(setup: Setup, folder: Path) -> dict[str, str]:
    """The data files that the setup names, such as a network's graph, with their hashes. Paths are relative to
    `folder`."""
    return {name: _sha256(path) for name, path in data_files(setup.table, folder).items()}


def key_of(setup: Setup, seed: int, measures: tuple[str, ...], traced: bool, folder: Path) -> str:
    """A hash of all that decides a run and what is kept of it: equal keys, equal results."""
    decides = {
        "tables": setup.table,
        "seed": seed,
        "measures": measures,
        "traced": traced,
        "versions": versions(),
        "strategies": outside_strategies(setup),
        "files": outside_files(setup, folder),
    }
    return hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
