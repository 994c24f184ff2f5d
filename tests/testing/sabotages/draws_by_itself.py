"""Node logic that draws where no seed reaches."""

import random

from kvsim.core.axes import Partitioning
from kvsim.core.message import NodeId


class DrawsByItself(Partitioning):
    """Throws dice for a key's nodes."""

    def preference_list(self, key: bytes, n: int) -> tuple[NodeId, ...]:
        return tuple(random.sample(self.members, min(n, len(self.members))))
