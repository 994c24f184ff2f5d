"""The seam between clients and the world they ask: the simulated one and the real one each have a Driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kvsim.core.host import Timer
from kvsim.core.message import Failure, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, AnyResult

Answered = Callable[[AnyResult | Failure], None]


class Driver(Protocol):
    """What clients need of a world."""

    def now(self) -> Nanoseconds:
        """The observer's clock: the same for all clients, and it never runs backwards."""

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time."""

    def doors(self) -> tuple[NodeId, ...]:
        """The nodes that take clients' requests."""

    def perform(self, client: NodeId, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send the operation from this client to this door, and call `answered` once, never from inside this call.

        A broken connection answers `Failure("outcome_unknown", …)`. The result of this call makes it forget the answer.
        """
