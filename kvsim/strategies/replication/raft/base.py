"""What the parts of a Raft server share: state, log, state machine, peers, and the ways into and out of a role."""

from __future__ import annotations

from kvsim.core.axes import Replication, Site
from kvsim.core.host import Recovered, Timer
from kvsim.core.message import Nanoseconds, NodeId
from kvsim.core.operation import Elsewhere, OutcomeUnknown
from kvsim.core.waiting import Future
from kvsim.strategies.replication.raft.log import Log
from kvsim.strategies.replication.raft.machine import Outcome, StateMachine
from kvsim.strategies.replication.raft.messages import GROUP, SteppedDown
from kvsim.strategies.replication.raft.reading import ReadRounds
from kvsim.strategies.replication.raft.state import Progress, RaftSettings, RaftState


class Proposed(Future[Outcome]):
    """An operation in the log whose client waits until it is applied, or until the deadline."""

    __slots__ = ("deadline_ns",)

    def __init__(self, deadline_ns: Nanoseconds) -> None:
        super().__init__()
        self.deadline_ns = deadline_ns


class RaftServer(Replication):
    """One server: its state, and how it becomes a follower again."""

    settings: RaftSettings
    journalled = False

    def __init__(self, site: Site, settings: RaftSettings) -> None:
        super().__init__(site, settings)
        assert site.replica is not None, f"{site.host.id} stores nothing, so it is no Raft server"
        self.me = site.host.id
        self.peers = tuple(node for node in site.cluster.data if node != self.me)
        self.majority = (len(self.peers) + 1) // 2 + 1
        self.state = RaftState()
        self.log = Log(self.state, site.host.disk, site.host.fail, self.on_durable)
        self.machine = StateMachine(site.replica)
        self.followers: dict[NodeId, Progress] = {}
        self.proposed: dict[int, Proposed] = {}  # by index, so in the order of their deadlines
        self.reads = ReadRounds()
        self.heartbeat: Timer | None = None
        self.first_of_my_term = 0
        """Where a leader's own term begins in its log: nothing is known to be committed before that entry is."""
        self.is_replayed = True
        """False from a restart until it is known how much of the log is committed, and that is applied."""
        self.quiet_since_ns: Nanoseconds = 0
        """Since when there was no reason to trust in another's leadership."""
        self.leader_heard_ns: Nanoseconds | None = None

    @property
    def role_name(self) -> str:
        """`leader`, `follower` or `candidate`."""
        return "candidate" if self.state.role == "pre_candidate" else self.state.role

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        self.log.recover(recovered)
        self.is_replayed = self.log.last_index == 0
        self.quiet_since_ns = self.host.now()

    def on_durable(self) -> None:
        """More of the log has reached the disk."""
        raise NotImplementedError

    def become_follower(self, term: int, leader: NodeId = "", why: str = "a later term has begun") -> None:
        """Enter a term, or stay in this one, without leading it."""
        state = self.state
        led = state.role == "leader"
        if term > state.current_term:
            state.current_term, state.voted_for = term, None
        state.role, state.leader = "follower", leader
        state.votes.clear()
        if led:
            self._stop_leading(why)

    def _stop_leading(self, why: str) -> None:
        state = self.state
        state.next_index.clear()
        state.match_index.clear()
        self.followers.clear()
        self.quiet_since_ns = self.host.now()
        if self.heartbeat is not None:
            self.heartbeat.cancel()
        proposed, self.proposed = self.proposed, {}
        for waiting in proposed.values():
            # The entry may lie on other disks, and a later leader may commit it.
            waiting.fail(OutcomeUnknown(f"{self.me} lost the leadership before it knew the outcome ({why})"))
        self.reads.fail(Elsewhere(f"{self.me} lost the leadership ({why})", state.leader))
        if self.host.wants(SteppedDown):
            self.host.record(SteppedDown(GROUP, state.current_term, why))

    def must_lead(self) -> None:
        """Raise `Elsewhere`, with the leader where it is known, unless this node leads."""
        if self.state.role != "leader":
            raise Elsewhere(f"{self.me} does not lead", self.state.leader)
