"""A link: the way of messages from one endpoint to another, as a stream like TCP's and as datagrams like UDP's.

A stream keeps order. What the network loses on it is sent again after a timeout that doubles at each try (RFC 6298),
and what was sent later waits for it; after too many tries the stream breaks and both ends learn of it. Left out: fast
retransmit, windows, and the cost of acknowledgements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from simpy.events import NORMAL

from kvsim.core.chance import Chance
from kvsim.core.message import DATAGRAM_LIMIT_BYTES, Channel, Envelope, Nanoseconds, NodeId, tag_of
from kvsim.sim.events import Dropped, Retransmitted, Sent
from kvsim.sim.packet import STREAM, Deliver, Drop, Packet, Verdict
from kvsim.transport.frames import HEADER_BYTES

if TYPE_CHECKING:
    from kvsim.sim.network import Network


MARKS = 16
"""Into so many parts the bytes are divided that a stream may have under way, to tell when there are too many."""


class Nuisance(NamedTuple):
    """The shares of messages to which something happens on a way."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0


Way = tuple[tuple["Pipe | None", Callable[[], Nanoseconds]], ...]
"""The links that a message passes, one after the other: what it queues for, and how long it travels."""


class Endpoint(Protocol):
    """A node's machine, or a client: where links begin and end."""

    id: NodeId
    up: bool
    leaves_ns: Nanoseconds
    """What is sent before this time leaves then."""

    def accept(self, packet: Packet) -> None:
        """A packet of a stream comes in; the link may yet refuse it."""

    def take(self, packet: Packet) -> None:
        """A packet has arrived."""

    def queue(self, packet: Packet) -> None:
        """A packet of the endpoint to itself: to be taken after what is happening now."""

    def lose(self, peer: NodeId) -> None:
        """The stream with this peer broke, and this end learns of it now."""


