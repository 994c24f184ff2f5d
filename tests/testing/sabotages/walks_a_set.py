"""Node logic that takes nodes in the order of a set."""

from kvsim.core.operation import Read
from kvsim.strategies.routing.one_hop import OneHop


class WalksASet(OneHop):
    """Finds a key's nodes in any order."""

    async def find(self, op: Read) -> tuple[str, ...]:
        replicas = set(self.site.placement.replicas(op.key))
        return tuple(replicas)
