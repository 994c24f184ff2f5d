"""The replicated state machine: applies committed entries to the replica, in order, the same on every server.

A request is applied once (thesis 6.3): its first result, a refusal too, answers all its later copies in the log.
"""

from __future__ import annotations

from kvsim.core.message import Failure
from kvsim.core.operation import OperationError, RequestId, Write, Written
from kvsim.core.recent import forget_oldest
from kvsim.core.replica import SESSIONS_KEPT, Replica, change_for
from kvsim.core.version import Version

Outcome = Written | Failure
"""What an operation came to: done, or refused since its condition did not hold."""


class StateMachine:
    """A replica that changes only by the log. It keeps no journal: the log rebuilds it."""

    def __init__(self, replica: Replica) -> None:
        assert replica.durability == "memory", "the log is on the disk already; a journal beside it would sync twice"
        self.replica = replica
        self.refused: dict[RequestId, Failure] = {}

    def outcome(self, request: RequestId) -> Outcome | None:
        """What this request came to, if it was applied."""
        return self.replica.known(request) or self.refused.get(request)

    def apply(self, index: int, op: Write) -> Outcome:
        """Do what the entry at this index says. Conditions are judged here, where all servers see the same state."""
        first = self.outcome(op.request)
        if first is not None:
            return first
        version = Version(index)
        try:
            existed = self.replica.judge(op)
        except OperationError as error:
            return self._refuse(op.request, error.as_failure())
        _ = self.replica.apply(change_for(op, version, existed))
        return Written(version, existed)

    def _refuse(self, request: RequestId, failure: Failure) -> Failure:
        # A refusal is a result as well. Were it forgotten, a second copy of the request could find its condition true
        # later, and the client would have been told that it did not happen.
        if request.number:
            self.refused[request] = failure
            if len(self.refused) > SESSIONS_KEPT:
                forget_oldest(self.refused)
        return failure
