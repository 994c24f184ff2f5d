"""Primary-backup, a file an idea: settings and promises, views, the view service, members, backups, the strategy."""

from kvsim.strategies.replication.primary_backup.primary_backup import PrimaryBackup

__all__ = ["PrimaryBackup"]
