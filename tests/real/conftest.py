"""Real clusters for tests: processes on free ports, with their data in the test's folder, stopped at its end."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from kvsim.core.operation import AnyResult, Found, OperationError, Put, Read, RequestId, Value
from kvsim.real.cluster_client import ClusterClient
from kvsim.real.supervisor import Supervisor, SupervisorError, new_cluster_file

T = TypeVar("T")

QUORUM = {"replication": {"strategy": "quorum", "n": 3, "r": 2, "w": 2}}
PATIENCE_S = 60.0
PATIENT = {"timeout": "20s"}
"""What every design here has that names no timeout of its own: on a busy machine an operation may take seconds."""
STARTS_TRIED = 3


class Start(Protocol):
    def __call__(self, design: dict[str, Any] = ..., *, nodes: int = ..., **more: Any) -> Supervisor: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a cluster; several may run at once."""
    running: list[Supervisor] = []

    def start(design: dict[str, Any] = QUORUM, *, nodes: int = 3, **more: Any) -> Supervisor:
        for left in reversed(range(STARTS_TRIED)):
            data_dir = tmp_path / f"cluster-{len(running)}"
            file = new_cluster_file({**PATIENT, **design}, nodes=nodes, data_dir=data_dir, **more)
            running.append(Supervisor(file, ready_timeout_s=PATIENCE_S))
            try:
                running[-1].start()
            except SupervisorError as error:  # another test may take a free port before this cluster does
                if not left or "Address already in use" not in str(error):
                    raise
            else:
                break
        return running[-1]

    yield start
    for supervisor in running:
        supervisor.stop()
        for node in supervisor.nodes:  # shown when the test fails
            if supervisor.log(node).exists():
                print(f"{node}: {supervisor.log(node).read_text()}")


class Session:
    """A client at one door, which numbers its requests and never retries."""

    def __init__(self, client: ClusterClient, door: str) -> None:
        self.client, self.door, self.number = client, door, 0

    def _next(self) -> RequestId:
        self.number += 1
        return RequestId(self.client.name, self.number)

    async def put(self, key: bytes, value: Value) -> AnyResult:
        return await self.client.perform(Put(self._next(), key, value), self.door)

    async def get(self, key: bytes) -> Value | None:
        result = await self.client.perform(Read(self._next(), key), self.door)
        return result.value if isinstance(result, Found) else None

    async def until_answered(self, key: bytes) -> Value | None:
        """Read until the cluster answers."""
        return await until_done(lambda: self.get(key))

    async def until_put(self, key: bytes, value: Value) -> AnyResult:
        """Write until the cluster acknowledges it."""
        return await until_done(lambda: self.put(key, value))


async def until_done(attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Try until it is done: a cluster that is young, or short of CPU, may fail an operation that it serves later."""
    while True:
        try:
            return await attempt()
        except OperationError as error:
            if not error.kind.retryable:
                raise


def talk(cluster: Supervisor, conversation: Callable[[Session], Coroutine[Any, Any, Any]], door: str = "") -> Any:
    """Talk to a cluster as a client, for a bounded time; gives what the conversation gives."""

    async def bounded() -> Any:
        client = ClusterClient(cluster.plan)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await conversation(Session(client, door or cluster.plan.cluster.doors()[0]))
        finally:
            client.close()
            await asyncio.sleep(0)

    return asyncio.run(bounded())
