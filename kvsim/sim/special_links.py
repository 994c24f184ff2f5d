"""Links that differ from others: with times by kind of message, and from an endpoint to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simpy.events import NORMAL

from kvsim.core.chance import Chance
from kvsim.core.message import Channel, Envelope, tag_of
from kvsim.sim.link import Endpoint, Link
from kvsim.sim.packet import Packet
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


class RoutedLink(Link):
    """Over several links with bandwidths: a message queues for each of them when it comes to it, among all others that
    are there by then. That takes an event a link.
    """

    __slots__ = ("_came_ns", "_hops")

    def __init__(self, network: Network, source: Endpoint, target: Endpoint, chance: Chance) -> None:
        super().__init__(network, source, target, chance)
        self._hops = self._further
        self._came_ns = [0] * len(self._hops)
        """When the stream's last message comes to the end of each: routers keep the order of a stream."""
        # To what sends, the way ends at the first router.
        self._way, self._further = self._way[:1], ()
        self._accept = self._enter
        rest = network.places.route(source.id, target.id)[1:]
        self._rest_ns = round(sum(hop.latency.average_ns() for hop in rest))

    def reset(self, reason: str) -> None:
        """This direction begins anew."""
        super().reset(reason)
        self._came_ns = [0] * len(self._hops)

    def _enter(self, packet: Packet) -> None:
        """The packet, lost or not, is at the first router."""
        self._go_on((packet, 0))

    _miss = _take_datagram = _miss_datagram = _enter

    def _go_on(self, onward: tuple[Packet, int]) -> None:
        packet, hop = onward
        if hop == len(self._hops):
            self._arrive(packet)
            return
        at = self._travel(self._engine.time_ns, packet.size_bytes, self._hops[hop : hop + 1])
        if packet.channel is Channel.STREAM and self._fifo and packet.epoch == self.epoch:
            self._came_ns[hop] = at = max(at, self._came_ns[hop])
        self._push((at, NORMAL, self._next_id(), self._go_on, (packet, hop + 1)))

    def _arrive(self, packet: Packet) -> None:
        """All that the network did with the packet is over."""
        if packet.channel is Channel.DATAGRAM:
            (super()._miss_datagram if packet.lost else super()._take_datagram)(packet)
        elif packet.lost:
            super()._miss(packet)
        else:
            self.target.accept(packet)


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
