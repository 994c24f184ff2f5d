"""Client-server: clients talk to a ServerFrontend, which decides which ServerData serves each request.

The frontend knows where keys lie, so clients need not; every request passes it, so it can become the bottleneck.
It tries on until the design's `timeout` while nodes refuse; a read's coordinator that does not answer is left after a
third of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from kvsim.core.axes import Consistency, Replication, Routing, Site, Topology
from kvsim.core.design import Design
from kvsim.core.message import NodeId
from kvsim.core.node import Component, answers
from kvsim.core.operation import AnyOperation, AnyResult, Perform
from kvsim.strategies.topology.forwarding import Forwarding


class ClientServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of client-server."""

    coordinator: Literal["data", "frontend"] = "data"
    """Who coordinates an operation: the ServerData that the frontend forwards it to, or the frontend itself."""


class ClientServer(Topology):
    """ServerFrontends take requests, ServerData nodes store."""

    Settings = ClientServerSettings

    @classmethod
    def refusals(cls, settings: ClientServerSettings, design: Design) -> Iterable[str]:
        replication = design["replication"]
        strategy = replication.strategy
        if settings.coordinator == "frontend" and not (issubclass(strategy, Replication) and strategy.from_anywhere):
            yield (
                "coordinator = 'frontend' needs a replication that any node can coordinate, and "
                f"{replication.name!r} has a node of its own for that; use coordinator = 'data', or 'quorum'"
            )

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        if site.role == "frontend":
            return ServerFrontend(site, routing, consistency if settings.coordinator == "frontend" else None)
        assert consistency is not None, f"{site.host.id} stores data, so it can coordinate"
        return ServerData(consistency)


class ServerFrontend(Forwarding):
    """Takes clients' requests; stores nothing."""

    async def candidates(self, op: AnyOperation) -> tuple[NodeId, ...]:
        """Itself alone where it coordinates, and else those that routing finds."""
        return await super().candidates(op) if self.coordinator is None else (self.host.id,)

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        self.site.design.limits.check(m.operation)
        return await self.forward(m.operation)


class ServerData(Component):
    """Coordinates the operations that frontends forward to it."""

    def __init__(self, consistency: Consistency) -> None:
        self.consistency = consistency

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        return await self.consistency.perform(m.operation)
