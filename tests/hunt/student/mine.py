"""What students write by mistake: code that draws by itself, remembers across runs, loops for ever, or fails."""

import random
from typing import ClassVar

from kvsim.core.axes import Site
from kvsim.core.operation import Absent, Found, Read
from kvsim.strategies.replication.quorum import Quorum, QuorumSettings


class Throws(Quorum):
    """Draws from a generator that nobody seeds."""

    async def read_any(self, op: Read) -> Found | Absent:
        self.host.after(random.SystemRandom().randrange(1, 10**6), lambda: None)
        return await super().read_any(op)


class Remembers(Quorum):
    """Keeps state in the class, so that one run changes the next."""

    lives: ClassVar[list[int]] = []

    def __init__(self, site: Site, settings: QuorumSettings) -> None:
        super().__init__(site, settings)
        self.lives.append(1)
        site.host.after(len(self.lives), lambda: None)


class Loops(Quorum):
    """Never comes back from a read."""

    async def read_any(self, op: Read) -> Found | Absent:
        while True:
            pass


class Fails(Quorum):
    """Has an error of its own in a rare branch."""

    async def read_any(self, op: Read) -> Found | Absent:
        if self.host.now() > 2_000_000_000:
            raise KeyError(op.key)
        return await super().read_any(op)


class Good(Quorum):
    """As good as the one that comes with kvsim."""
