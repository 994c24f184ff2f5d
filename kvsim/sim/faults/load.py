"""Faults by clients: more of them than anybody planned for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import SECOND, Envelope, NodeId
from kvsim.core.operation import Perform, Read, RequestId
from kvsim.sim.faults.base import Lasting, Struck

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation


class Overload(Lasting, frozen=True, tag="overload", kw_only=True):
    """A burst of further clients: they read keys of their own, and wait for nothing, as a Poisson process.

    Their reads are in no history, as they are no part of the workload; they take CPU and network from those that are.
    """

    rate: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
    """Reads a second, over all doors."""
    keys: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """How many different keys, each as likely: with one, all meet at its replicas."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Begin."""
        name = f"overload-{sum(client.startswith('overload-') for client in world.network.links) + 1}"
        burst = _Burst(world, name, chance, self)
        burst.ask()
        return Struck((), burst.end)


class _Burst:
    """Asks until it ends."""

    def __init__(self, world: Simulation, name: NodeId, chance: Chance, settings: Overload) -> None:
        self._world, self._chance, self._settings = world, chance, settings
        self._port = world.client(name, self._answered)
        self._number = 0
        self._over = False

    def ask(self) -> None:
        """Send one read, and come back for the next."""
        if self._over:
            return
        self._number += 1
        key = b"overload/%d" % self._chance.below(self._settings.keys)
        door = self._world.doors[self._number % len(self._world.doors)]
        self._port.send(
            door, Envelope(Perform(Read(RequestId(self._port.id, self._number), key)), request=self._number)
        )
        self._port.after(1 + round(self._chance.exponential(SECOND / self._settings.rate)), self.ask)

    def end(self) -> None:
        """Ask no more."""
        self._over = True

    def _answered(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """Nobody waits for it."""
