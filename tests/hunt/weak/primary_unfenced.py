"""A primary that believes in itself: it reads without a lease, so an old one that was cut off shows old values."""

from kvsim.core.operation import Unavailable
from kvsim.core.replica import Record
from kvsim.strategies.replication.primary_backup.primary_backup import PrimaryBackup


class BelievesInItself(PrimaryBackup):
    """Primary-backup whose reads do not make sure that no newer primary serves."""

    async def _vouch_for(self, record: Record | None) -> None:
        if record is not None and not await self.committed(record.version.counter):
            raise Unavailable("what the key holds is not yet stored by all members of the view")
        self.must_lead()
