"""A packet, a message on its way, and the verdicts that a fault can give on it: it goes on later, or it is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kvsim.core.message import Channel, Envelope, Nanoseconds

if TYPE_CHECKING:
    from kvsim.sim.link import Link

STREAM = Channel.STREAM  # a name of its own, since a look-up in an Enum is slow and each packet needs one


class Packet(msgspec.Struct):
    """A message on its way. The garbage collector must know of it: it leads to the whole world, which else would stay
    for ever where it ends with a message under way."""

    link: Link
    envelope: Envelope[Any]
    size_bytes: int
    """With the frame's header."""
    sent_ns: Nanoseconds
    epoch: int
    """Which of the streams that the two ends have had one after the other."""
    channel: Channel = STREAM
    lost: bool = False
    again_after_ns: Nanoseconds | None = None


class Deliver(NamedTuple):
    """A verdict: the packet goes on, so much later."""

    after_ns: Nanoseconds
    again_after_ns: Nanoseconds | None = None
    """A datagram arrives a second time, so much after the first."""


class Drop(NamedTuple):
    """A verdict: the network loses the packet."""

    reason: str


Verdict = Deliver | Drop | None
"""What a fault makes of a packet. None: it has no opinion, and the next one is asked."""
Rule = Callable[[Packet], Verdict]
