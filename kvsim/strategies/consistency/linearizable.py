"""Linearizability: every operation seems to happen at one instant between its invocation and its completion.

Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", TOPLAS 1990.
"""

from __future__ import annotations

from kvsim.core.axes import Consistency
from kvsim.core.guarantee import Level
from kvsim.core.operation import Absent, Found, Read


class Linearizable(Consistency):
    """Reads take the path on which no completed write is missed; what it costs depends on the replication."""

    level = Level.LINEARIZABLE

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_latest(op)
