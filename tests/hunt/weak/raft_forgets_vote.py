"""A Raft server that answers a vote before it is on the disk, and writes down its term alone: after a crash it may vote
again in the same term, and the term may get two leaders."""

from kvsim.core.host import Recovered
from kvsim.core.waiting import Future
from kvsim.strategies.replication.raft.log import Log
from kvsim.strategies.replication.raft.raft import Raft


class TermOnly(Log):
    """A log that keeps the term without the vote."""

    def save(self) -> Future[None]:
        vote, self.state.voted_for = self.state.voted_for, None
        saved = super().save()
        self.state.voted_for = vote
        return saved


class ForgetsItsVote(Raft):
    """Raft without a durable vote."""

    def start(self, recovered: Recovered) -> None:
        self.log = TermOnly(self.state, self.host.disk, self.host.fail, self.on_durable)
        super().start(recovered)
