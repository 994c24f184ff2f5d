"""Passing an operation on to a node that can coordinate it, and finding another when that one cannot."""

from __future__ import annotations

from typing import cast

from kvsim.core.axes import Routing, Site, alive_first
from kvsim.core.message import MILLISECOND, Message, Nanoseconds, NodeId
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

PAUSE_NS: Nanoseconds = 20 * MILLISECOND
"""Wait before asking all again when nobody serves: an election or a promotion takes some time."""
HINTS_KEPT = 4_096


class Forwarding(Component):
    """A component that passes operations on. It remembers who last said «ask that one», and who did not answer."""

    def __init__(self, site: Site, routing: Routing) -> None:
        self.site, self.routing = site, routing
        self.served_by: dict[tuple[NodeId, ...], NodeId] = {}
        self.silent_until_ns: dict[NodeId, Nanoseconds] = {}
        self.heard_ns: dict[NodeId, Nanoseconds] = {}

    def on_peer_lost(self, peer: NodeId) -> None:
        self._avoid(peer)

    async def forward(self, op: AnyOperation, hint: NodeId = "") -> AnyResult:
        """The result of the operation, done by whoever can. Raises why nobody could, in the words of one who should.

        A write that was sent and not answered is not sent again: this node cannot know whether it happened.
        """
        candidates = await self.routing.find(op)
        deadline_ns = self.host.now() + self.site.design.timeout_ns
        reading = isinstance(op, Read | Scan)
        tried: set[NodeId] = set()
        nobody: OperationError = Unavailable("no node is known to serve this")
        refusal: OperationError | None = None
        while self.host.now() < deadline_ns:
            node = hint or self._next(candidates, tried)
            if node is None:
                tried.clear()
                await self.pause(PAUSE_NS)
                continue
            tried.add(node)
            hint = ""
            try:
                answer = await self._asked(node, op, self._patience_ns(reading, len(candidates)))
            except Elsewhere as error:
                nobody = Unavailable(f"{node} does not serve this and names {error.hint or 'nobody'}")
                hint = error.hint if error.hint not in tried else ""
                self._learn(candidates, error.hint)
            except Unavailable as error:
                refusal = error
            except OutcomeUnknown as error:
                self.served_by.pop(candidates, None)
                if not reading:
                    raise
                refusal = Unavailable(error.detail)  # a read that nobody saw has not happened
            else:
                return cast(AnyResult, answer)
        raise refusal or nobody

    async def _asked(self, node: NodeId, op: AnyOperation, patience_ns: Nanoseconds) -> Message:
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
        return answer

    def _patience_ns(self, reading: bool, candidates: int) -> Nanoseconds:
        """How long to wait for one node: beyond its own deadline for a write, so that its word comes first; a read
        can go on."""
        timeout_ns = self.site.design.timeout_ns
        return timeout_ns // min(candidates, 3) if reading else timeout_ns * 5 // 4

    def _next(self, candidates: tuple[NodeId, ...], tried: set[NodeId]) -> NodeId | None:
        now = self.host.now()
        served_by = self.served_by.get(candidates)
        order = candidates if served_by is None else (served_by, *candidates)
        left = [node for node in alive_first(order, self.view) if node not in tried]
        if tried:
            # Somebody lives and has refused for certain. A write to who seems dead would make that an unknown outcome.
            left = [node for node in left if self.view.is_alive(node)]
        return next((node for node in left if self.silent_until_ns.get(node, 0) <= now), left[0] if left else None)

    def _learn(self, candidates: tuple[NodeId, ...], serving: NodeId) -> None:
        if not serving:
            self.served_by.pop(candidates, None)  # who served before says that it does no longer, and knows nobody
        else:
            if len(self.served_by) >= HINTS_KEPT:
                self.served_by.clear()
            self.served_by[candidates] = serving

    def _avoid(self, node: NodeId) -> None:
        self.silent_until_ns[node] = self.host.now() + self.site.design.timeout_ns
