"""A replication for tests of forwarding: the test says who leads, and the others name whom they believe to lead."""

from __future__ import annotations

from typing import Any, ClassVar

from kvsim.core.axes import Replication
from kvsim.core.operation import Absent, Elsewhere, Found, OutcomeUnknown, Put, Read, Unavailable, Write, Written
from kvsim.core.version import Version
from kvsim.core.waiting import Future


class Leader(Replication):
    """The node that `believed` names for itself leads."""

    believed: ClassVar[dict[str, str]] = {}
    done: ClassVar[list[str]] = []
    outcome_unknown: ClassVar[bool] = False
    slow_readers: ClassVar[tuple[str, ...]] = ()
    """Nodes that come to no answer for a read."""

    @classmethod
    def copies(cls, settings: Any, nodes: int) -> int:
        return nodes

    async def write(self, op: Write) -> Written:
        self._must_lead()
        assert isinstance(op, Put)
        if self.outcome_unknown:
            raise OutcomeUnknown("too few answers")
        self.done.append(f"{self.host.id} {op.value.decode()}")
        return Written(Version(1))

    async def read_latest(self, op: Read) -> Found | Absent:
        self._must_lead()
        if self.host.id in self.slow_readers:
            await Future()
        return Absent()

    def _must_lead(self) -> None:
        leader = self.believed.get(self.host.id)
        if leader is None:
            raise Unavailable("an election is on")
        if leader != self.host.id:
            raise Elsewhere("not the leader", leader)
