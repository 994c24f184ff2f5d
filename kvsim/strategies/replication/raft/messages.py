"""What Raft's servers say to each other, what they write down, and the events that others may listen to.

Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014, figure 2. The sender of a message is
its candidate or leader, so no field repeats it. Every message names its group, for a cluster with several.
"""

from __future__ import annotations

import msgspec

from kvsim.core.message import Message, NodeId
from kvsim.core.operation import Write
from kvsim.core.trace import Event

GROUP = 1
"""The only group so far: all ServerData nodes."""


class LogEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log; its index is its position, the first is 1."""

    term: int
    """The term of the leader that took it."""
    operation: Write | None = None
    """What the state machine does; None: nothing, the entry with which a leader begins its term (section 8)."""


class RequestVote(Message, tag="raft.request_vote"):
    """Candidate to all: vote for me. `pre`: would you? (thesis 9.6)"""

    group: int
    term: int
    last_log_index: int
    last_log_term: int
    pre: bool = False


class Vote(Message, tag="raft.vote"):
    """The answer to `RequestVote`."""

    group: int
    term: int
    """The voter's term; of a granted pre-vote the term that was asked for, which nobody has entered yet."""
    granted: bool
    pre: bool = False


class AppendEntries(Message, tag="raft.append_entries"):
    """Leader to follower: hold these entries after that one. Without entries it is a heartbeat."""

    group: int
    term: int
    prev_log_index: int
    prev_log_term: int
    entries: tuple[LogEntry, ...]
    leader_commit: int
    round: int = 0
    """The leader's latest round of asking whether it still leads (thesis 6.4); the answer repeats it."""


class Appended(Message, tag="raft.appended"):
    """The answer to `AppendEntries`."""

    group: int
    term: int
    success: bool
    prev_log_index: int
    """What the leader had asked about, so that it knows an old answer from the one it waits for."""
    match_index: int = 0
    """On success: up to here the follower's disk holds what the leader's log does."""
    conflict_index: int = 0
    """On refusal: where the conflicting entry's term begins, or the end of a log that is too short (section 5.3)."""
    conflict_term: int = 0
    """On refusal: the term of the conflicting entry; 0 where there is none."""
    round: int = 0


class HardState(msgspec.Struct, frozen=True, array_like=True, tag="state", gc=False):
    """A record of the log's file: the term and the vote."""

    current_term: int
    voted_for: NodeId | None


class Entries(msgspec.Struct, frozen=True, array_like=True, tag="entries", gc=False):
    """A record of the log's file: these entries from this index on, and nothing after them, whatever was there."""

    first_index: int
    entries: tuple[LogEntry, ...]


class Elected(Event, tag="raft.elected"):
    """This node leads from here on."""

    group: int
    term: int
    votes: tuple[NodeId, ...]


class SteppedDown(Event, tag="raft.stepped_down"):
    """This node led until here."""

    group: int
    term: int
    """The term it is in now."""
    reason: str


class Committed(Event, tag="raft.committed"):
    """This leader knows that everything up to here lies on a majority of disks."""

    group: int
    term: int
    index: int
