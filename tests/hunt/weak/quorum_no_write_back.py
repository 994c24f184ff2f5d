"""A quorum that claims to be linearizable, but shows what it read without making sure that later reads find it too."""

from kvsim.core.operation import Absent, Found, Read
from kvsim.strategies.replication.quorum import Quorum


class NoWriteBack(Quorum):
    """Quorum replication whose reads do not write back."""

    async def read_latest(self, op: Read) -> Found | Absent:
        newest, _ = await self._newest(op.key, self._deadline_ns())
        return Absent() if newest.value is None else Found(newest.value, newest.version)
