"""Faults that a transport makes on purpose: what a node sends to some peers is cut off, lost or late for a while.

So `kvsim bench` can hurt a real cluster as the simulator hurts a simulated one, without rights over the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.host import Timer
from kvsim.core.message import MILLISECOND, Channel, Nanoseconds, NodeId

RETRANSMISSION_NS = 200 * MILLISECOND
"""What a lost packet costs a stream: Linux' least retransmission timeout."""


class LinkFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to messages to one peer."""

    cut: bool = False
    """Nothing gets through. A stream that lost messages so is broken when the cut ends."""
    loss: float = 0.0
    """The share of messages lost: a datagram is gone, a stream sends it again and is late."""
    delay_ns: Nanoseconds = 0
    jitter_ns: Nanoseconds = 0
    """Added to the delay: up to this much, evenly distributed. Streams keep their order."""


class Path(Protocol):
    """What the filter stands before."""

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        """Send for real."""

    def break_streams(self, peer: NodeId) -> None:
        """Break the streams to and from this peer."""


class LinkFilter:
    """Stands between a host and its transport while faults are installed."""

    def __init__(self, path: Path, chance: Chance, now: Callable[[], Nanoseconds], after: Callable[..., Timer]) -> None:
        self.faults: dict[NodeId, LinkFault] = {}
        self.dropped = 0
        self._path, self._chance, self._now, self._after = path, chance, now, after
        self._swallowed: dict[NodeId, bool] = {}
        self._due_ns: dict[NodeId, Nanoseconds] = {}

    def install(self, faults: Mapping[NodeId, LinkFault]) -> None:
        """Put these faults in the place of all that stand; none heals everything."""
        self.faults = dict(faults)
        for peer in list(self._swallowed):
            if not (peer in self.faults and self.faults[peer].cut):
                del self._swallowed[peer]
                self._path.break_streams(peer)

    def concerns(self, peer: NodeId) -> bool:
        """Whether messages to this peer must pass here: a fault stands, or late ones are still before them."""
        return peer in self.faults or peer in self._due_ns

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        """Let through, hold up or drop."""
        fault = self.faults.get(to, _HEALED)
        if fault.cut:
            self.dropped += 1
            if channel is Channel.STREAM:
                self._swallowed[to] = True
            return
        delay_ns = fault.delay_ns + int(self._chance.uniform(0, fault.jitter_ns))
        if channel is Channel.DATAGRAM:
            if self._chance.happens(fault.loss):
                self.dropped += 1
            else:
                self._after(delay_ns, lambda: self._path.transmit(to, payload, channel))
            return
        again_ns = RETRANSMISSION_NS
        while self._chance.happens(min(fault.loss, 0.99)):
            delay_ns, again_ns = delay_ns + again_ns, 2 * again_ns
        due_ns = max(self._now() + delay_ns, self._due_ns.get(to, 0))
        self._due_ns[to] = due_ns
        self._after(due_ns - self._now(), lambda: self._arrive(to, payload, due_ns))

    def _arrive(self, to: NodeId, payload: bytes, due_ns: Nanoseconds) -> None:
        if self._due_ns.get(to) == due_ns:
            del self._due_ns[to]
        if self.faults.get(to, _HEALED).cut:  # on its way when the cut came
            self._swallowed[to] = True
            self.dropped += 1
        else:
            self._path.transmit(to, payload, Channel.STREAM)


_HEALED = LinkFault()
