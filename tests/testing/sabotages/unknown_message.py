"""A message that is handled, and that no node's codec knows, since no name of this file stands for it."""

from kvsim.core.message import NodeId
from kvsim.core.node import receives
from kvsim.strategies.replication import raft
from kvsim.strategies.replication.single_copy import SingleCopy


class UnknownMessage(SingleCopy):
    """Handles a message of Raft's."""

    @receives(raft.messages.RequestVote)
    def vote(self, sender: NodeId, m: object) -> None:
        pass
