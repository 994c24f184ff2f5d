"""How a door has an operation done: by the node that can coordinate it, or by another when that one cannot.

Frontends and peers try on by one rule, so that topologies can be compared: until the design's `timeout` after the door
got the operation; with equal patience for every node asked, the door itself included where it coordinates.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, cast

from kvsim.core.axes import Consistency, Routing, Site, alive_first
from kvsim.core.message import MILLISECOND, Nanoseconds, NodeId
from kvsim.core.node import Component
from kvsim.core.operation import (
    AnyOperation,
    AnyResult,
    Elsewhere,
    NoAnswer,
    OperationError,
    OutcomeUnknown,
    Perform,
    Read,
    Scan,
    Unavailable,
)
from kvsim.core.waiting import Future

PAUSE_NS: Nanoseconds = 20 * MILLISECOND
"""Wait before asking all again when nobody serves: an election or a promotion takes some time."""
HINTS_KEPT = 4_096


class Forwarding(Component):
    """A door's way to whoever serves. It remembers who last said «ask that one», and who did not answer.

    `coordinator` does what falls to the door itself; None where the door stores nothing and coordinates nothing.
    """

    def __init__(self, site: Site, routing: Routing, coordinator: Consistency | None) -> None:
        self.site, self.routing, self.coordinator = site, routing, coordinator
        self.served_by: dict[tuple[NodeId, ...], NodeId] = {}
        self.silent_until_ns: dict[NodeId, Nanoseconds] = {}
        self.heard_ns: dict[NodeId, Nanoseconds] = {}

    def on_peer_lost(self, peer: NodeId) -> None:
        self._avoid(peer)

    async def candidates(self, op: AnyOperation) -> tuple[NodeId, ...]:
        """The nodes that may coordinate the operation, best first."""
        return await self.routing.find(op)

    async def forward(self, op: AnyOperation) -> AnyResult:
        """The result of the operation, done by whoever can. Raises why nobody could, in the words of one who should.

        A door that coordinates asks itself first, then all others. Who refuses for certain is asked again after all
        others, until the deadline. A read that one node does not answer goes to the next after a third of the timeout.
        A write that was begun and not answered is not begun again: this node cannot know whether it happened.
        """
        candidates = await self.candidates(op)
        deadline_ns = self.host.now() + self.site.design.timeout_ns
        reading = isinstance(op, Read | Scan)
        tried: set[NodeId] = set()
        hint = self.host.id if self.host.id in candidates else ""
        nobody: OperationError = Unavailable("no node is known to serve this")
        refusal: OperationError | None = None
        silence: OperationError | None = None
        while (left_ns := deadline_ns - self.host.now()) > 0:
            node = hint or self._next(candidates, tried)
            if node is None:
                tried.clear()
                await self.pause(PAUSE_NS)
                continue
            tried.add(node)
            hint = ""
            try:
                patience_ns = self._patience_ns(reading, len(candidates), left_ns)
                if node == self.host.id:
                    return await self._done_here(op, patience_ns)
                return await self._asked(node, op, patience_ns)
            except Elsewhere as error:
                nobody = Unavailable(f"{node} does not serve this and names {error.hint or 'nobody'}")
                hint = error.hint if error.hint not in tried else ""
                self._learn(candidates, node, error.hint)
            except Unavailable as error:
                refusal = error
            except OutcomeUnknown as error:
                self.served_by.pop(candidates, None)
                if not reading:
                    raise
                silence = Unavailable(error.detail)  # a read that nobody saw has not happened
        raise refusal or silence or nobody

    def _patience_ns(self, reading: bool, candidates: int, left_ns: Nanoseconds) -> Nanoseconds:
        """How long to wait for one node: beyond its own deadline for a write, so that its word comes first; a read
        can go on."""
        timeout_ns = self.site.design.timeout_ns
        return min(-(-timeout_ns // min(candidates, 3)), left_ns) if reading else timeout_ns * 5 // 4

    async def _asked(self, node: NodeId, op: AnyOperation, patience_ns: Nanoseconds) -> AnyResult:
        """What the node answers. It is avoided from now on if nothing at all is heard of it meanwhile; one that is
        slow with this answer and not with others may wait for nodes that are down itself."""
        asked_ns = self.host.now()
        try:
            answer = await self.call(node, Perform(op, 1), patience_ns)
        except NoAnswer:
            if self.heard_ns.get(node, -1) < asked_ns:
                self._avoid(node)
            raise
        except OperationError as error:
            if not isinstance(error, OutcomeUnknown):  # that is also what a broken connection gives
                self.heard_ns[node] = self.host.now()
            raise
        self.heard_ns[node] = self.host.now()
        return cast(AnyResult, answer)

    def _done_here(self, op: AnyOperation, patience_ns: Nanoseconds) -> Coroutine[Any, Any, AnyResult]:
        """What this node itself comes to as the coordinator, with the patience that others get."""
        assert self.coordinator is not None, f"{self.host.id} is a candidate, so it coordinates"
        if patience_ns >= self.site.design.timeout_ns:
            return self.coordinator.perform(op)  # its own deadline comes first
        return self._done_here_within(op, patience_ns)

    async def _done_here_within(self, op: AnyOperation, patience_ns: Nanoseconds) -> AnyResult:
        answer: Future[AnyResult] = Future()
        _ = self.host.spawn(self._coordinate(op, answer))
        late = NoAnswer(f"{self.host.id} did not come to an answer within {patience_ns / 1e9:g} s")
        deadline = None if answer.done else self.host.after(patience_ns, lambda: answer.fail(late))
        try:
            return await answer
        finally:
            if deadline is not None:
                deadline.cancel()

    async def _coordinate(self, op: AnyOperation, answer: Future[AnyResult]) -> None:
        assert self.coordinator is not None, "the caller has looked"
        try:
            answer.complete(await self.coordinator.perform(op))
        except OperationError as error:
            answer.fail(error)

    def _next(self, candidates: tuple[NodeId, ...], tried: set[NodeId]) -> NodeId | None:
        now = self.host.now()
        served_by = self.served_by.get(candidates)
        order = candidates if served_by is None else (served_by, *candidates)
        left = [node for node in alive_first(order, self.view) if node not in tried]
        if tried:
            # Somebody lives and has refused for certain. A write to who seems dead would make that an unknown outcome.
            left = [node for node in left if self.view.is_alive(node)]
        return next((node for node in left if self.silent_until_ns.get(node, 0) <= now), left[0] if left else None)

    def _learn(self, candidates: tuple[NodeId, ...], node: NodeId, serving: NodeId) -> None:
        """`node` says that it does not serve, and names who does, if it knows."""
        if serving:
            if len(self.served_by) >= HINTS_KEPT:
                self.served_by.clear()
            self.served_by[candidates] = serving
        elif self.served_by.get(candidates) == node:
            del self.served_by[candidates]  # it served before, and knows nobody who does now

    def _avoid(self, node: NodeId) -> None:
        self.silent_until_ns[node] = self.host.now() + self.site.design.timeout_ns
