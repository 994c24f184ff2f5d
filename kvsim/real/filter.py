"""Faults that a transport makes on purpose: what a node sends to some peers is cut off, lost or late for a while.

So `kvsim bench` can hurt a real cluster as the simulator hurts a simulated one, without rights over the network.
What is lost on a stream is sent again after a timeout that doubles at each try, as TCP does; what follows waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.host import Timer
from kvsim.core.message import MILLISECOND, Channel, Nanoseconds, NodeId
from kvsim.transport.tcp import OUTBOX_LIMIT_BYTES, OUTBOX_LIMIT_MESSAGES

RETRANSMISSION_NS = 200 * MILLISECOND
"""What the first loss costs a stream: Linux' least retransmission timeout."""
RETRANSMISSIONS = 4
"""After so many tries in vain the stream breaks, and both ends learn of it."""


class LinkFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to messages to one peer."""

    cut: bool = False
    """Nothing gets through."""
    loss: float = 0.0
    """The share of messages lost: a datagram is gone, a stream sends it again and is late."""
    delay_ns: Nanoseconds = 0
    jitter_ns: Nanoseconds = 0
    """Added to the delay: up to this much, evenly distributed. Streams keep their order."""


HEALED = LinkFault()


class Path(Protocol):
    """What the filter stands before."""

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        """Send for real."""

    def break_streams(self, peer: NodeId) -> None:
        """Break the streams to and from this peer, and let both ends learn of it."""


class LinkFilter:
    """Stands between a host and its transport while faults are installed, and until what they held back has left."""

    def __init__(
        self,
        path: Path,
        chance: Chance,
        now: Callable[[], Nanoseconds],
        after: Callable[..., Timer],
        outbox: int = OUTBOX_LIMIT_MESSAGES,
    ) -> None:
        self.outbox = outbox
        """How many messages may wait behind a lost one; beyond it the stream breaks."""
        self.path, self.chance, self.now, self.after = path, chance, now, after
        self.faults: dict[NodeId, LinkFault] = {}
        self.dropped = self.overflows = 0
        self.concerned: frozenset[NodeId] = frozenset()
        """Peers whose messages must pass here: a fault stands, or earlier ones are still held."""
        self._streams: dict[NodeId, _HeldStream] = {}

    def install(self, faults: Mapping[NodeId, LinkFault]) -> None:
        """Put these faults in the place of all that stand; none heals everything."""
        self.faults = dict(faults)
        self._note_concerned()

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        """Let through, hold up or drop."""
        if channel is Channel.STREAM:
            if to not in self._streams:
                self._streams[to] = _HeldStream(self, to)
            self._streams[to].send(payload)
        elif self.loses(to):
            self.dropped += 1
        else:
            self.after(self.delay_ns(to), lambda: self._arrive(to, payload))

    def loses(self, to: NodeId) -> bool:
        """Whether the network loses a message that is sent now."""
        fault = self.faults.get(to, HEALED)
        return fault.cut or self.chance.happens(fault.loss)

    def delay_ns(self, to: NodeId) -> Nanoseconds:
        """How much later a message arrives that is sent now."""
        fault = self.faults.get(to, HEALED)
        return fault.delay_ns + (self.chance.below(fault.jitter_ns + 1) if fault.jitter_ns else 0)

    def emptied(self, peer: NodeId) -> None:
        """A stream holds nothing more."""
        del self._streams[peer]
        self._note_concerned()

    def _note_concerned(self) -> None:
        self.concerned = frozenset((*self.faults, *self._streams))

    def _arrive(self, to: NodeId, payload: bytes) -> None:
        if self.faults.get(to, HEALED).cut:  # it was on its way when the cut came
            self.dropped += 1
        else:
            self.path.transmit(to, payload, Channel.DATAGRAM)


class _HeldStream:
    """What waits on a stream to one peer, in order: the first for its time to arrive, the others for the first."""

    def __init__(self, filter: LinkFilter, peer: NodeId) -> None:
        self._filter, self._peer = filter, peer
        self._held: deque[tuple[Nanoseconds, bytes]] = deque()
        """When each would arrive, were nothing lost."""
        self._held_bytes = 0
        self._tries = 0
        self._epoch = 0

    def send(self, payload: bytes) -> None:
        arrives_ns = self._filter.now() + self._filter.delay_ns(self._peer)
        self._held.append((arrives_ns, payload))
        self._held_bytes += len(payload)
        if self._held_bytes > OUTBOX_LIMIT_BYTES or len(self._held) > self._filter.outbox:
            self._filter.overflows += 1
            self._break()
        elif len(self._held) == 1:
            self._arrive_in(arrives_ns - self._filter.now())

    def _arrive_in(self, delay_ns: Nanoseconds) -> None:
        epoch = self._epoch
        self._filter.after(max(delay_ns, 0), lambda: self._arrive() if epoch == self._epoch else None)

    def _arrive(self) -> None:
        while self._held:
            arrives_ns, payload = self._held[0]
            wait_ns = arrives_ns - self._filter.now()
            if wait_ns > 0:
                self._arrive_in(wait_ns)
                return
            if self._filter.loses(self._peer):
                self._try_again()
                return
            self._tries = 0
            self._held.popleft()
            self._held_bytes -= len(payload)
            self._filter.path.transmit(self._peer, payload, Channel.STREAM)
        self._filter.emptied(self._peer)

    def _try_again(self) -> None:
        if self._tries == RETRANSMISSIONS:
            self._break()
        else:
            self._arrive_in(RETRANSMISSION_NS << self._tries)
            self._tries += 1

    def _break(self) -> None:
        self._filter.dropped += len(self._held)
        self._held.clear()
        self._held_bytes = self._tries = 0
        self._epoch += 1
        self._filter.emptied(self._peer)
        self._filter.path.break_streams(self._peer)
