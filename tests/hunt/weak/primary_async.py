"""An asynchronous primary that claims what only a synchronous one can: that acknowledged writes survive its crash."""

from collections.abc import Iterable

from kvsim.core.axes import Site
from kvsim.core.design import Design
from kvsim.core.guarantee import Promise, durability
from kvsim.strategies.replication.primary_backup.primary_backup import PrimaryBackup
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings


class ClaimsTooMuch(PrimaryBackup):
    """Answers when the primary has stored a write, and promises durability all the same."""

    def __init__(self, site: Site, settings: PrimaryBackupSettings) -> None:
        super().__init__(site, settings)
        self.is_sync = False

    @classmethod
    def usual_consistency(cls, settings: PrimaryBackupSettings) -> str:
        return "eventual"

    @classmethod
    def promises(cls, settings: PrimaryBackupSettings, design: Design) -> Iterable[Promise]:
        yield durability("an acknowledged write survives every crash", True)
