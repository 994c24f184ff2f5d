"""A client's port into the simulated network: an address without a node behind it, and with no CPU time of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvsim.core.message import Channel, Envelope, Nanoseconds, NodeId, tag_of
from kvsim.sim.engine import Engine, Timer
from kvsim.sim.events import Delivered, PeerLost
from kvsim.sim.network import Network
from kvsim.sim.packet import Packet


class Port:
    """Sends to nodes, and gets their answers."""

    up = True
    leaves_ns = 0

    def __init__(
        self,
        name: NodeId,
        engine: Engine,
        network: Network,
        deliver: Callable[[NodeId, Envelope[Any]], None],
        peer_lost: Callable[[NodeId], None],
    ) -> None:
        self.id = name
        self._engine, self._network = engine, network
        self._observer = network.observer
        self._deliver, self._peer_lost = deliver, peer_lost
        self._links = network.join(self)

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        """Send to a node."""
        link = self._links.get(to) or self._network.connect(self.id, to)
        if channel is Channel.STREAM:
            link.send(envelope)
        else:
            link.send_datagram(envelope)

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time."""
        timer = Timer(self._engine, call)
        self._engine.call_at(self._engine.time_ns + delay_ns, self._fire, timer)
        return timer

    def _fire(self, timer: Timer) -> None:
        call, timer.call = timer.call, None
        if call is None:
            self._engine.cancelled -= 1
        else:
            self._observer.follow(0)
            call()

    def accept(self, packet: Packet) -> None:
        """A packet of a stream comes in."""
        link = packet.link
        if link.clear and packet.epoch == link.epoch:
            link.settled += 1
        elif not link.admit(packet):
            return
        self.take(packet)

    def take(self, packet: Packet) -> None:
        """A packet has arrived."""
        if self._observer.detailed:
            event = Delivered(packet.link.source.id, tag_of(packet.envelope.message))
            self._observer.follow(self._observer.record(self.id, event, packet.envelope.cause))
        self._deliver(packet.link.source.id, packet.envelope)

    def queue(self, packet: Packet) -> None:
        """A packet to itself."""
        self._engine.call_at(self._engine.time_ns, self.take, packet)

    def lose(self, peer: NodeId) -> None:
        """A stream broke; the client learns of it when what happens now is over."""
        self._engine.call_at(self._engine.time_ns, self._learn, peer)

    def _learn(self, peer: NodeId) -> None:
        if self._observer.wants(PeerLost):
            self._observer.follow(self._observer.record(self.id, PeerLost(peer), 0))
        self._peer_lost(peer)
