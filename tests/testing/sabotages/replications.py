"""Replications that do to their clients what they must not, in a way that single steps show."""

from typing import ClassVar

from kvsim.core.axes import Site
from kvsim.core.host import Recovered
from kvsim.core.message import Message, NodeId
from kvsim.core.node import answers, receives
from kvsim.core.operation import Absent, Elsewhere, Found, Page, Put, Read, Scan, Unavailable, Write, Written
from kvsim.core.replica import Change, change_for
from kvsim.core.version import Version
from kvsim.core.waiting import Future
from kvsim.strategies.replication.quorum import Quorum, Store, Stored
from kvsim.strategies.replication.single_copy import SingleCopy


class LosesWrites(SingleCopy):
    """Says that it has written, and has not."""

    async def write(self, op: Write) -> Written:
        return Written(Version(1), False)


class CreatesAnyway(SingleCopy):
    """Creates what is there."""

    async def _judged(self, op: Write) -> bool:
        return False


class BlocksForEver(SingleCopy):
    """Waits for what never comes."""

    async def write(self, op: Write) -> Written:
        return await Future[Written]()


class Loops(SingleCopy):
    """Never comes back from a read."""

    async def read_latest(self, op: Read) -> Found | Absent:
        while True:
            pass


class Raises(SingleCopy):
    """Fails at a key that it does not have."""

    async def read_latest(self, op: Read) -> Found | Absent:
        return Found(self.replica.records[op.key].value or b"", Version(1))


class Ball(Message, tag="sabotage.ball"):
    """Comes back."""


class PlaysBall(SingleCopy):
    """Two nodes answer each other for ever."""

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        for node in self.view.members[:1]:
            self.tell(node, Ball())

    @receives(Ball)
    def catch(self, sender: NodeId, m: Ball) -> None:
        self.tell(sender, Ball())


class KeepsToItself(Quorum):
    """Serves what it wrote itself: a write goes to the coordinator alone."""

    async def write(self, op: Write) -> Written:
        version = self.site.clock.next()
        await self.replica.apply(change_for(op, version, self.replica.judge(op)))
        return Written(version, None)

    async def read_any(self, op: Read) -> Found | Absent:
        record = self.replica.get(op.key)
        return Absent() if record is None or record.value is None else Found(record.value, record.version)


class SendsInCircles(SingleCopy):
    """Names itself as the one who serves, for some keys."""

    def _must_own(self, key: bytes) -> None:
        if key == b"key-3":
            raise Elsewhere("ask me", self.host.id)
        super()._must_own(key)


class CutsValues(SingleCopy):
    """Keeps the first hundred bytes."""

    async def read_latest(self, op: Read) -> Found | Absent:
        found = await super().read_latest(op)
        return Found(found.value[:100], found.version) if isinstance(found, Found) else found

    read_any = read_latest


class ScansBackwards(SingleCopy):
    """Gives the keys of a range from the last to the first."""

    async def scan(self, op: Scan) -> Page:
        page = await super().scan(op)
        return Page(page.items[::-1], page.next)


class AppliesRetriesTwice(SingleCopy):
    """Does not know a retry when it sees one."""

    async def write(self, op: Write) -> Written:
        self.replica.sessions.clear()
        return await super().write(op)


class AnswersEarly(Quorum):
    """Does not wait for its disk."""

    @answers(Store)
    async def store(self, sender: NodeId, m: Store) -> Stored:
        self.replica.apply(Change(m.request, m.key, m.value, m.version))
        return Stored(m.version)


class ForgetsAtRestart(SingleCopy):
    """Takes nothing over from its disk when it begins again alone."""

    lives: ClassVar[int] = 0

    def start(self, recovered: Recovered) -> None:
        if recovered.incarnation == 1:
            super().start(recovered)


class StaysAway(SingleCopy):
    """A node that has crashed once serves no more."""

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        self.is_back = recovered.incarnation > 1

    async def write(self, op: Write) -> Written:
        if self.is_back:
            raise Unavailable("once bitten")
        return await super().write(op)


class ServesPutsAlone(SingleCopy):
    """Cannot do anything in peer to peer."""

    async def write(self, op: Write) -> Written:
        if self.site.design.uses("topology", "peer_to_peer") and isinstance(op, Put):
            raise Unavailable("ask a frontend")
        return await super().write(op)


class Remembers(SingleCopy):
    """Keeps state in the class, so that one run changes the next."""

    lives: ClassVar[list[int]] = []

    def __init__(self, site: Site, settings: object) -> None:
        super().__init__(site, settings)
        self.lives.append(1)
        site.host.after(len(self.lives), lambda: None)
