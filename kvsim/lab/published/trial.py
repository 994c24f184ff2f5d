"""What all methods share: a client beside the nodes that does one operation after another and notes the times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kvsim.core.message import SECOND, Envelope, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, Perform, Put, Read, RequestId
from kvsim.lab.experiment import Setup
from kvsim.sim.world import World

PATIENCE_NS = 60 * SECOND
"""So long a trial waits for what must happen."""
KEY = b"key"


class Measured(NamedTuple):
    """What a method found at one point."""

    metrics: dict[str, float]
    samples: dict[str, Sequence[float]]
    """Single values, where a plot shows how they are distributed."""


class Asker:
    """A client of a world."""

    def __init__(self, world: World, name: NodeId = "client-1") -> None:
        self.world = world
        self._port = world.client(name, self._deliver)
        self._number = 0
        self._waiting: dict[int, Callable[[Any], None]] = {}

    def put(self, to: NodeId, value: bytes, answered: Callable[[Any], None]) -> None:
        """Write the key."""
        self._ask(to, Put(self._request(), KEY, value), answered)

    def read(self, to: NodeId, answered: Callable[[Any], None]) -> None:
        """Read the key."""
        self._ask(to, Read(self._request(), KEY), answered)

    def wait_for(self, ask: Callable[[Callable[[Any], None]], None]) -> tuple[Any, Nanoseconds]:
        """Ask, run the world until the answer comes, and give it with the time it took; None where none came."""
        answers: list[Any] = []
        began_ns = self.world.now()
        ask(answers.append)
        self.world.run_until(lambda: bool(answers), PATIENCE_NS)
        return (answers[0] if answers else None), self.world.now() - began_ns

    def _request(self) -> RequestId:
        self._number += 1
        return RequestId(self._port.id, self._number)

    def _ask(self, to: NodeId, operation: AnyOperation, answered: Callable[[Any], None]) -> None:
        self._waiting[operation.request.number] = answered
        self._port.send(to, Envelope(Perform(operation), request=operation.request.number))

    def _deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        answered = self._waiting.pop(envelope.answers, None)
        if answered is not None:
            answered(envelope.message)


def world_of(setup: Setup, seed: int) -> World:
    """The simulated world of a point."""
    assert setup.world is not None, "it was read for the simulated world"
    return World(setup.design, setup.cluster, setup.world, seed)


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return sorted_values[min(len(sorted_values) - 1, max(0, -int(-share * len(sorted_values) // 1) - 1))]
