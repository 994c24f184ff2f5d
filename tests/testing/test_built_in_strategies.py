"""Every strategy that comes with kvsim keeps the contract of its axis, in its settings that change what it does too."""

from __future__ import annotations

from typing import Any

import pytest

import kvsim.testing
from kvsim.core.design import AXES
from kvsim.strategies.catalogue import BUILT_IN
from kvsim.testing.suites import OF_AXIS

HUNT_RUNS = 2
"""Whole hunts of them are in tests/hunt."""
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("topology", "client_server", {"coordinator": "frontend"}),
    ("replication", "quorum", {"r": 1, "w": 1}),
    ("replication", "primary_backup", {"mode": "async"}),
    ("replication", "raft", {"reads": "follower"}),
    ("partitioning", "consistent_hashing", {"vnodes": 256}),
    ("storage", "objects", {"written": "once", "design": {"replication": "single_copy"}}),
    ("conflict", "last_writer_wins", {"clock": "wall"}),
]
CASES = [*((axis, name, {}) for axis, names in BUILT_IN.items() for name in names), *VARIANTS]


@pytest.mark.parametrize(("axis", "name", "settings"), CASES, ids=lambda part: str(part) if part else "")
def test_a_built_in_strategy_keeps_the_contract(axis: str, name: str, settings: dict[str, Any]) -> None:
    getattr(kvsim.testing, f"check_{axis}")(name, hunt_runs=HUNT_RUNS, **settings)


def test_each_axis_with_strategies_has_a_suite() -> None:
    assert {axis for axis in AXES if BUILT_IN.get(axis)} <= set(OF_AXIS)
    assert {f"check_{axis}" for axis in OF_AXIS} == {
        name for name in kvsim.testing.__all__ if name.startswith("check_")
    } - {"check_host"}
