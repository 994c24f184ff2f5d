"""Peer to peer: every node takes clients' requests, stores data, and finds for itself who holds a key."""

from __future__ import annotations

from typing import Any

from kvsim.core.axes import Consistency, Routing, Site, Topology
from kvsim.core.message import NodeId
from kvsim.core.node import Component, answers
from kvsim.core.operation import AnyResult, Elsewhere, Perform
from kvsim.strategies.topology.forwarding import Forwarding


class PeerToPeer(Topology):
    """All nodes are equal: each is ServerFrontend and ServerData at once."""

    @classmethod
    def frontends(cls, asked: int) -> int:
        return 0

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        assert consistency is not None, f"{site.host.id} stores data, so it can coordinate"
        return Peer(site, routing, consistency)


class Peer(Forwarding):
    """Serves what it holds and forwards the rest, one hop at most."""

    def __init__(self, site: Site, routing: Routing, consistency: Consistency) -> None:
        super().__init__(site, routing)
        self.consistency = consistency

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        if m.hops:
            return await self.consistency.perform(m.operation)
        self.site.design.limits.check(m.operation)
        if self.host.id not in await self.routing.find(m.operation):
            return await self.forward(m.operation)
        try:
            return await self.consistency.perform(m.operation)
        except Elsewhere as error:
            return await self.forward(m.operation, error.hint)
