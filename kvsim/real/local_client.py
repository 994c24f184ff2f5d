"""The way from a door into its own node: operations go in as messages from the endpoint `door-NODE`.

HTTP and RESP doors use this; they run on the node's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvsim.core.message import SECOND, Envelope, Failure, Message, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, AnyResult, OperationError, OutcomeUnknown, Perform, error_from
from kvsim.core.status import AskCluster, ClusterStatus

MARGIN_NS: Nanoseconds = SECOND // 2

Then = Callable[[Any], None]
"""Gets what was asked for, or the `OperationError` that it ended with."""


class LocalClient:
    """Performs operations at this node, many at a time. `deliver` hands an envelope from `name` to the node.

    Make it within a running event loop.
    """

    def __init__(
        self,
        name: NodeId,
        deliver: Callable[[NodeId, Envelope[Any]], None],
        timeout_ns: Nanoseconds,
    ) -> None:
        self.name = name
        self._deliver = deliver
        self._deadline_s = (2 * timeout_ns + MARGIN_NS) / SECOND
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._waiting: dict[int, tuple[float, Then]] = {}
        """Until when, and who. All wait equally long, so who asked first is late first: one alarm serves all."""
        self._alarm: asyncio.TimerHandle | None = None
        self._ended: list[tuple[Then, Any]] = []
        """What has come and is handed out when the node's code has returned: all of one moment together."""
        self._closed = ""

    async def perform(self, op: AnyOperation) -> AnyResult:
        """Do one operation. Raises an `OperationError`; `OutcomeUnknown` when no answer comes in time."""
        return await self.future(op)

    def begin(self, op: AnyOperation, then: Callable[[AnyResult | OperationError], None]) -> None:
        """Do one operation, and call `then` with what becomes of it: from the event loop, never within this call."""
        self._ask(Perform(op), then)

    def future(self, op: AnyOperation) -> asyncio.Future[AnyResult]:
        """Begin an operation; the future ends as `perform` does."""
        return self._future(Perform(op))

    async def cluster_status(self, key: bytes | None = None) -> ClusterStatus:
        """How every node is, and which nodes hold the key. Raises `OutcomeUnknown` when this node does not answer."""
        status: ClusterStatus = await self._future(AskCluster(key))
        return status

    def _future(self, question: Message) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()

        def end(ended: Any) -> None:
            if future.done():  # whoever waited has gone
                return
            if isinstance(ended, OperationError):
                future.set_exception(ended)
            else:
                future.set_result(ended)

        self._ask(question, end)
        return future

    def _ask(self, question: Message, then: Then) -> None:
        if self._closed:
            self._end(then, OutcomeUnknown(self._closed))
            return
        self._number = number = self._number + 1
        late_s = self._loop.time() + self._deadline_s
        self._waiting[number] = (late_s, then)
        if self._alarm is None:
            self._alarm = self._loop.call_at(late_s, self._ring)
        self._deliver(self.name, Envelope(question, number))

    def receive(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """An answer of the node has come."""
        waiting = self._waiting.pop(envelope.answers, None)
        if waiting is not None:
            message = envelope.message
            self._end(waiting[1], error_from(message) if isinstance(message, Failure) else message)

    def close(self, reason: str) -> None:
        """The node is going: what is under way ends with an unknown outcome."""
        self._closed = reason
        self.give_up_all(reason)

    def give_up_all(self, reason: str) -> None:
        """What is under way ends with an unknown outcome."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        waiting, self._waiting = self._waiting, {}
        for _, then in waiting.values():
            then(OutcomeUnknown(reason))

    def _ring(self) -> None:
        """Give up those that are late, and wait for the next."""
        self._alarm = None
        now_s = self._loop.time()
        for number, (late_s, then) in list(self._waiting.items()):
            if late_s > now_s:
                self._alarm = self._loop.call_at(late_s, self._ring)
                return
            if self._waiting.pop(number, None) is not None:
                then(OutcomeUnknown(f"no answer within {self._deadline_s:g} s"))

    def _end(self, then: Then, ended: Any) -> None:
        self._ended.append((then, ended))
        if len(self._ended) == 1:
            self._loop.call_soon(self._hand_out)

    def _hand_out(self) -> None:
        ended, self._ended = self._ended, []
        for then, what in ended:
            then(what)
