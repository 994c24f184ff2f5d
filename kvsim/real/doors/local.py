"""What a door needs of the node behind it, and what it gives to whoever opens it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kvsim.core.message import NodeId
from kvsim.core.operation import AnyOperation, AnyResult, Key, Limits, RequestId

Ended = AnyResult | Exception
"""What becomes of an operation; an exception that is no `OperationError` is a defect, and the outcome is not known."""


class Local(Protocol):
    """The store, as a door sees it."""

    async def perform(self, operation: AnyOperation) -> AnyResult:
        """Do one operation. Raises an `OperationError`; comes back within the design's timeout."""

    def begin(self, operation: AnyOperation, then: Callable[[Ended], None]) -> None:
        """The same without a coroutine: `then` gets the result or the error, from the event loop, never within this
        call."""


class Door(Protocol):
    """An open door."""

    port: int

    async def close(self) -> None:
        """Take no new clients, finish what is being answered, and hang up."""


async def _nothing_known(key: Key | None) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class DoorInfo:
    """What a door knows of its node."""

    node: NodeId
    limits: Limits = field(default_factory=Limits)
    cluster: Callable[[Key | None], Awaitable[Mapping[str, Any]]] = _nothing_known
    """Plain data for `/v1/cluster`, asked anew each time: design, nodes, roles; with a key given, its replicas too."""
    host_names: tuple[str, ...] = ()
    """Names by which clients may call this node in `Host`, beyond localhost and the address it listens on."""
    incarnation: str = field(default_factory=lambda: secrets.token_hex(4))
    """Differs between two lives of the same node, so that no request number is ever used twice."""


OWN_CLIENTS = "door:"
"""How the client names begin that doors give themselves; no client may call itself so."""


class RequestNumbers:
    """Numbers the requests of clients that send no number of their own."""

    def __init__(self, door: str, info: DoorInfo) -> None:
        self._client = f"{OWN_CLIENTS}{door}:{info.node}:{info.incarnation}"
        self._last = 0

    def next(self) -> RequestId:
        """A request that nobody else makes."""
        self._last += 1
        return RequestId(self._client, self._last)
