"""Planted bugs: a protocol's own source with one classic mistake, put into a copy and explored.

A patch changes the files of one protocol; its head tells the story and names the world in which to look for it. Hunks
are found by their text, not by line numbers, so that a patch fails loudly only when the lines it is about have changed.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from kvsim.core.message import SECOND
from kvsim.explore.explore import Exploration, explore
from kvsim.explore.scenario import Scenario, read_scenario
from kvsim.lab.experiment import Experiment
from kvsim.lab.hunt.target import read_target

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROTOCOLS = {"quorum": "Quorum", "primary_backup": "PrimaryBackup", "raft": "Raft"}
SOURCES = "kvsim/strategies/replication"


class Planted(NamedTuple):
    """One mistake."""

    path: Path
    protocol: str
    name: str
    story: str
    world: str
    """The file of `[explore]` beside the patch, without `.toml`."""
    hunks: list[tuple[str, str, str]]
    """(file, what stands there, what the mistake makes of it)"""


def read_patch(path: Path) -> Planted:
    """A patch with its story and world."""
    head, *files = re.split(r"^--- a/", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    world = re.search(r"^World: (\S+)$", head, re.MULTILINE)
    assert world is not None, f"{path.name} names no world"
    story = " ".join(head[: world.start()].split())
    hunks = []
    for part in files:
        file = part.split("\n", 1)[0].strip()
        for hunk in re.split(r"^@@.*@@.*\n", part, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines()
            old = "\n".join(line[1:] for line in lines if line[:1] in (" ", "-", ""))
            new = "\n".join(line[1:] for line in lines if line[:1] in (" ", "+", ""))
            hunks.append((file, old.rstrip("\n"), new.rstrip("\n")))
    return Planted(path, path.parent.name, path.stem, story, world[1], hunks)


def all_planted() -> list[Planted]:
    """Every mistake, protocol after protocol."""
    return [read_patch(path) for protocol in PROTOCOLS for path in sorted((HERE / protocol).glob("*.patch"))]


def world_of(protocol: str, world: str) -> dict[str, Any]:
    """The tables of a world."""
    return tomllib.loads((HERE / protocol / f"{world}.toml").read_text(encoding="utf-8"))


def sound(protocol: str, world: str) -> Scenario:
    """A world with the protocol as it is."""
    return read_scenario(world_of(protocol, world), f"{world}.toml")


def plant(bug: Planted, into: Path) -> str:
    """Write the protocol that makes the mistake into a folder; gives its strategy as a design names it."""
    package = f"planted_{bug.protocol}_{bug.name}"
    source = ROOT / SOURCES / bug.protocol
    if source.is_dir():
        shutil.copytree(source, into / package, ignore=shutil.ignore_patterns("__pycache__"))
        files = {path.name: path for path in (into / package).glob("*.py")}
    else:
        shutil.copy(source.with_suffix(".py"), into / f"{package}.py")
        files = {f"{bug.protocol}.py": into / f"{package}.py"}
    for file, old, new in bug.hunks:
        path = files[file.removeprefix(f"{SOURCES}/").removeprefix(f"{bug.protocol}/")]
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{bug.path.name}: what it changes in {file} has changed; make the patch anew"
        path.write_text(text.replace(old, new), encoding="utf-8")
    for path in files.values():
        text = path.read_text(encoding="utf-8")
        text = re.sub(rf"kvsim\.strategies\.replication\.{bug.protocol}\b", package, text)
        path.write_text(text, encoding="utf-8")
    strategy = PROTOCOLS[bug.protocol]
    (into / f"{bug.name}.py").write_text(f'"""{bug.name}"""\nfrom {package} import {strategy}\n', encoding="utf-8")
    if str(into) not in sys.path:
        sys.path.insert(0, str(into))
    return f"{bug.name}.py:{strategy}"


def explored(bug: Planted, into: Path) -> Scenario:
    """The world of a mistake, to be explored; its sources lie in `into`."""
    table = world_of(bug.protocol, bug.world)
    table["design"]["replication"]["strategy"] = plant(bug, into)
    return read_scenario(table, f"{bug.name}.toml", into)


def hunted(bug: Planted, into: Path) -> Experiment:
    """The mistake as its author would hunt it: `kvsim hunt FILE.py:CLASS`, with the settings of its world."""
    settings = []
    for axis, choice in world_of(bug.protocol, bug.world)["design"].items():
        if axis in ("replication", "consistency", "conflict"):
            given = choice if isinstance(choice, dict) else {"strategy": choice}
            kept = {key: value for key, value in given.items() if (axis, key) != ("replication", "strategy")}
            settings += [f"design.{axis}.{key}={json.dumps(value)}" for key, value in kept.items()]
    return read_target(str(into / plant(bug, into)), settings)


def look_for(bug: Planted, into: Path, limit_s: float = 60.0) -> Exploration:
    """Explore the mistake for so many seconds of a core."""
    return explore(explored(bug, into), round(limit_s * SECOND), clock=time.process_time)


def worlds() -> list[tuple[str, str]]:
    """Every world, as (protocol, name)."""
    return [(protocol, path.stem) for protocol in PROTOCOLS for path in sorted((HERE / protocol).glob("*.toml"))]
