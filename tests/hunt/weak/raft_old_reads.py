"""A Raft leader that answers reads at once: one that was replaced without knowing it shows old values."""

from kvsim.core.operation import Absent, Found, Read
from kvsim.strategies.replication.raft.raft import Raft


class ReadsAtOnce(Raft):
    """Raft without a read index."""

    async def read_latest(self, op: Read) -> Found | Absent:
        self.must_lead()
        record = self.replica.get(op.key)
        return Absent() if record is None or record.value is None else Found(record.value, record.version)
