"""Node logic that places by `hash()`, which differs from process to process."""

from kvsim.core.message import NodeId
from kvsim.strategies.partitioning.modulo import Modulo


class Hashes(Modulo):
    """Places keys by Python's own hash."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        owner = hash(key) % len(self.members)
        return (self.members * 2)[owner : owner + min(n, len(self.members))]
