"""What the conformance suite of hosts needs of a world: a few nodes that it can start, prod, crash, cut off and watch.

All nodes run in the suite's own process, so that it sees what their programs saw; sockets and files may be real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from kvsim.core.host import Host, Program
from kvsim.core.message import SECOND, Message, Nanoseconds, NodeId
from kvsim.core.waiting import Scope

Build = Callable[[Host, Scope], Program]
"""Makes a node's program; called anew for each of its lives."""


class Options(msgspec.Struct, frozen=True):
    """How the suite wants the world."""

    kinds: tuple[type[Message], ...]
    """The messages that the nodes will send."""
    inbox: int = 10_000
    """Messages that may wait before a node."""
    outbox: int = 10_000
    """Messages that may wait in a stream."""
    torn: bool = False
    """Whether a crash may leave a part of what was appended and not synced, in worlds that can do so."""


class Harness(Protocol):
    """One world, for one check. It should notice a broken stream within some seconds of its own time."""

    def start(self, builds: Mapping[NodeId, Build]) -> None:
        """Start these nodes."""

    def act(self, node: NodeId, call: Callable[[], None]) -> None:
        """Let this happen inside the node soon, as one input, like a timer's call; coroutines go on after it."""

    def run_until(self, predicate: Callable[[], bool], limit_ns: Nanoseconds = 60 * SECOND) -> bool:
        """Let the world go on until the predicate holds, for at most so long; whether it holds."""

    def crash(self, node: NodeId) -> None:
        """The node loses its memory, and of its disk what the world lets it lose."""

    def restart(self, node: NodeId) -> None:
        """A crashed node begins a new life."""

    def cut(self, one: NodeId, other: NodeId) -> None:
        """Nothing passes between these two, until `heal`."""

    def heal(self) -> None:
        """End all cuts."""

    def failures(self) -> list[tuple[NodeId, Exception]]:
        """Nodes that stopped by a defect of their own, and why."""

    def overflows(self) -> int:
        """How many messages have met a full queue so far."""

    def close(self) -> None:
        """Stop everything and clean up."""


MakeHarness = Callable[[Options], Harness]
