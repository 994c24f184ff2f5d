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
from kvsim.lab.hunt.scenes import Aim, draw_scenes, events_of
from kvsim.lab.nemesis import drawn, roles_of
from kvsim.sim.nemesis import NemesisSettings, Whom

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
STICKY = "stick to one coordinator"
"""In the promise of a design whose coordinators alone know what they did already."""
STOPPING = ("crash", "zone_outage", "disk_lost", "failing_sync", "disk_full", "flipped_bits", "rolling_restart")
"""Faults after which a node has forgotten something."""
DRAWN_KEYS = (
    "rate",
    "clients",
    "think_time",
    "keys",
    "mix",
    "duration",
    "warm_up",
    "value_size",
    "script",
    "retries",
    "retry_at",
)
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
    faults = _faults(case.setup(), nemesis, seed)
    if tables["workload"].get("retries") and _is_sticky(setup):
        faults = [fault for fault in faults if not _stops_a_door(fault, setup)]
    return case.with_faults(faults)


def _faults(setup: Setup, nemesis: NemesisSettings, seed: int) -> list[Table]:
    """What the nemesis draws; every other time scenes, unless the file says which faults it wants."""
    if nemesis.kinds or seed % 2 == 0:
        return drawn(setup, nemesis, seed)
    whom = Whom(Chance(seed, "scenes"), setup.cluster, roles_of(setup))
    until_ns = nemesis.healed_from_ns(setup.workload.duration_ns)
    return draw_scenes(whom, Aim(seed, events_of(setup.design)), until_ns, retries=setup.workload.retries > 0)


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
        **_retries(setup, chance),
    }


def _retries(setup: Setup, chance: Chance) -> Table:
    """Whether clients send again, as far as the design promises that this is harmless; they are not patient then."""
    retries, retry_at = chance.pick([0, 1, 2]), chance.pick(["same", "next"])
    if (
        not retries
        or {"timeout", "timeout_ns"} & setup.table.get("workload", {}).keys()
        or not any(p.subject == "retries" for p in setup.design.promises())
    ):
        return {}
    if not _is_sticky(setup):
        return {"retries": retries, "retry_at": retry_at, "timeout": "300ms"}
    coordinates_itself = setup.design.setting("topology", "coordinator") == "frontend"
    return {"retries": retries, "timeout": "300ms"} if coordinates_itself else {}


def _is_sticky(setup: Setup) -> bool:
    """Whether a retried operation is applied once only while the same coordinator, in the same life, gets it."""
    return any(p.subject == "retries" and STICKY in p.claim for p in setup.design.promises())


def _stops_a_door(fault: Table, setup: Setup) -> bool:
    aimed = {fault.get("node"), *fault.get("nodes", ())}
    return fault["kind"] in STOPPING and not aimed <= set(setup.cluster.data)


def _machines(setup: Setup, chance: Chance) -> Table:
    """The file's machines; where it says nothing of their disks, some are slow, so that crashes meet unsynced data."""
    given: Table = dict(setup.table.get("machines", {}))
    if "disk" not in given:
        given["disk"] = {"sync": chance.pick(["200us", "5ms", "20ms", "50ms"]), "torn": chance.happens(0.5)}
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
