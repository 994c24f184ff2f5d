"""A journal: records at the end of a file, each there whole or not at all after a crash, many made durable by one sync.

A record is its length, the CRC-32 of the length and that of its bytes (four bytes each, big-endian), then its bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable

from kvsim.core.host import Disk
from kvsim.core.waiting import Future

_HEADER = struct.Struct(">III")
_LENGTH = struct.Struct(">I")


class CorruptJournal(Exception):
    """A record in the middle of a journal is damaged; what follows cannot be trusted, so the node must not start."""


def framed(payload: bytes) -> bytes:
    """A record as it lies on the disk."""
    length = len(payload)
    return _HEADER.pack(length, zlib.crc32(_LENGTH.pack(length)), zlib.crc32(payload)) + payload


def records_of(file: str, data: bytes) -> tuple[list[bytes], int]:
    """The records of a file, and the length in bytes of its sound part.

    A damaged last record is a torn write, which nobody was promised: it is cut, with the zeros that a file system may
    show behind it. Damage before the end raises `CorruptJournal`.
    """
    records: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, length_checksum, checksum = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size
        # A length that is damaged may point anywhere, so it has a checksum of its own: only a sound one can say that
        # the record was cut short.
        is_length_sound = zlib.crc32(_LENGTH.pack(length)) == length_checksum
        end = begin + length if is_length_sound else begin
        payload = data[begin:end]
        if not is_length_sound or len(payload) < length or zlib.crc32(payload) != checksum:
            if data[end:].strip(b"\0"):
                raise CorruptJournal(
                    f"{file}: the record at byte {at} is damaged and others follow it; restore the file from a copy, "
                    "or delete this node's data and let it copy from its peers"
                )
            break
        records.append(payload)
        at = end
    return records, at


class Journal:
    """Appends records to one file and says when they are durable.

    While one sync runs, what comes meanwhile shares the next.
    """

    def __init__(self, disk: Disk, file: str, failed: Callable[[Exception], None]) -> None:
        self.disk = disk
        self.file = file
        self.length_bytes = 0
        self._failed = failed
        self._waiting: list[Future[None]] = []
        self._syncing = False

    def recover(self, data: bytes) -> list[bytes]:
        """The records that the file kept. Cuts a torn tail from the disk, so that new records follow sound ones."""
        records, sound = records_of(self.file, data)
        self.length_bytes = sound
        if sound < len(data):
            self.disk.replace(self.file, data[:sound]).when_done(self._check)
        return records

    def append(self, payload: bytes) -> Future[None]:
        """Write a record; the future completes when it will outlive a crash."""
        record = framed(payload)
        self.length_bytes += len(record)
        self.disk.append(self.file, record).when_done(self._check)
        durable: Future[None] = Future()
        self._waiting.append(durable)
        if not self._syncing:
            self._sync()
        return durable

    def rewrite(self, payloads: Iterable[bytes]) -> Future[None]:
        """Put these records in the place of all: the whole file at once, durably."""
        data = b"".join(map(framed, payloads))
        self.length_bytes = len(data)
        done = self.disk.replace(self.file, data)
        done.when_done(self._check)
        return done

    def _sync(self) -> None:
        self._syncing = True
        covered, self._waiting = self._waiting, []

        def synced(result: Future[None]) -> None:
            self._syncing = False
            if result.error is not None:
                self._failed(result.error)  # never retried: after a failed sync the kernel may have dropped the pages
                return
            for future in covered:
                future.complete(None)
            if self._waiting:
                self._sync()

        self.disk.sync(self.file).when_done(synced)

    def _check(self, result: Future[None]) -> None:
        if result.error is not None:
            self._failed(result.error)
