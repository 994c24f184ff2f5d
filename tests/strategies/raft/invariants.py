"""What holds in Raft at every moment (Ongaro and Ousterhout 2014, figure 3), checked over all nodes at once.

Each check says which property broke and where. What nodes believe is read from them, what crashes leave from disks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from kvsim.core.journal import records_of
from kvsim.core.message import NodeId
from kvsim.core.node import Node
from kvsim.strategies.replication.raft.log import LOG_FILE
from kvsim.strategies.replication.raft.messages import Entries, HardState, LogEntry
from kvsim.strategies.replication.raft.raft import Raft

Disks = Mapping[NodeId, Mapping[str, bytes]]


def raft_of(node: Node) -> Raft:
    """The Raft component of a node."""
    return next(component for component in node.components if isinstance(component, Raft))


class Invariants:
    """Remembers what was ever true of a run, and checks each new moment against it."""

    def __init__(self, servers: int) -> None:
        self.majority = servers // 2 + 1
        self.leaders: dict[int, NodeId] = {}  # term → who led it
        self.entries: dict[tuple[int, int], tuple[LogEntry, int]] = {}  # (index, term) → entry, term of the one before
        self.committed: dict[int, tuple[LogEntry, int]] = {}  # index → entry, the term in which it was known
        self.votes: dict[tuple[NodeId, int], NodeId] = {}  # (voter, term) → for whom, as its disk had it
        self._complete: tuple[NodeId, int] | None = None
        self._disk_bytes: dict[NodeId, int] = {}
        self._checked: dict[NodeId, list[LogEntry]] = {}
        self._disk_logs: dict[NodeId, tuple[bytes, list[LogEntry]]] = {}

    def check(self, nodes: Mapping[NodeId, Node | None], disks: Disks) -> None:
        """Check this moment."""
        alive = {name: raft_of(node) for name, node in nodes.items() if node is not None}
        for name in nodes:
            if name not in alive:
                self._checked.pop(name, None)
        for name, raft in alive.items():
            self._election_safety(name, raft)
            self._log_matching(name, raft)
        self._votes_are_kept(disks)
        for name, raft in alive.items():
            self._committed_is_final(name, raft, disks)
        for name, raft in alive.items():
            self._leader_completeness(name, raft)

    def _election_safety(self, name: NodeId, raft: Raft) -> None:
        if raft.state.role == "leader":
            term = raft.state.current_term
            other = self.leaders.setdefault(term, name)
            assert other == name, f"election safety: {other} and {name} both lead term {term}"

    def _log_matching(self, name: NodeId, raft: Raft) -> None:
        log, known = raft.state.log, self._checked.setdefault(name, [])
        if len(log) == len(known) and (not log or log[-1] is known[-1]):
            return
        if raft.state.role == "leader":
            assert log[: len(known)] == known, (
                f"leader append-only: {name} changed its log in term {raft.state.current_term}"
            )
        same = len(known) if log[: len(known)] == known else 0
        for index in range(same + 1, len(log) + 1):
            entry, before = log[index - 1], log[index - 2].term if index > 1 else 0
            first = self.entries.setdefault((index, entry.term), (entry, before))
            assert first == (entry, before), (
                f"log matching: at index {index}, term {entry.term}, {name} has {entry} after term {before}, "
                f"another had {first[0]} after term {first[1]}"
            )
        known[:] = log

    def _votes_are_kept(self, disks: Disks) -> None:
        for name, files in disks.items():
            length_bytes = len(files.get(LOG_FILE, b""))
            if self._disk_bytes.get(name) == length_bytes:
                continue
            self._disk_bytes[name] = length_bytes
            for state in _hard_states(files):
                if state.voted_for is not None:
                    vote = self.votes.setdefault((name, state.current_term), state.voted_for)
                    assert vote == state.voted_for, (
                        f"one vote a term: {name} voted for {vote} and {state.voted_for} in term {state.current_term}"
                    )

    def _committed_is_final(self, name: NodeId, raft: Raft, disks: Disks) -> None:
        state = raft.state
        assert state.last_applied == state.commit_index <= len(state.log), (
            f"{name} applied more or less than is committed"
        )
        for index in range(len(self.committed) + 1, state.commit_index + 1):
            entry = state.log[index - 1]
            self.committed[index] = (entry, state.current_term)
            holders = [
                disk for disk, files in disks.items() if self._disk_log(disk, files)[index - 1 : index] == [entry]
            ]
            assert len(holders) >= self.majority, (
                f"{name} counts entry {index} as committed, but only the disks of {holders} hold it"
            )
        for index in range(max(1, state.commit_index - 3), state.commit_index + 1):
            assert state.log[index - 1] == self.committed[index][0], (
                f"state machine safety: {name} applied {state.log[index - 1]} at index {index}, "
                f"another applied {self.committed[index][0]}"
            )

    def _leader_completeness(self, name: NodeId, raft: Raft) -> None:
        state = raft.state
        if state.role != "leader":
            return
        if self._complete == (name, state.current_term):
            return  # it was when it began, and a leader only appends
        self._complete = (name, state.current_term)
        for index in range(len(self.committed), 0, -1):
            entry, term = self.committed[index]
            if term < state.current_term:
                assert state.log[index - 1 : index] == [entry], (
                    f"leader completeness: {name} leads term {state.current_term} without entry {index} of term {term}"
                )

    def _disk_log(self, name: NodeId, files: Mapping[str, bytes]) -> list[LogEntry]:
        data = files.get(LOG_FILE, b"")
        read, log = self._disk_logs.get(name, (b"", []))
        if read is not data:
            if not data.startswith(read):
                read, log = b"", []
            log = log_on(data[len(read) :], log)
            self._disk_logs[name] = (data, log)
        return log


_DECODE = msgspec.msgpack.Decoder(HardState | Entries).decode


def _hard_states(files: Mapping[str, bytes]) -> list[HardState]:
    records, _ = records_of(LOG_FILE, files.get(LOG_FILE, b""))
    found = [_DECODE(record) for record in records]
    return [record for record in found if isinstance(record, HardState)]


def log_on(data: bytes, before: Sequence[LogEntry] = ()) -> list[LogEntry]:
    """The log that a server would find in this file, after what it found before: told again in the plainest way."""
    log = list(before)
    for payload in records_of(LOG_FILE, data)[0]:
        record = _DECODE(payload)
        if isinstance(record, Entries):
            log[record.first_index - 1 :] = record.entries
    return log
