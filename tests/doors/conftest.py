"""Both doors, open on free ports before a store in memory, on an event loop of their own thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from kvsim.core.operation import Key
from kvsim.real.doors.http_door import HttpLimits, start_http
from kvsim.real.doors.local import DoorInfo
from kvsim.real.doors.resp_door import RespDoor, RespLimits, start_resp
from tests.doors.store import MemoryStore

T = TypeVar("T")

PATIENCE_S = 60.0


@dataclass
class OpenDoors:
    store: MemoryStore
    resp: RespDoor
    resp_port: int
    http_port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the doors' own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)


async def described(key: Key | None) -> dict[str, Any]:
    content: dict[str, Any] = {"design": {"replication": "none"}, "nodes": ["data-1"]}
    return content if key is None else {**content, "key": key.decode()}


RESP_LIMITS = RespLimits(connections=64, stalled_s=PATIENCE_S)
HTTP_LIMITS = HttpLimits(connections=64, idle_s=PATIENCE_S, body_s=PATIENCE_S)
HASTY_RESP_LIMITS = replace(RESP_LIMITS, stalled_s=1.0)
HASTY_HTTP_LIMITS = replace(HTTP_LIMITS, idle_s=1.0, body_s=1.0)


@contextmanager
def opened(resp_limits: RespLimits, http_limits: HttpLimits) -> Iterator[OpenDoors]:
    loop = _new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    store = MemoryStore()
    info = DoorInfo("frontend-1", cluster=described, host_names=("kv.example",))

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    resp = run(start_resp(store, info, limits=resp_limits))
    http = run(start_http(store, info, limits=http_limits))
    try:
        yield OpenDoors(store, resp, resp.port, http.port, loop)
    finally:
        run(resp.close())
        run(http.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


@pytest.fixture(scope="module")
def open_doors() -> Iterator[OpenDoors]:
    with opened(RESP_LIMITS, HTTP_LIMITS) as doors:
        yield doors


@pytest.fixture
def hasty_doors() -> Iterator[OpenDoors]:
    """Doors that soon hang up on who stalls: on a busy machine also on the innocent, so only for who stalls."""
    with opened(HASTY_RESP_LIMITS, HASTY_HTTP_LIMITS) as doors:
        yield doors


@pytest.fixture
def doors(open_doors: OpenDoors) -> OpenDoors:
    """The doors, with an empty store behind them."""
    open_doors.store.clear()
    return open_doors


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one, as in a node process."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
