"""The way from a door into its own node: operations go in as messages from the endpoint `door-NODE`.

HTTP and RESP doors use this; they run on the node's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvsim.core.message import SECOND, Envelope, Failure, Message, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, AnyResult, OutcomeUnknown, Perform, error_from
from kvsim.core.status import AskCluster, ClusterStatus

MARGIN_NS: Nanoseconds = SECOND // 2


class LocalClient:
    """Performs operations at this node, many at a time. `deliver` hands an envelope from `name` to the node."""

    def __init__(
        self,
        name: NodeId,
        deliver: Callable[[NodeId, Envelope[Any]], None],
        timeout_ns: Nanoseconds,
    ) -> None:
        self.name = name
        self._deliver = deliver
        self._deadline_s = (2 * timeout_ns + MARGIN_NS) / SECOND
        self._number = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], asyncio.TimerHandle]] = {}
        self._closed = ""

    async def perform(self, op: AnyOperation) -> AnyResult:
        """Do one operation. Raises an `OperationError`; `OutcomeUnknown` when no answer comes in time."""
        return await self.begin(op)

    def begin(self, op: AnyOperation) -> asyncio.Future[AnyResult]:
        """Begin an operation; the future ends as `perform` does. For doors that keep many under way without tasks."""
        return self._ask(Perform(op))

    async def cluster_status(self, key: bytes | None = None) -> ClusterStatus:
        """How every node is, and which nodes hold the key. Raises `OutcomeUnknown` when this node does not answer."""
        status: ClusterStatus = await self._ask(AskCluster(key))
        return status

    def _ask(self, question: Message) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._closed:
            future.set_exception(OutcomeUnknown(self._closed))
            return future
        self._number = number = self._number + 1
        self._waiting[number] = (future, loop.call_later(self._deadline_s, self._late, number))
        self._deliver(self.name, Envelope(question, number))
        return future

    def receive(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """An answer of the node has come."""
        waiting = self._waiting.pop(envelope.answers, None)
        if waiting is None:
            return
        future, deadline = waiting
        deadline.cancel()
        if future.done():  # whoever waited has gone
            return
        if isinstance(envelope.message, Failure):
            future.set_exception(error_from(envelope.message))
        else:
            future.set_result(envelope.message)

    def close(self, reason: str) -> None:
        """The node is going: what is under way ends with an unknown outcome."""
        self._closed = reason
        self.give_up_all(reason)

    def give_up_all(self, reason: str) -> None:
        """What is under way ends with an unknown outcome."""
        for number in list(self._waiting):
            self._give_up(number, reason)

    def _late(self, number: int) -> None:
        self._give_up(number, f"no answer within {self._deadline_s:g} s")

    def _give_up(self, number: int, reason: str) -> None:
        future, deadline = self._waiting.pop(number)
        deadline.cancel()
        if not future.done():
            future.set_exception(OutcomeUnknown(reason))
