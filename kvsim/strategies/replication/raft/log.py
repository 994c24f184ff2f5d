"""A Raft server's log, term and vote on the disk: one file of records, many of them made durable by one sync.

Entries replace what lay at their index and after it, so cutting a conflicting end off takes no record of its own.
The file grows: snapshots and compaction (section 7) are not there yet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import msgspec

from kvsim.core.host import Disk, Recovered
from kvsim.core.journal import Journal
from kvsim.core.message import NodeId
from kvsim.core.waiting import Future, completed
from kvsim.strategies.replication.raft.messages import Entries, HardState, LogEntry
from kvsim.strategies.replication.raft.state import RaftState

LOG_FILE = "raft.log"


def _term_of(entry: LogEntry) -> int:
    return entry.term


def _size_bytes(entry: LogEntry) -> int:
    operation = entry.operation
    return 0 if operation is None else len(operation.key) + len(getattr(operation, "value", b""))


class Log:
    """The log of `state`, and its journal. `on_durable` is called when more of the log has reached the disk."""

    def __init__(
        self, state: RaftState, disk: Disk, failed: Callable[[Exception], None], on_durable: Callable[[], None]
    ) -> None:
        self.state = state
        self.entries = state.log
        self.durable_index = 0
        """The disk holds the log up to here."""
        self.kept: Future[None] = completed(None)
        """Done when term and vote, as last saved, are on the disk."""
        self.flushed: Future[None] = completed(None)
        """Done when all entries that are in the log now are on the disk."""
        self._saved: tuple[int, NodeId | None] = (0, None)
        self._journal = Journal(disk, LOG_FILE, failed)
        self._on_durable = on_durable
        self._encode = msgspec.msgpack.Encoder().encode
        self._bytes_up_to = [0]  # the size of entries 1 to i, for each index i
        self._cuts = 0

    def recover(self, recovered: Recovered) -> None:
        """Take over what the disk kept."""
        decode = msgspec.msgpack.Decoder(HardState | Entries).decode
        for payload in self._journal.recover(recovered.files.get(LOG_FILE, b"")):
            record = decode(payload)
            if isinstance(record, HardState):
                self._saved = (record.current_term, record.voted_for)
            else:
                self._replace_after(record.first_index - 1, record.entries)
        self.state.current_term, self.state.voted_for = self._saved
        self.durable_index = self.last_index

    @property
    def last_index(self) -> int:
        """The index of the last entry; 0 when there is none."""
        return len(self.entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry; 0 when there is none."""
        return self.entries[-1].term if self.entries else 0

    @property
    def held_bytes(self) -> int:
        """Of the keys and values in all entries."""
        return self._bytes_up_to[-1]

    def term(self, index: int) -> int:
        """The term of the entry there; 0 before the first."""
        return self.entries[index - 1].term if index else 0

    def matches(self, index: int, term: int) -> bool:
        """Whether there is an entry of this term (the consistency check of AppendEntries, section 5.3)."""
        return index <= len(self.entries) and self.term(index) == term

    def first_of_term(self, term: int) -> int:
        """The index of the first entry of a term, or of a later one where there is none: terms never fall in a log."""
        return bisect_left(self.entries, term, key=_term_of) + 1

    def last_of_term(self, term: int) -> int:
        """The index of the last entry of a term, or of an earlier one where there is none."""
        return bisect_right(self.entries, term, key=_term_of)

    def batch(self, first: int, most_entries: int, most_bytes: int) -> tuple[LogEntry, ...]:
        """Entries from an index on: as many as fit, and one at least where there is one."""
        end = min(first - 1 + most_entries, len(self.entries))
        sizes = self._bytes_up_to
        if end > first and sizes[end] - sizes[first - 1] > most_bytes:
            end = max(first, bisect_right(sizes, sizes[first - 1] + most_bytes, first, end) - 1)
        return tuple(self.entries[first - 1 : end])

    def save(self) -> Future[None]:
        """Write down term and vote, unless they are; done when they will outlive a crash."""
        state = self.state
        if self._saved != (state.current_term, state.voted_for):
            self._saved = (state.current_term, state.voted_for)
            self.kept = self._journal.append(self._encode(HardState(*self._saved)))
        return self.kept

    def append(self, after: int, entries: tuple[LogEntry, ...]) -> None:
        """Put entries after that index, in the place of all that may be there; durable when `flushed` is done."""
        self._replace_after(after, entries)
        last, cuts = len(self.entries), self._cuts
        self.flushed = self._journal.append(self._encode(Entries(after + 1, entries)))

        def durable(_: Future[None]) -> None:
            # What was cut off meanwhile says nothing about the entries that took its place; their own record will.
            if cuts == self._cuts:
                self.durable_index = last
                self._on_durable()

        self.flushed.when_done(durable)

    def merge(self, after: int, entries: tuple[LogEntry, ...]) -> None:
        """Take a leader's entries; cut only where ours conflict, as a late message must not take what followed it."""
        for at, entry in enumerate(entries, after):
            if at >= len(self.entries) or self.entries[at].term != entry.term:
                self.append(at, entries[at - after :])
                return

    def _replace_after(self, after: int, entries: tuple[LogEntry, ...]) -> None:
        if after < len(self.entries):
            assert after >= self.state.commit_index, "what is committed is never cut off (section 5.4)"
            del self.entries[after:]
            del self._bytes_up_to[after + 1 :]
            self.durable_index = min(self.durable_index, after)
            self._cuts += 1
        self.entries.extend(entries)
        total = self._bytes_up_to[-1]
        for entry in entries:
            total += _size_bytes(entry)
            self._bytes_up_to.append(total)
