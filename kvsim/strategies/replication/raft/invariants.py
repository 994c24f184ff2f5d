"""What holds in Raft at every moment: the five properties of the paper's figure 3, and what they rest on.

Ongaro and Ousterhout 2014, section 5. What servers believe is read from them, what crashes leave from their disks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import cast

import msgspec

from kvsim.core.invariant import Breach, Claim, Invariants, Moment
from kvsim.core.journal import records_of
from kvsim.core.message import NodeId
from kvsim.strategies.replication.raft.log import LOG_FILE
from kvsim.strategies.replication.raft.messages import Entries, HardState, LogEntry
from kvsim.strategies.replication.raft.state import RaftState

_DECODE = msgspec.msgpack.Decoder(HardState | Entries).decode


class RaftInvariants(Invariants):
    """Election safety, leader append-only, log matching, leader completeness, state machine safety."""

    def __init__(self, servers: int) -> None:
        self.majority = servers // 2 + 1

    def claims(self, node: NodeId, state: RaftState | None, disk: Mapping[str, bytes]) -> Iterator[Claim]:
        yield from self._votes(node, disk)
        if state is None:
            return
        term = state.current_term
        if state.role == "leader":
            yield Claim("election safety", ("leader", term), node, f"{node} leads term {term}")
        before = 0
        for index, entry in enumerate(state.log, 1):
            words = f"{node} has {_shown(entry)} at index {index}"
            yield Claim("log matching", (index, entry.term), (entry, before), f"{words}, after term {before}")
            if state.role == "leader":
                yield Claim("leader append-only", (term, index), entry, f"{words} while it leads term {term}")
            if index <= state.commit_index:
                yield Claim("state machine safety", index, entry, f"{words} and has applied it")
                yield Claim("commitment", (index, term), entry, f"{words}, committed as it knew in term {term}")
            before = entry.term

    def _votes(self, node: NodeId, disk: Mapping[str, bytes]) -> Iterator[Claim]:
        for state in _hard_states(disk.get(LOG_FILE, b"")):
            if state.voted_for is not None:
                about = (node, state.current_term)
                words = f"{node} voted for {state.voted_for} in term {state.current_term}"
                yield Claim("one vote a term", about, state.voted_for, words)

    def check(self, moment: Moment) -> None:
        state: RaftState | None = moment.states[moment.node]
        if state is None:
            return
        self._committed_is_on_disks(moment, state)
        if state.role == "leader":
            self._leader_is_complete(moment, state)

    def _committed_is_on_disks(self, moment: Moment, state: RaftState) -> None:
        """Whoever counts an entry as committed is right: a majority of disks holds it."""
        logs = [log_on(disk.get(LOG_FILE, b"")) for disk in moment.disks.values()]
        for index in range(1, state.commit_index + 1):
            entry = state.log[index - 1]
            holders = sum(log[index - 1 : index] == (entry,) for log in logs)
            if holders < self.majority:
                raise Breach(
                    f"commitment: {moment.node} counts {_shown(entry)} at index {index} as committed, but {holders} of "
                    f"{len(logs)} disks hold it"
                )

    def _leader_is_complete(self, moment: Moment, state: RaftState) -> None:
        for claim in moment.claims.values():
            if claim.invariant != "commitment":
                continue
            index, term = cast(tuple[int, int], claim.about)
            if term < state.current_term and state.log[index - 1 : index] != [claim.says]:
                raise Breach(
                    f"leader completeness: {moment.node} leads term {state.current_term} without what was committed "
                    f"before: {claim.words}"
                )


@lru_cache(maxsize=4_096)
def log_on(data: bytes) -> tuple[LogEntry, ...]:
    """The log that a server would find in this file, told in the plainest way."""
    log: list[LogEntry] = []
    for payload in records_of(LOG_FILE, data)[0]:
        record = _DECODE(payload)
        if isinstance(record, Entries):
            log[record.first_index - 1 :] = record.entries
    return tuple(log)


@lru_cache(maxsize=4_096)
def _hard_states(data: bytes) -> tuple[HardState, ...]:
    found = (_DECODE(payload) for payload in records_of(LOG_FILE, data)[0])
    return tuple(record for record in found if isinstance(record, HardState))


def _shown(entry: LogEntry) -> str:
    operation = entry.operation
    what = "nothing to do" if operation is None else f"the {operation.__struct_config__.tag} {operation.request}"
    return f"{what} of term {entry.term}"
