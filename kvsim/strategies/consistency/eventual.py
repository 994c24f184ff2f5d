"""Eventual consistency: without new writes, all replicas come to hold the same; until then a read may miss what was
written.

Vogels, "Eventually consistent", ACM Queue 2008.
"""

from __future__ import annotations

from kvsim.core.axes import Consistency
from kvsim.core.guarantee import Level
from kvsim.core.operation import Absent, Found, Read


class Eventual(Consistency):
    """Reads take the cheapest path, at any replica in turn."""

    level = Level.EVENTUAL
    any_replica = True

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_any(op)
