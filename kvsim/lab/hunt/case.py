"""A case: all that decides one run of a hunt, as data that can be cut; and the cases that an experiment gives."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kvsim.core.chance import Chance
from kvsim.core.history import History, operations
from kvsim.core.message import MILLISECOND, Nanoseconds
from kvsim.lab.experiment import Experiment, Setup, read_setup
from kvsim.lab.grid import Table
from kvsim.lab.nemesis import drawn
from kvsim.sim.nemesis import NemesisSettings

PLAIN_MIXES: tuple[Table, ...] = (
    {"read": 0.5, "put": 0.5},
    {"read": 0.8, "put": 0.2},
    {"read": 0.95, "put": 0.05},
    {"read": 0.2, "put": 0.8},
    {"read": 0.5, "put": 0.4, "remove": 0.1},
    {"read": 0.3, "put": 0.2, "insert": 0.5},
    {"read": 0.2, "insert": 0.8},
)
"""With inserts many keys are written once, and no later write hides that one was lost."""
CONDITIONAL_MIXES: tuple[Table, ...] = (
    {"read": 0.4, "put": 0.3, "cas": 0.2, "delete": 0.1},
    {"read": 0.4, "put": 0.2, "create": 0.1, "update_if_present": 0.1, "cas": 0.1, "delete": 0.1},
)
"""For designs that promise to judge conditions atomically."""
DRAWN_KEYS = ("rate", "clients", "think_time", "keys", "mix", "duration", "warm_up", "value_size", "script")
"""What a hunt draws of a workload; all else stays as the file has it."""


class Case(NamedTuple):
    """One run, as data."""

    tables: Table
    """The sections of an experiment's file."""
    seed: int
    path: Path
    """The file, real or not, that the tables are from: files that they name lie beside it."""

    def setup(self) -> Setup:
        """Read the tables. Raises `SettingsError`."""
        return read_setup((), self.tables, self.path)

    def changed(self, section: str, **keys: Any) -> Case:
        """With these keys of a section set."""
        return self._replace(tables={**self.tables, section: {**self.tables.get(section, {}), **keys}})

    def with_faults(self, faults: list[Table]) -> Case:
        """With these faults in place of its own."""
        return self._replace(tables={**self.tables, "faults": faults})

    def with_script(self, script: list[Table]) -> Case:
        """With these operations in place of its own."""
        return self.changed("workload", script=script)

    @property
    def faults(self) -> list[Table]:
        """The tables of its faults."""
        return list(self.tables.get("faults", []))

    @property
    def script(self) -> list[Table]:
        """Its operations, where they are data already."""
        return list(self.tables.get("workload", {}).get("script", []))


def draw_case(experiment: Experiment, seed: int) -> Case:
    """The case of this seed: one of the experiment's points, a small workload, and a schedule of faults."""
    chance = Chance(seed, "hunt")
    setup = chance.pick(experiment.setups)
    tables = copy.deepcopy(dict(setup.table))
    tables.pop("nemesis", None)
    tables["faults"] = []
    nemesis = setup.nemesis or NemesisSettings()
    tables["workload"] = _workload(setup, chance, nemesis)
    tables["machines"] = _machines(setup, chance)
    case = Case(tables, seed, experiment.path)
    return case.with_faults(drawn(case.setup(), nemesis, seed))


def _workload(setup: Setup, chance: Chance, nemesis: NemesisSettings) -> Table:
    """A small variation of the file's workload: few keys, so that operations meet; few clients, at a human pace."""
    given: Table = dict(setup.table.get("workload", {}))
    kept = {key: given[key] for key in given if key.removesuffix("_ns").removesuffix("_bytes") not in DRAWN_KEYS}
    hurt_ns = chance.between(500, 3_000) * MILLISECOND
    if not {"timeout", "timeout_ns"} & given.keys() and chance.happens(0.5):
        kept["timeout"] = "500ms"
    return {
        **kept,
        "mix": _mix(setup, chance),
        "keys": {"distribution": "uniform", "count": chance.pick([1, 1, 2, 3, 5, 10])},
        "clients": chance.between(2, 6),
        "think_time": chance.pick(["5ms", "20ms", "50ms", "100ms"]),
        "value_size": "8B",
        "duration_ns": hurt_ns + nemesis.healed_ns,
    }


def _machines(setup: Setup, chance: Chance) -> Table:
    """The file's machines; where it says nothing of their disks, some are slow, so that crashes meet unsynced data."""
    given: Table = dict(setup.table.get("machines", {}))
    if "disk" not in given:
        given["disk"] = {"sync": chance.pick(["200us", "5ms", "50ms"]), "torn": chance.happens(0.5)}
    return given


def _mix(setup: Setup, chance: Chance) -> Any:
    """The file's own mix, if it has one, every other time."""
    given = setup.table.get("workload", {}).get("mix")
    if setup.design.setting("storage", "written", "many") == "once":
        return given or {"read": 0.5, "create": 0.5}
    if given is not None and chance.happens(0.5):
        return given
    claims = [p.claim for p in setup.design.promises() if p.subject == "conditional operations"]
    is_atomic = any(claim.startswith("atomic") for claim in claims)
    return dict(chance.pick(PLAIN_MIXES + CONDITIONAL_MIXES if is_atomic else PLAIN_MIXES))


def script_of(history: History, sent: Mapping[int, tuple[str, str]], workload_ns: Nanoseconds) -> list[Table]:
    """The operations that the workload's clients issued, as a script that issues them again."""
    script = []
    for o in operations(history):
        client, door = sent.get(o.invoked, ("", ""))
        if not client.startswith("client-"):
            continue
        step: Table = {"client": client, "at_ns": o.invoked_ns - workload_ns, "op": o.op, "key": o.key, "door": door}
        if o.op == "scan":
            step["limit"] = o.value["limit"]
        elif o.value is not None:
            step["value"] = o.value
        if o.expected is not None:
            step["expected"] = o.expected
        script.append(step)
    return script
