"""Linearizability: every operation seems to happen at one instant between its invocation and its completion.

Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", TOPLAS 1990.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvsim.core.axes import Consistency
from kvsim.core.design import Design
from kvsim.core.guarantee import Level, Promise, consistency
from kvsim.core.operation import Absent, Found, Read


class Linearizable(Consistency):
    """Reads take the path on which no completed write is missed; what it costs depends on the replication."""

    level = Level.LINEARIZABLE

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        claim = "each operation on a key seems to happen at one instant while it runs"
        if design.durability == "memory":
            claim += ", as long as no node crashes and forgets what it holds"
        yield consistency(cls.level, claim)

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_latest(op)
