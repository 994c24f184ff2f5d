"""Eventual consistency: without new writes, all replicas come to hold the same; until then a read may miss what was
written.

Vogels, "Eventually consistent", ACM Queue 2008.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvsim.core.axes import Consistency
from kvsim.core.design import Design
from kvsim.core.guarantee import Level, Promise, consistency
from kvsim.core.operation import Absent, Found, Read


class Eventual(Consistency):
    """Reads take the cheapest path, at any replica in turn."""

    level = Level.EVENTUAL
    any_replica = True

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        why = "a read may miss writes; without new ones the replicas come to agree"
        if design.durability == "memory" or design.setting("replication", "mode") == "async":
            # Readers that agree on an older value, or on absence, after a crash took the newest refute nothing here.
            yield Promise("consistency", f"eventual: {why}, but a write that a crash takes is missed for good")
        else:
            yield consistency(cls.level, why)

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_any(op)
