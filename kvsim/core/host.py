"""The seam between a node and its world: what a node may ask (Host), and what a world may ask of a node (Program).

The simulated, the explored and the real world implement Host and drive Program; nothing else differs between them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import Channel, Envelope, Nanoseconds, NodeId
from kvsim.core.trace import Event
from kvsim.core.waiting import Future, Task


class DiskError(Exception):
    """An append, sync or replace failed. The node that sees it stops: what is on the disk is no longer known."""


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Do not call; harmless when the call has been, and when done twice."""


class Disk(Protocol):
    """A node's disk: named files that grow at the end. Operations take effect in the order of issue.

    What was appended survives a crash only if a sync of that file, issued later, has completed.
    """

    def append(self, file: str, data: bytes) -> Future[None]:
        """Write at the end of the file; done when a later sync would cover it."""

    def sync(self, file: str) -> Future[None]:
        """Done when everything appended to the file before this call will outlive a power cut."""

    def replace(self, file: str, data: bytes) -> Future[None]:
        """Put a new content in the old one's place, durably and at once: after a crash one or the other is there."""

    def full(self) -> bool:
        """Whether the space left is below the reserve; a node then refuses writes before it begins them."""


class Recovered(msgspec.Struct, frozen=True):
    """What a node finds when it starts."""

    files: Mapping[str, bytes] = {}
    """Its disk's files as the last crash left them, synced, so that the node can vouch for what it finds."""
    incarnation: int = 1
    """How often this node has started, this start included; never repeats, so it can number what must be unique."""


class Host(Protocol):
    """All that a node may ask of its world."""

    id: NodeId
    chance: Chance
    disk: Disk

    def now(self) -> Nanoseconds:
        """The monotonic clock; it may drift. Timeouts and leases use it."""

    def wall(self) -> Nanoseconds:
        """This node's calendar, since 1970; it may be off and jump. Only `core/version.py` reads it."""

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        """Send. A message to oneself is queued like any other, never handled inside this call."""

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time on the monotonic clock; ties go in the order of issue."""

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        """Run a coroutine in the node's scope; it dies with the node."""

    def wants(self, kind: type[Event]) -> bool:
        """Whether anyone listens to this kind of event; if not, do not build it."""

    def record(self, event: Event) -> None:
        """Tell all who listen."""

    def fail(self, error: Exception) -> None:
        """Stop this node, as a crash does, and report why: a failed sync, a broken log, a defect."""


class Program(Protocol):
    """All that a world may ask of a node."""

    def start(self, recovered: Recovered) -> None:
        """Begin, with what the disk kept."""

    def deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """A message has arrived."""

    def peer_lost(self, peer: NodeId) -> None:
        """The stream to or from this peer broke; messages on their way may be lost."""

    def stop(self) -> None:
        """End in good order."""
