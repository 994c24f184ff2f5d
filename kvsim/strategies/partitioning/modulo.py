"""Modulo partitioning: a key's hash, modulo the number of nodes, is its owner; the next nodes hold the copies.

The plainest way to spread keys, and the dearest to grow: one node more moves almost every key.
"""

from __future__ import annotations

from typing import Any

from kvsim.core.axes import Partitioning
from kvsim.core.message import NodeId
from kvsim.core.operation import Key
from kvsim.core.placing import position


class Modulo(Partitioning):
    """Owner = hash(key) mod nodes; the copies lie on the nodes that follow."""

    def __init__(self, settings: Any, members: tuple[NodeId, ...]) -> None:
        super().__init__(settings, members)
        self._count = len(members)

    def preference_list(self, key: Key, n: int) -> tuple[NodeId, ...]:
        owner = position(key) % self._count
        return tuple(self.members[(owner + step) % self._count] for step in range(min(n, self._count)))