class Pipe:
    """A bandwidth that messages queue for."""

    __slots__ = ("bytes_per_s", "free_ns")

    def __init__(self, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self.free_ns: Nanoseconds = 0
        """When all that it was given will have passed."""


class Stall:
    """A lost message that must get through, and what was sent later and is held behind it."""

    __slots__ = ("attempt", "held", "resent_ns")

    def __init__(self, first: Packet) -> None:
        self.held = deque([first])
        self.attempt = 0
        self.resent_ns = first.sent_ns


class Link:
    """From one endpoint to another, in one direction; `back` is the other direction of the same stream."""

    # A large world has hundreds of thousands of links, so each is small.
    __slots__ = (
        "_accept", "_again", "_encode", "_engine", "_fifo", "_further", "_last_ns", "_latency", "_loss", "_losses",
        "_marks", "_may_send", "_next_id", "_nuisance", "_outbox", "_pipe", "_push", "_rest_ns", "_traced",
        "_troubles", "_way", "back", "bytes_sent", "clear", "datagram_bytes", "datagrams_sent", "datagrams_settled",
        "dropped", "epoch", "network", "plain", "sent", "settled", "source", "source_id", "stall", "target",
        "typical_ns", "unaware",
    )  # fmt: skip

    back: Link

    def __init__(self, network: Network, source: Endpoint, target: Endpoint, chance: Chance) -> None:
        self.network, self.source, self.target = network, source, target
        self.source_id = source.id
        self._engine = network.engine
        self._push, self._next_id = network.engine.push, network.engine.next_id
        self._encode = network.codec.encode
        self._accept = target.accept
        self._fifo = network.settings.order == "fifo"
        self._outbox = network.settings.outbox
        self._may_send = min(self._outbox * HEADER_BYTES, network.settings.buffer_bytes // MARKS)
        """Until so many bytes are sent in all, the stream cannot be full."""
        self._marks: list[tuple[int, int]] = []
        """How many messages and how many bytes had been sent on the stream, whenever `_is_full` was asked."""
        self._way, self._nuisance, self.typical_ns = network.way(source.id, target.id, chance)
        self._loss = 1 - (1 - self._nuisance.loss) * (1 - self._nuisance.corrupt)
        self._pipe, self._latency = self._way[0]
        self._further = self._way[1:]
        self._rest_ns: Nanoseconds = 0
        """The mean time of what is left of the way when a message comes to its first event."""
        self._losses = chance.stream("loss")
        self._again = chance.stream("again")
        self._troubles = chance.stream("troubles")
        self._last_ns: Nanoseconds = 0
        self.sent = self.settled = 0
        """Messages on the stream, and how many of them are under way no more."""
        self.datagrams_sent = self.datagrams_settled = 0
        self.datagram_bytes = 0
        self.dropped = self.bytes_sent = 0
        """Of both."""
        self.epoch = 0
        self.stall: Stall | None = None
        self.unaware = False
        """The other end crashed, and the source has not learned that the stream is gone."""
        self._traced = False
        self.plain = self.clear = True
        """Nothing is unusual for what is sent, and nothing in the way of what arrives: messages take the short way."""

    def refresh(self) -> None:
        """Look again whether messages can take the short way."""
        network = self.network
        self._traced = network.observer.detailed
        unusual = network.wire or network.at_sending or any(self._nuisance) or not self._fifo
        self.plain = not (unusual or self.unaware or self.back.unaware)
        self.clear = not (network.at_arrival or self.stall) and self.target.up

    # Sending ----------------------------------------------------------------------------------------------------------

    def send(self, envelope: Envelope[Any]) -> None:
        """Send on the stream."""
        # What is called here is an attribute and no method; as a local name it is found three times as fast.
        encode, latency = self._encode, self._latency
        push, next_id = self._push, self._next_id
        size = len(encode(envelope)) + HEADER_BYTES
        at, leaves_ns = self._engine.time_ns, self.source.leaves_ns
        if leaves_ns > at:
            at = leaves_ns
        packet = Packet(self, envelope, size, at, self.epoch)
        self.bytes_sent = bytes_sent = self.bytes_sent + size
        self.sent += 1
        pipe = self._pipe  # as in `_travel`, without the call
        if pipe is not None:
            if pipe.free_ns > at:
                at = pipe.free_ns
            pipe.free_ns = at = at + size * 1_000_000_000 // pipe.bytes_per_s
        at += latency()
        if self._further:
            at = self._travel(at, size, self._further)
        if bytes_sent > self._may_send and self._is_full():
            self.settled += 1
            self.overflow(packet)
        elif self.plain:
            if self._traced:
                self.record_sent(packet)
            if at < self._last_ns:
                at = self._last_ns
            else:
                self._last_ns = at
            push((at, NORMAL, next_id(), self._accept, packet))
        else:
            self._send_the_long_way(packet, at)

    def _send_the_long_way(self, packet: Packet, at: Nanoseconds) -> None:
        """The same, where something is wrong or somebody listens."""
        at = self._judge(packet, at)
        if self.unaware and self._fifo:
            self._refuse(packet, at)
            return
        if self.back.unaware:  # a restarted node's first message tells the other end that the old stream is gone
            self._push((at + self._rest_ns, NORMAL, self._next_id(), self.back.learn, self.back.epoch))
        if self._fifo:
            self._last_ns = at = max(at, self._last_ns)
        self._push((at, NORMAL, self._next_id(), self._miss if packet.lost else self._accept, packet))

    def _is_full(self) -> bool:
        """Whether too much is under way: too many messages, or too many bytes, which are known from one mark to the
        next. Asked only when so much was sent since it was last."""
        limit_bytes = self.network.settings.buffer_bytes
        sent_bytes = self.bytes_sent - self.datagram_bytes
        marks = self._marks = [mark for mark in self._marks if mark[0] >= self.settled]
        marks.append((self.sent, sent_bytes))
        left = self._outbox - (self.sent - self.settled)
        left_bytes = limit_bytes - (sent_bytes - marks[0][1])
        self._may_send = self.bytes_sent + min(left * HEADER_BYTES, left_bytes, limit_bytes // MARKS)
        return left < 0 or left_bytes < 0

    def send_datagram(self, envelope: Envelope[Any]) -> None:
        """Send by itself: it may be lost, and overtake others."""
        size = len(self._encode(envelope)) + HEADER_BYTES
        leaves_ns = max(self._engine.time_ns, self.source.leaves_ns)
        packet = Packet(self, envelope, size, leaves_ns, self.epoch, Channel.DATAGRAM)
        self.datagrams_sent += 1
        self.bytes_sent += size
        self.datagram_bytes += size
        at = self._travel(leaves_ns, size, self._way)
        if self._traced or not self.plain:
            at = self._judge(packet, at)
            if packet.again_after_ns is not None and not packet.lost:
                self.datagrams_sent += 1
                self._push((at + packet.again_after_ns, NORMAL, self._next_id(), self._take_datagram, packet))
        if size > DATAGRAM_LIMIT_BYTES + HEADER_BYTES:
            packet.lost = True
        if packet.lost:
            self._push((at, NORMAL, self._next_id(), self._miss_datagram, packet))
        elif self.datagrams_sent - self.datagrams_settled > self._outbox:
            self.datagrams_settled += 1
            self.overflow(packet)
        else:
            self._push((at, NORMAL, self._next_id(), self._take_datagram, packet))

    def _travel(self, now: Nanoseconds, size_bytes: int, way: Way) -> Nanoseconds:
        """When a message sent now arrives: for each link on its way it queues for the bandwidth, then it travels."""
        for pipe, latency in way:
            if pipe is not None:
                if pipe.free_ns > now:
                    now = pipe.free_ns
                pipe.free_ns = now = now + size_bytes * 1_000_000_000 // pipe.bytes_per_s
            now += latency()
        return now

    def _judge(self, packet: Packet, at: Nanoseconds) -> Nanoseconds:
        """What loss, faults, trace and wire mode make of a packet that is sent: when it arrives, if it is not lost."""
        network = self.network
        packet.lost = self._losses.happens(self._loss)
        if self._nuisance.reorder or self._nuisance.duplicate:
            at = self._trouble(packet, at)
        if network.wire:
            packet.envelope = network.codec.decode(self._encode(packet.envelope))
        if network.observer.detailed:
            self.record_sent(packet)
        for rule in network.at_sending:
            verdict = rule(packet)
            if verdict is not None:
                if isinstance(verdict, Deliver):
                    if verdict.again_after_ns is not None:
                        packet.again_after_ns = verdict.again_after_ns
                    return at + verdict.after_ns
                packet.lost = True
                return at
        return at

    def _trouble(self, packet: Packet, at: Nanoseconds) -> Nanoseconds:
        """Hold the packet back, or let it arrive twice, as often as the link does."""
        network, chance = self.network, self._troubles
        if chance.happens(self._nuisance.reorder):
            at += network.draw_latency(self.source.id, self.target.id, chance)
        if chance.happens(self._nuisance.duplicate):
            packet.again_after_ns = network.draw_latency(self.source.id, self.target.id, chance)
        return at

    def record_sent(self, packet: Packet) -> None:
        """Tell the trace, and let the envelope carry the entry's number to the other end."""
        envelope = packet.envelope
        message = envelope.message
        channel = "stream" if packet.channel is STREAM else "datagram"
        kind = message.__struct_config__.tag  # as `tag_of`, without the call
        event = Sent(self.target.id, kind, channel, packet.size_bytes, message)
        cause = self.network.observer.record(self.source.id, event)
        packet.envelope = Envelope(message, envelope.request, envelope.answers, cause)

    def _refuse(self, packet: Packet, at: Nanoseconds) -> None:
        """The stream is gone: a restarted peer answers with a reset, one that is down with silence."""
        self.settled += 1
        self.drop(packet, "its stream is gone")
        if self.target.up:
            round_trip_ns = 2 * (at + self._rest_ns - packet.sent_ns)
            self._push((packet.sent_ns + round_trip_ns, NORMAL, self._next_id(), self.learn, self.epoch))

    # Arriving ---------------------------------------------------------------------------------------------------------

    def admit(self, packet: Packet) -> bool:
        """Whether a packet that took the long way arrives now."""
        if packet.epoch != self.epoch:
            self._note_dropped(packet, "its stream broke")
            return False
        if self.stall is not None:
            self.stall.held.append(packet)
            return False
        if self._obstacle(packet) is None:
            self.settled += 1
            return True
        self._begin_stall(packet)
        return False

    def _obstacle(self, packet: Packet) -> str | None:
        """Why a packet cannot arrive now; None if it can."""
        if not self.target.up:
            return "the node is down"
        for rule in self.network.at_arrival:
            verdict = rule(packet)
            if isinstance(verdict, Drop):
                return verdict.reason
            if verdict is not None:
                return None
        return None

    def _miss_datagram(self, packet: Packet) -> None:
        self.datagrams_settled += 1
        self.drop(packet, "lost")

    def _take_datagram(self, packet: Packet) -> None:
        self.datagrams_settled += 1
        reason = None if self.clear else self._obstacle(packet)
        if reason is None:
            self.target.take(packet)
        else:
            self.drop(packet, reason)

    def drop(self, packet: Packet, reason: str) -> None:
        """A packet that is under way no more will never be handled."""
        self.dropped += 1
        self._note_dropped(packet, reason)

    def _note_dropped(self, packet: Packet, reason: str) -> None:
        observer = self.network.observer
        if observer.wants(Dropped):
            event = Dropped(self.target.id, tag_of(packet.envelope.message), reason)
            observer.record(self.source.id, event, packet.envelope.cause)

    def overflow(self, packet: Packet) -> None:
        """A queue on the way is full: a datagram is dropped, a stream breaks."""
        self.network.overflows += 1
        self.drop(packet, "a queue is full")
        if packet.channel is STREAM:
            self.break_stream("a queue is full")

    # Sending again ----------------------------------------------------------------------------------------------------

    def _miss(self, packet: Packet) -> None:
        """Here a packet that the network lost would have arrived."""
        if packet.epoch != self.epoch:
            self._note_dropped(packet, "its stream broke")
        elif self.stall is not None:
            self.stall.held.append(packet)
        else:
            self._begin_stall(packet)

    def _begin_stall(self, packet: Packet) -> None:
        stall = Stall(packet)
        if self._fifo:
            self.stall = stall
            self.clear = False
        self._await_timeout(stall)

    def _await_timeout(self, stall: Stall) -> None:
        rto_ns = (self.network.settings.min_rto_ns + 2 * self.typical_ns) << stall.attempt
        at = max(self._engine.time_ns, stall.resent_ns + rto_ns)
        self._push((at, NORMAL, self._next_id(), self._send_again, stall))

    def _send_again(self, stall: Stall) -> None:
        first = stall.held[0]
        if first.epoch != self.epoch:
            if not self._fifo:
                self._note_dropped(first, "its stream broke")
            return
        stall.attempt += 1
        if stall.attempt > self.network.settings.retransmissions:
            self._give_up(stall)
            return
        observer = self.network.observer
        if observer.wants(Retransmitted):
            observer.record(self.source.id, Retransmitted(self.target.id, stall.attempt), first.envelope.cause)
        now = self._engine.time_ns
        stall.resent_ns = now
        at = now + self.network.draw_latency(self.source.id, self.target.id, self._again)
        self._push((at, NORMAL, self._next_id(), self._arrive_again, stall))

    def _arrive_again(self, stall: Stall) -> None:
        first = stall.held[0]
        if first.epoch != self.epoch:
            if not self._fifo:
                self._note_dropped(first, "its stream broke")
            return
        first.lost = self._again.happens(self._loss) or isinstance(self._verdict_again(first), Drop)
        if first.lost or self._obstacle(first) is not None:
            self._await_timeout(stall)
        else:
            self._release(stall)

    def _verdict_again(self, packet: Packet) -> Verdict:
        return next((verdict for rule in self.network.at_sending if (verdict := rule(packet)) is not None), None)

    def _release(self, stall: Stall) -> None:
        """The first has arrived: hand over what was held behind it, up to the next that was lost."""
        held, epoch = stall.held, self.epoch
        self.stall = None
        while held and self.epoch == epoch:  # a node that handles one may break the stream
            if held[0].lost:
                held[0].lost = False
                stall.attempt, stall.resent_ns, self.stall = 0, held[0].sent_ns, stall
                self._await_timeout(stall)
                return
            self.settled += 1
            self.target.take(held.popleft())
        self.refresh()

    def _give_up(self, stall: Stall) -> None:
        if self._fifo:
            self.break_stream("too many retransmissions")
        else:
            self.settled += 1
            self.drop(stall.held[0], "too many retransmissions")
            self.source.lose(self.target.id)
            self.target.lose(self.source.id)

    # Breaking ---------------------------------------------------------------------------------------------------------

    def break_stream(self, reason: str) -> None:
        """The stream ends, in both directions; what was under way on it is lost, and both ends learn of it now."""
        self.reset(reason)
        self.back.reset(reason)
        self.source.lose(self.target.id)
        self.target.lose(self.source.id)

    def reset(self, reason: str) -> None:
        """This direction begins anew. What is under way will not arrive."""
        self.dropped += self.sent - self.settled
        self.settled = self.sent
        self.epoch += 1
        self._last_ns = 0
        self.unaware = False
        stall, self.stall = self.stall, None
        if stall is not None:
            for packet in stall.held:
                self._note_dropped(packet, reason)
        self.refresh()

    def outlive(self, keepalive_ns: Nanoseconds) -> None:
        """The target has crashed: the source will learn of it by the silence, or sooner."""
        self.unaware = True
        self.refresh()
        self.back.refresh()
        at: Nanoseconds = self._engine.time_ns + keepalive_ns
        self._push((at, NORMAL, self._next_id(), self.learn, self.epoch))

    def learn(self, epoch: int) -> None:
        """The source learns that the stream of this epoch is gone, if it has not yet."""
        if self.unaware and epoch == self.epoch:
            self.unaware = False
            self.refresh()
            self.back.refresh()
            self.source.lose(self.target.id)
