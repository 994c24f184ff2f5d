"""A quorum whose replicas answer before their disks: an acknowledged write can vanish with a power cut."""

from kvsim.core.message import NodeId
from kvsim.core.node import answers
from kvsim.core.replica import Change
from kvsim.strategies.replication.quorum import Quorum, Store, Stored


class AnswersEarly(Quorum):
    """Quorum replication that does not wait for the sync."""

    @answers(Store)
    async def store(self, sender: NodeId, m: Store) -> Stored:
        self.site.clock.saw(m.version)
        self.replica.apply(Change(m.request, m.key, m.value, m.version))
        return Stored(m.version)
