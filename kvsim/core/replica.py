"""One replica's data: a dictionary of records, the session table of requests done, and their journal on the disk.

A change is applied in memory at once and vouched for later: an answer that rests on it awaits the future that `apply`
returns.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal, Protocol

import msgspec

from kvsim.core.host import Disk, Recovered
from kvsim.core.journal import Journal
from kvsim.core.operation import (
    AlreadyExists,
    CompareAndSet,
    Create,
    Delete,
    Key,
    Mismatch,
    NotFound,
    Remove,
    RequestId,
    Unavailable,
    Update,
    Value,
    Write,
    Written,
    WrittenOnce,
)
from kvsim.core.recent import forget_oldest
from kvsim.core.trace import Event
from kvsim.core.version import Version
from kvsim.core.waiting import Future, completed

JOURNAL_FILE = "replica.journal"
NO_REQUEST = RequestId("", 0)
COMPACT_FROM_BYTES = 4 * 1_048_576
SESSIONS_KEPT = 65_536
"""Requests remembered for their retries; older ones are forgotten first."""
SESSION_BYTES = 64
"""About what a row of the session table takes."""

Durability = Literal["memory", "disk"]
HowOften = Literal["many", "once"]


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a key holds. A value of None is a tombstone: deleted, with the version of the deletion."""

    value: Value | None
    version: Version


class Change(msgspec.Struct, frozen=True, array_like=True, tag="change", gc=False):
    """A decided change of one key, as replicas and disks keep it.

    Request number 0: no client's request (a repair, a snapshot).
    """

    request: RequestId
    key: Key
    value: Value | None
    version: Version
    existed: bool | None = None


class Known(msgspec.Struct, frozen=True, array_like=True, tag="known", gc=False):
    """A request that was done, and its result: a row of the session table in a snapshot."""

    request: RequestId
    result: Written


class Applied(Event, tag="replica.applied"):
    """A client's request changed what the key holds here."""

    request: str
    key: str
    version: str


class Replaced(Event, tag="replica.replaced"):
    """Another replica's snapshot took the place of all that was here."""


class ConflictRule(Protocol):
    """Which of two records of a key stays."""

    def newer(self, mine: Record, theirs: Record) -> bool:
        """Whether theirs replaces mine."""


class Ordered:
    """The rule where the protocol itself orders all changes of a key: the one that comes stays."""

    def newer(self, mine: Record, theirs: Record) -> bool:
        """Always."""
        return True


