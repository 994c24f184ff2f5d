"""Small worlds for the tests of exploration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from kvsim.explore.scenario import Scenario, read_scenario

QUORUM = {"strategy": "quorum", "n": 3, "r": 2, "w": 2}

EARLY = '''
"""Quorum replication that answers before its disk."""
from kvsim.core.node import answers
from kvsim.core.replica import Change
from kvsim.strategies.replication.quorum import Quorum, Store, Stored


class Early(Quorum):
    """Answers too early."""

    @classmethod
    def invariants(cls, settings, design, cluster):
        return None  # the judges of histories are to find it

    @answers(Store)
    async def store(self, sender, m):
        self.site.clock.saw(m.version)
        _ = self.replica.apply(Change(m.request, m.key, m.value, m.version))
        return Stored(m.version)
'''


def quorum(*operations: str, folder: Path | None = None, **explore: Any) -> Scenario:
    """Three nodes; where a folder is given, they answer too early."""
    replication: dict[str, Any] = dict(QUORUM)
    if folder is not None:
        (folder / "early.py").write_text(EARLY, encoding="utf-8")
        replication["strategy"] = "early.py:Early"
    table = {
        "design": {"topology": "peer_to_peer", "partitioning": "modulo", "replication": replication},
        "explore": {"operations": list(operations or ["c1: put x=1 at node-1"]), **explore},
    }
    return read_scenario(table, "quorum.toml", folder)


def single(*operations: str, **explore: Any) -> Scenario:
    """One node that holds everything."""
    table = {
        "design": {"topology": "peer_to_peer", "replication": "single_copy"},
        "cluster": {"nodes": 1},
        "explore": {"operations": list(operations), **explore},
    }
    return read_scenario(table, "single.toml")


def two_owners(*operations: str, **explore: Any) -> Scenario:
    """Two nodes that hold a key each, z at node-1 and x at node-2, and have nothing to do with each other."""
    table = {
        "design": {"topology": "peer_to_peer", "partitioning": "modulo", "replication": "single_copy"},
        "cluster": {"nodes": 2},
        "explore": {"operations": list(operations), **explore},
    }
    return read_scenario(table, "owners.toml")


WHOLE = Path(__file__).parent / "whole"
"""Worlds of the correct protocols that can be seen whole."""


def whole_names() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in WHOLE.glob("*.toml"))


def whole(name: str) -> Scenario:
    """One of them."""
    table = tomllib.loads((WHOLE / f"{name}.toml").read_text(encoding="utf-8"))
    return read_scenario(table, f"{name}.toml")
