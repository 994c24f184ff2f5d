"""Links that differ from others: with times by kind of message, and from an endpoint to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvsim.core.chance import Chance
from kvsim.core.message import Envelope, tag_of
from kvsim.sim.link import Endpoint, Link, Packet
from kvsim.transport.frames import HEADER_BYTES

if TYPE_CHECKING:
    from kvsim.sim.network import Network


class KindLink(Link):
    """A link on which messages of some kinds have a time of their own, beside all latencies of the way."""

    __slots__ = ("_draws", "_usual")

    def __init__(self, network: Network, source: Endpoint, target: Endpoint, chance: Chance) -> None:
        super().__init__(network, source, target, chance)
        self._usual = self._latency, self._further, self._way
        self._draws = {
            kind: time.draws(chance.stream(f"kind/{kind}")).__next__ for kind, time in network.settings.kinds.items()
        }

    def send(self, envelope: Envelope[Any]) -> None:
        """Send on the stream."""
        self._take_way_of(envelope)
        super().send(envelope)

    def send_datagram(self, envelope: Envelope[Any]) -> None:
        """Send by itself."""
        self._take_way_of(envelope)
        super().send_datagram(envelope)

    def _take_way_of(self, envelope: Envelope[Any]) -> None:
        draw = self._draws.get(tag_of(envelope.message))
        if draw is None:
            self._latency, self._further, self._way = self._usual
        else:
            self._latency, self._further, self._way = draw, (), ((self._pipe, draw),)


class Loopback(Link):
    """From an endpoint to itself: no network, only the queue before its CPU."""

    __slots__ = ()

    def __init__(self, network: Network, host: Endpoint, chance: Chance) -> None:
        self.back = self
        super().__init__(network, host, host, chance)

    def send(self, envelope: Envelope[Any]) -> None:
        """Put into the own queue."""
        size = len(self._encode(envelope)) + HEADER_BYTES
        now = self._engine.time_ns
        packet = Packet(self, envelope, size, now, self.epoch)
        self.sent += 1
        self.bytes_sent += size
        if self._traced or not self.plain:
            self._judge(packet, now)
        self.target.queue(packet)

    send_datagram = send
