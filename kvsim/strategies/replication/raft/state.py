"""The state of a Raft server, in the names of the paper's figure 2, and what a leader knows of each follower."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Literal

import msgspec

from kvsim.core.message import MILLISECOND, Nanoseconds, NodeId
from kvsim.strategies.replication.raft.messages import LogEntry

Role = Literal["follower", "pre_candidate", "candidate", "leader"]
Reads = Literal["read_index", "follower"]

Positive = Annotated[int, msgspec.Meta(ge=1)]


class RaftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of Raft."""

    election_timeout_ns: Positive = 150 * MILLISECOND
    """Without word from a leader a follower stands for election after a time drawn from this on."""
    election_spread_ns: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How much longer than that the time may be; None: as much again. The smaller, the oftener votes are split."""
    timers: Literal["patient", "figure_2"] = "patient"
    """`"patient"`: what disks take is added to the time in which candidates wait for votes and voters for the winner.
    `"figure_2"`: the paper to the letter; candidates that stood together then oftener stand together again."""
    heartbeat_ns: Positive = 50 * MILLISECOND
    """How often a leader says that it is there."""
    reads: Reads | None = None
    """`"read_index"`: the leader asks a majority whether it still leads; `"follower"`: any replica shows what it has.
    None: as the design's consistency needs."""
    pre_vote: bool = True
    """Ask whether one would win before entering a new term, and do not vote while a leader is heard: a node that was
    cut off then does not depose the leader when it returns (thesis 9.6 and 4.2.3)."""
    max_batch_entries: Positive = 256
    """Entries in one message at most."""
    max_batch_bytes: Positive = 1_048_576
    """Bytes of keys and values in one message at most, if it has more than one entry."""
    max_batches_in_flight: Positive = 8
    """Messages with entries that a follower may have unanswered; what comes meanwhile shares the next."""


class RaftState(msgspec.Struct):
    """The paper's figure 2, and role, leader and votes."""

    # On the disk before anything that rests on it is answered:
    current_term: int = 0
    voted_for: NodeId | None = None
    log: list[LogEntry] = []
    # Forgotten at a crash:
    commit_index: int = 0
    last_applied: int = 0
    # Leaders only:
    next_index: dict[NodeId, int] = {}
    match_index: dict[NodeId, int] = {}
    role: Role = "follower"
    leader: NodeId = ""
    votes: list[NodeId] = []


class Progress:
    """How a leader feeds one follower.

    While it is `probing` the leader does not know where the follower's log parts from its own, and asks with one
    message at a time; once it knows, it sends on without waiting for answers, up to a bound.
    """

    __slots__ = ("heard_ns", "in_flight", "probing", "round")

    def __init__(self, now_ns: Nanoseconds) -> None:
        self.probing = True
        self.in_flight: deque[int] = deque()
        """The last index of each message with entries that is not answered."""
        self.heard_ns = now_ns
        self.round = 0
        """The latest round in which the follower confirmed the leader."""
