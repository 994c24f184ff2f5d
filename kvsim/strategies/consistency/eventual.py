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
        yield consistency(cls.level, "a read may miss writes; without new ones the replicas come to agree")

    async def read(self, op: Read) -> Found | Absent:
        return await self.replication.read_any(op)
