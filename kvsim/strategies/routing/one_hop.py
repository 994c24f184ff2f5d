"""One-hop routing: every node knows all members, so it finds a key's nodes itself and asks them directly.

Gupta, Liskov and Rodrigues, "One hop lookups for peer-to-peer overlays", HotOS 2003. Costs a full member list on every
node.
"""

from __future__ import annotations

from kvsim.core.axes import Routing
from kvsim.core.message import NodeId
from kvsim.core.operation import AnyOperation, Read, Scan


class OneHop(Routing):
    """Looks the key up in the node's own list of members: no message needed to find who holds it."""

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        if isinstance(op, Scan):
            return self.site.placement.members
        replicas = self.site.placement.replicas(op.key)
        if isinstance(op, Read) and self.site.any_replica:
            turn = op.request.number % len(replicas)
            return replicas[turn:] + replicas[:turn]
        return replicas
