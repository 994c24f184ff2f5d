"""Clients in the real world: over the cluster's own frames into a cluster of ours, over HTTP into a running one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kvsim.client import AsyncClient
from kvsim.core.chance import Chance
from kvsim.core.host import Timer
from kvsim.core.message import Failure, Nanoseconds, NodeId
from kvsim.core.operation import AnyOperation, AnyResult, Item, OperationError, Page, RequestId, Scan
from kvsim.real.cluster_client import ClusterClient
from kvsim.real.cluster_file import Plan
from kvsim.real.filter import LinkFault
from kvsim.real.timers import Timers
from kvsim.workload.driver import Answered

CONNECTED_CLIENTS = 256
"""So many clients have a connection of their own to each door; more share these."""


class _RealTime:
    """The observer's clock, and the event loop's timers."""

    def __init__(self, begun_ns: Nanoseconds) -> None:
        self.begun_ns = begun_ns
        """When its time began, on the machine's monotonic clock."""
        self._timers = Timers(asyncio.get_running_loop(), lambda call: call())

    def now(self) -> Nanoseconds:
        """Real time since the beginning."""
        return time.monotonic_ns() - self.begun_ns

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time."""
        return self._timers.after(delay_ns, call)


class ClusterDriver(_RealTime):
    """Implements `kvsim.workload.driver.Driver` on the doors of a real cluster, by framed TCP."""

    def __init__(self, plan: Plan, begun_ns: Nanoseconds) -> None:
        super().__init__(begun_ns)
        self._plan = plan
        self._doors = plan.cluster.doors()
        self._clients: dict[str, ClusterClient] = {}
        self._connected: list[ClusterClient] = []
        self._faults: Mapping[NodeId, LinkFault] = {}

    def doors(self) -> tuple[NodeId, ...]:
        """The nodes that take clients' requests."""
        return self._doors

    def perform(self, client: NodeId, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send the operation from this client to this door."""
        return _begin(lambda: self._client(client).begin(operation, door), answered)

    def set_faults(self, faults: Mapping[NodeId, LinkFault]) -> None:
        """Let these faults hurt the ways of all clients to these doors and back, in place of those that stood."""
        self._faults = faults
        for client in self._connected:
            self._hurt(client)

    def _hurt(self, client: ClusterClient) -> None:
        client.set_faults(self._faults, Chance(self._plan.file.seed, f"clients/{client.name}"))

    def messages_sent(self) -> int:
        """By all clients."""
        return sum(client.messages_sent for client in self._connected)

    def bytes_sent(self) -> int:
        """By all clients."""
        return sum(client.bytes_sent for client in self._connected)

    def close(self) -> None:
        """Hang up."""
        for client in self._connected:
            client.close()

    def _client(self, name: str) -> ClusterClient:
        client = self._clients.get(name)
        if client is None:
            if len(self._connected) < CONNECTED_CLIENTS:
                self._connected.append(ClusterClient(self._plan, name))
                if self._faults:
                    self._hurt(self._connected[-1])
            client = self._clients[name] = self._connected[len(self._clients) % len(self._connected)]
        return client


class HttpDriver(_RealTime):
    """Implements `Driver` on the HTTP door of a running cluster, whose other users and earlier runs it does not meet.

    Keys get a prefix that no other run has, and so do the names under which a cluster remembers its clients' writes.
    """

    def __init__(self, client: AsyncClient, prefix: str) -> None:
        super().__init__(time.monotonic_ns())
        self._client = client
        self._prefix = prefix
        self._key_prefix = prefix.encode()
        self._end = self._key_prefix[:-1] + bytes([self._key_prefix[-1] + 1])

    def doors(self) -> tuple[NodeId, ...]:
        """The one that was given."""
        return (self._client.server.url,)

    def perform(self, client: NodeId, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send the operation once."""
        loop = asyncio.get_running_loop()
        return _begin(lambda: loop.create_task(self._ask(operation)), answered)

    async def _ask(self, operation: AnyOperation) -> AnyResult:
        request = RequestId(self._prefix + operation.request.client, operation.request.number)
        own: dict[str, Any] = {"request": request}
        if isinstance(operation, Scan):
            end = self._end if operation.end is None else self._key_prefix + operation.end
            own |= {"start": self._key_prefix + operation.start, "end": end}
        else:
            own["key"] = self._key_prefix + operation.key
        result = await self._client.perform(msgspec.structs.replace(operation, **own))
        return self._without_prefix(result) if isinstance(result, Page) else result

    def _without_prefix(self, page: Page) -> Page:
        cut = len(self._key_prefix)
        items = tuple(Item(item.key[cut:], item.value, item.version) for item in page.items)
        return Page(items, None if page.next is None else page.next[cut:])


def _begin(begin: Callable[[], asyncio.Future[AnyResult]], answered: Answered) -> Callable[[], None]:
    """Begin, and tell the outcome when it is there; what this returns makes it forget."""
    try:
        future = begin()
    except OperationError as error:  # too large to be sent
        return asyncio.get_running_loop().call_soon(answered, error.as_failure()).cancel
    return _Awaited(future, answered).forget


class _Awaited:
    """An answer to come. It and the client's deadline may fall into one turn of the loop; the first one counts."""

    def __init__(self, future: asyncio.Future[AnyResult], answered: Answered) -> None:
        self._future = future
        self._answered: Answered | None = answered
        future.add_done_callback(self._done)

    def forget(self) -> None:
        self._answered = None
        self._future.cancel()

    def _done(self, future: asyncio.Future[AnyResult]) -> None:
        answer = None if future.cancelled() else _outcome(future)
        if self._answered is not None and answer is not None:
            self._answered(answer)


def _outcome(done: asyncio.Future[AnyResult]) -> AnyResult | Failure:
    error = done.exception()
    if error is None:
        return done.result()
    if isinstance(error, OperationError):
        return error.as_failure()
    raise error
