"""Peer to peer: every node takes clients' requests, stores data, and finds for itself who holds a key.

A peer tries on by the same rule as a frontend: until the design's `timeout` while nodes refuse, itself among them; a
read's coordinator that does not answer is left after a third of it.
"""

from __future__ import annotations

from typing import Any

from kvsim.core.axes import Consistency, Routing, Site, Topology
from kvsim.core.message import NodeId
from kvsim.core.node import Component, answers
from kvsim.core.operation import AnyResult, Perform
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
    """Serves what it holds and forwards the rest, one hop at most. It asks itself first, and tries on as a frontend
    does."""

    coordinator: Consistency

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        if m.hops:
            return await self.coordinator.perform(m.operation)
        self.site.design.limits.check(m.operation)
        return await self.forward(m.operation)
