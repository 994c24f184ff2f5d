"""What whole runs show of any strategy: one seed gives one run, and a hunt refutes none of the design's promises."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

from kvsim.core.settings import SettingsError
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.hunt.hunting import hunt_one
from kvsim.lab.hunt.same_twice import first_difference
from kvsim.strategies.catalogue import BUILT_IN
from kvsim.testing.contract import played, refuse
from kvsim.testing.source_rules import breaches
from kvsim.testing.subject import Subject

DIFFERS = "draw from self.host.chance, ask self.host.now(), use dict or sorted(), keep no state in modules and classes"


def its_source_asks_the_host_alone(subject: Subject) -> None:
    """Its code asks nothing but its host for time, chance, files and other nodes, and walks no set."""
    for file in _files(subject):
        for breach in breaches(file.read_text(encoding="utf-8")):
            refuse(f"{file.name}, line {breach.line}: it {breach.what}", breach.remedy)


def _files(subject: Subject) -> list[Path]:
    """The files of the class and its bases, and of the messages it brings: those that are kvsim's own included, but for
    its core, which may do what it forbids."""
    owners: list[Any] = [*subject.strategy.__mro__, *subject.own_kinds()]
    modules = dict.fromkeys(sys.modules[owner.__module__] for owner in owners if owner is not object)
    found = {inspect.getsourcefile(m): None for m in modules if not m.__name__.startswith(("kvsim.core", "msgspec"))}
    return [Path(file) for file in found if file is not None]


@played
def one_seed_gives_one_run(subject: Subject) -> None:
    """The same seed gives the same trace, byte for byte: twice here, and once in another process with another
    PYTHONHASHSEED."""
    try:
        difference = first_difference(draw_case(subject.experiment(), 0))
    except subprocess.CalledProcessError:
        refuse("it cannot be run in another process", "keep the strategy in a file or an installed package of its own")
    if difference:
        refuse(difference, DIFFERS)


@played
def a_hunt_refutes_nothing(subject: Subject) -> None:
    """What its design promises survives a bounded hunt: drawn workloads under crashes, partitions, loss and delay."""
    hunted(subject, subject.hunt_runs)


@played
def a_hunt_beside_every_replication_refutes_nothing(subject: Subject) -> None:
    """Beside every replication that it accepts, what their design promises survives a bounded hunt."""
    accepted = []
    for name in BUILT_IN["replication"]:
        try:
            subject.design(replication=name)
        except SettingsError:
            continue
        accepted.append(name)
    if not accepted:
        refuse("no replication that comes with kvsim is accepted beside it", "see what refusals() yields")
    for name in accepted:
        hunted(subject, max(1, subject.hunt_runs // len(accepted)), replication=name)


def hunted(subject: Subject, runs: int, **others: Any) -> None:
    """Hunt so many seeds. Raises `ContractBroken` with the first refutation and how to see it again."""
    experiment = subject.experiment(**others)
    for seed in range(runs):
        found = hunt_one(experiment, seed)
        for kind, sentence in found.refuted.items():
            again = subject.again(seed, **others)
            refuse(f"{kind.partition(':')[0]} refuted in run {seed}: {sentence}", f"see the story of it: {again}")
