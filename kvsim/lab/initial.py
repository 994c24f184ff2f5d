"""`[initial]`: what nodes' disks hold and who is down when the workload begins, for stories that start in the middle.

Nobody writes to a disk behind a strategy's back: nodes are down while clients load, so that what they recover is in
their own form, and what the others know of it is what they would know. All of it is in the history.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kvsim.core.design import Cluster, Design
from kvsim.core.message import NodeId
from kvsim.core.settings import nearest


class Initial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[initial]`: how the cluster is when the workload begins."""

    empty: tuple[NodeId, ...] = ()
    """ServerData that were down while the keys were loaded: they start, with none of them, as the workload begins."""
    stale: tuple[NodeId, ...] = ()
    """ServerData that were down while all keys were written a second time: they start, with the first values, as the
    workload begins."""
    down: tuple[NodeId, ...] = ()
    """Nodes that are down when the workload begins, with what they hold by then. One that `empty` or `stale` names too
    does not start; a `crash` that names it starts it when it `lasts` no longer."""

    @property
    def missing(self) -> tuple[NodeId, ...]:
        """The nodes that miss a part of the loading."""
        return self.empty + self.stale

    @property
    def starting(self) -> tuple[NodeId, ...]:
        """The nodes that start as the workload begins."""
        return tuple(node for node in self.missing if node not in self.down)

    def refusals(self, design: Design, cluster: Cluster) -> Iterable[str]:
        """Why it makes no sense in this design: key, reason and remedy, a sentence each."""
        for key, nodes, known in (
            ("empty", self.empty, cluster.data),
            ("stale", self.stale, cluster.data),
            ("down", self.down, cluster.everyone()),
        ):
            yield from (
                f"{key}: there is no {node!r} to be so{nearest(node, known)}" for node in nodes if node not in known
            )
        if both := [node for node in self.empty if node in self.stale]:
            yield f"stale: {both[0]} is empty too, so it holds no older values; name it once"
        if self.missing and set(cluster.data) <= set(self.missing):
            yield "empty: somebody must take what is loaded; leave out a node of empty or stale"
        if self.stale and design.durability == "memory":
            yield 'stale: in memory a node that was down holds nothing; use empty, or durability = "disk"'
        if self.stale and design.setting("storage", "written") == "once":
            yield "stale: this store writes each key once, so none has an older value; use empty"