class Replica:
    """The data of one node.

    `conflict` decides between records of one key; `written` says whether a key may change ("many", WMRM) or not
    ("once", WORM); `durability` whether a change is vouched for when it is in memory or when it is on the disk.
    """

    def __init__(
        self,
        disk: Disk,
        conflict: ConflictRule,
        durability: Durability,
        written: HowOften,
        failed: Callable[[Exception], None],
    ) -> None:
        self.records: dict[Key, Record] = {}
        self.sessions: dict[RequestId, Written] = {}
        self.conflict = conflict
        self.durability = durability
        self.written = written
        self.disk = disk
        self.journal = Journal(disk, JOURNAL_FILE, failed)
        self._unsynced: dict[Key, Future[None]] = {}
        self._sorted: list[Key] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._live_bytes = 0
        self.heard: Callable[[Event], None] | None = None
        """Told what takes effect here; None where nobody wants to know."""

    def start(self, recovered: Recovered) -> None:
        """Take over what the disk kept."""
        decode = msgspec.msgpack.Decoder(Change | Known).decode
        for payload in self.journal.recover(recovered.files.get(JOURNAL_FILE, b"")):
            self._keep(decode(payload))

    def get(self, key: Key) -> Record | None:
        """What the key holds here now, on the disk or not; None if it was never written here.

        A tombstone is a record.
        """
        return self.records.get(key)

    def settled(self, key: Key) -> Future[None] | None:
        """What an answer that shows this key's record must await; None when it is durable already."""
        return self._unsynced.get(key)

    def known(self, request: RequestId) -> Written | None:
        """The result of this request, if it was done here before; a retry is answered with it."""
        return self.sessions.get(request)

    def judge(self, op: Write) -> bool:
        """Whether the key holds a value before `op`.

        Raises if the operation's condition does not hold, with nothing done.
        """
        return judge(op, self.records.get(op.key), self.written)

    def apply(self, change: Change) -> Future[None]:
        """Take a change, if the conflict rule prefers it to what is there.

        The future: it is as durable as the design states. Raises `Unavailable`, with nothing done, when the disk is
        nearly full: refusing early leaves room to start again and to compact.
        """
        if self.durability == "disk" and self.disk.full():
            raise Unavailable("the disk is nearly full; make room, and the node takes writes again")
        before = self.records.get(change.key)
        if not self._keep(change):
            return self._unsynced.get(change.key) or completed(None)
        if self.heard is not None and change.request.number and (before is None or before.version != change.version):
            self.heard(Applied(str(change.request), change.key.decode(errors="replace"), str(change.version)))
        if self.durability == "memory":
            return completed(None)
        payload = self._encode(change)
        durable = self.journal.append(payload)
        self._unsynced[change.key] = durable
        durable.when_done(lambda done: self._settle(change.key, done))
        if self.journal.length_bytes > max(COMPACT_FROM_BYTES, 4 * self._live_bytes):
            _ = self.compact()
        return durable

    def range(self, start: Key, end: Key | None, limit: int) -> list[tuple[Key, Record]]:
        """Up to `limit` keys from `start` on, before `end`, in order; tombstones among them."""
        if len(self._sorted) != len(self.records):
            # A dict keeps its order and no key leaves it, so those behind are the new ones.
            self._sorted += islice(self.records, len(self._sorted), None)
            self._sorted.sort()
        low = bisect_left(self._sorted, start)
        keys = self._sorted[low : low + limit]
        return [(key, self.records[key]) for key in keys if end is None or key < end]

    def snapshot(self) -> list[Change | Known]:
        """All records, tombstones too, and the session table; what `load` of another replica can take over."""
        records = [
            Change(NO_REQUEST, key, record.value, record.version) for key, record in sorted(self.records.items())
        ]
        return [*records, *(Known(request, result) for request, result in self.sessions.items())]

    def load(self, snapshot: Iterable[Change | Known]) -> Future[None]:
        """Replace everything by a snapshot. The future: all of it is as durable as the design states."""
        self.records.clear()
        self.sessions.clear()
        self._sorted.clear()
        if self.heard is not None:
            self.heard(Replaced())
        for part in snapshot:
            self._keep(part)
        if self.durability == "memory":
            return completed(None)
        loaded = self.compact()
        self._unsynced = dict.fromkeys(self.records, loaded)
        loaded.when_done(self._settle_all)
        return loaded

    def compact(self) -> Future[None]:
        """Rewrite the journal as the snapshot."""
        payloads = [self._encode(part) for part in self.snapshot()]
        self._live_bytes = sum(map(len, payloads))
        return self.journal.rewrite(payloads)

    def live_keys(self) -> int:
        """How many keys hold a value here."""
        return sum(record.value is not None for record in self.records.values())

    def held_bytes(self) -> int:
        """Bytes of keys, values and the session table in memory."""
        data = sum(len(key) + len(record.value or b"") for key, record in self.records.items())
        return data + SESSION_BYTES * len(self.sessions)

    def digest(self) -> str:
        """A hash of all records: equal in two replicas that hold the same."""
        hashed = hashlib.blake2b(digest_size=8)
        for key, record in sorted(self.records.items()):
            hashed.update(self._encode((key, record)))
        return hashed.hexdigest()

    def _keep(self, part: Change | Known) -> bool:
        if isinstance(part, Known):
            self._remember(part.request, part.result)
            return False
        if part.request.number:
            self._remember(part.request, Written(part.version, part.existed))
        mine = self.records.get(part.key)
        record = Record(part.value, part.version)
        if mine is not None and not self.conflict.newer(mine, record):
            return False
        self.records[part.key] = record
        return True

    def _remember(self, request: RequestId, result: Written) -> None:
        self.sessions[request] = result
        if len(self.sessions) > SESSIONS_KEPT:
            forget_oldest(self.sessions)

    def _settle_all(self, done: Future[None]) -> None:
        self._unsynced = {key: later for key, later in self._unsynced.items() if later is not done}

    def _settle(self, key: Key, done: Future[None]) -> None:
        if self._unsynced.get(key) is done:
            del self._unsynced[key]


def judge(op: Write, record: Record | None, written: HowOften) -> bool:
    """Whether `op` finds a value in `record`. Raises the error of the operation whose condition does not hold."""
    present = record is not None and record.value is not None
    name = op.key.decode(errors="replace")
    if written == "once":
        if isinstance(op, Remove):
            raise WrittenOnce(f"{name} cannot be removed, as this store writes each key once")
        if record is not None and not isinstance(op, Create):
            raise WrittenOnce(f"{name} was written before, and this store writes each key once")
    if isinstance(op, Create) and present:
        raise AlreadyExists(f"{name} is present")
    if isinstance(op, Update | Delete) and not present:
        raise NotFound(f"{name} is absent")
    if isinstance(op, CompareAndSet):
        _compare(op, record)
    return present


def _compare(op: CompareAndSet, record: Record | None) -> None:
    name = op.key.decode(errors="replace")
    if op.expected_version is not None:
        if record is None or record.version != op.expected_version:
            found = record.version if record else "absent"
            raise Mismatch(f"{name} is not at version {op.expected_version} but {found}")
    elif (record.value if record else None) != op.expected:
        raise Mismatch(f"{name} does not hold the expected value")


def change_for(op: Write, version: Version, existed: bool | None) -> Change:
    """The change that makes `op` happen."""
    value = None if isinstance(op, Delete | Remove) else op.value
    return Change(op.request, op.key, value, version, existed)
