"""Clients in the simulated world: each is an endpoint of its own in the simulated network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvsim.core.host import Timer
from kvsim.core.message import Envelope, Failure, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, Perform
from kvsim.sim.port import Port
from kvsim.sim.world import World
from kvsim.workload.driver import Answered


class _Endpoint:
    """One client's port, and who waits for which answer."""

    def __init__(self, world: World, name: NodeId) -> None:
        self.port: Port = world.client(name, self._deliver, self._peer_lost)
        self._asked: dict[int, tuple[NodeId, Answered]] = {}
        self._number = 0

    def perform(self, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send, and call `answered` when the answer comes."""
        self._number = number = self._number + 1
        self._asked[number] = (door, answered)
        self.port.send(door, Envelope(Perform(operation), request=number))
        return lambda: self._forget(number)

    def _forget(self, number: int) -> None:
        self._asked.pop(number, None)

    def _deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        asked = self._asked.pop(envelope.answers, None)
        if asked is not None:
            asked[1](envelope.message)

    def _peer_lost(self, peer: NodeId) -> None:
        lost = [(number, answered) for number, (door, answered) in self._asked.items() if door == peer]
        for number, answered in lost:
            if self._asked.pop(number, None) is not None:
                answered(Failure("outcome_unknown", f"the connection to {peer} broke"))


class SimDriver:
    """Implements `kvsim.workload.driver.Driver` on a World."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._doors = world.cluster.doors()
        self._endpoints: dict[NodeId, _Endpoint] = {}
        self._clock = world.client("observer", lambda _, __: None, lambda _: None)

    def now(self) -> Nanoseconds:
        """True time."""
        return self.world.now()

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time."""
        return self._clock.after(delay_ns, call)

    def doors(self) -> tuple[NodeId, ...]:
        """The nodes that take clients' requests."""
        return self._doors

    def perform(self, client: NodeId, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send the operation from this client to this door."""
        endpoint = self._endpoints.get(client)
        if endpoint is None:
            endpoint = self._endpoints[client] = _Endpoint(self.world, client)
        return endpoint.perform(door, operation, answered)
