"""Endpoints for tests of the transport: each notes what it gets, and can be waited for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import uvloop

from kvsim.core.message import NodeId
from kvsim.real.ports import free_ports
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import PROTOCOL_VERSION, Hello
from kvsim.transport.tcp import Address, Streams

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE_S = 60.0


def run(test: Callable[[], Coroutine[Any, Any, None]], loop: str = "uvloop") -> None:
    """Run a test on an event loop, for a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


def addresses(*names: NodeId) -> dict[NodeId, Address]:
    return {name: Address("127.0.0.1", port) for name, port in zip(names, free_ports(len(names)), strict=True)}


def hello(name: NodeId, **other: Any) -> Hello:
    return msgspec.structs.replace(Hello(PROTOCOL_VERSION, "cluster-1", "design-1", name, 1), **other)


class End:
    """One endpoint with its streams."""

    def __init__(self, me: Hello, where: dict[NodeId, Address]) -> None:
        self.me, self.where = me, where
        self.got: asyncio.Queue[tuple[NodeId, bytes]] = asyncio.Queue()
        self.lost: asyncio.Queue[NodeId] = asyncio.Queue()
        self.complaints = Complaints()
        self.streams = Streams(
            me, where, lambda peer, payload: self.got.put_nowait((peer, payload)), self.lost.put_nowait, self.complaints
        )

    async def __aenter__(self) -> "End":
        if self.me.node in self.where:
            await self.streams.listen(self.where[self.me.node])
            await self.streams.serve()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.streams.close()
