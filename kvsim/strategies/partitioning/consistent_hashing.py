"""Consistent hashing: nodes hold many tokens on a ring, and a key belongs to the nodes met first when walking on from
its hash.

Karger et al., "Consistent hashing and random trees", STOC 1997; virtual nodes as in DeCandia et al., "Dynamo", SOSP
2007, 4.2.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

import msgspec

from kvsim.core.axes import Partitioning
from kvsim.core.message import NodeId
from kvsim.core.operation import Key
from kvsim.core.placing import position


class RingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of consistent hashing."""

    vnodes: Annotated[int, msgspec.Meta(ge=1, le=4_096)] = 64
    """Tokens of each node; more make the load more even, and the ring larger."""


class ConsistentHashing(Partitioning):
    """A ring of tokens; one node more moves only the keys that it takes over."""

    Settings = RingSettings
    monotone = True

    def __init__(self, settings: RingSettings, members: tuple[NodeId, ...]) -> None:
        super().__init__(settings, members)
        ring = sorted(
            (position(f"{member}#{token}".encode()), member) for member in members for token in range(settings.vnodes)
        )
        self._positions = [place for place, _ in ring]
        self._owners = [member for _, member in ring]

    def preference_list(self, key: Key, n: int) -> tuple[NodeId, ...]:
        wanted = min(n, len(self.members))
        at = bisect_right(self._positions, position(key))
        found: dict[NodeId, None] = {}
        while len(found) < wanted:
            found[self._owners[at % len(self._owners)]] = None
            at += 1
        return tuple(found)

    def tokens(self) -> list[tuple[int, NodeId]]:
        """The tokens in the order of the ring: each owns the arc that ends at its position."""
        return list(zip(self._positions, self._owners, strict=True))
