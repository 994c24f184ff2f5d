"""Clients of a kvsim cluster, synchronous and asyncio: what an application uses.

Both speak HTTP to one door. Each write carries a number of its own, so that a write that is sent again is applied once.
"""

from __future__ import annotations

import http.client
import itertools
import secrets
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from kvsim.client_form import Broken, Request, Response, Server, conversation, request_for
from kvsim.core.operation import (
    Absent,
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Limits,
    Page,
    Put,
    Read,
    Remove,
    RequestId,
    Scan,
    Update,
    Write,
    Written,
)
from kvsim.core.version import Version

if TYPE_CHECKING:
    import aiohttp

Bytes = str | bytes
"""A key or a value; text stands for its UTF-8 bytes."""

IDLE_S = 30.0
"""A connection that was idle for longer may be closed at the other end already, so a new one is made."""


class _Operations:
    """What both clients share: their operations' numbers and limits."""

    def __init__(
        self, url: str, *, timeout_s: float = 10.0, retries: int = 2, limits: Limits | None = None, name: str = ""
    ) -> None:
        self.server = Server.parse(url)
        self.timeout_s = timeout_s
        self.retries = retries
        self.limits = limits or Limits()
        self.name = name or f"client-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)

    def _request(self) -> RequestId:
        return RequestId(self.name, next(self._numbers))

    def _cas(
        self, key: Bytes, value: Bytes, expected: Bytes | None, expected_version: Version | str | None
    ) -> CompareAndSet:
        version = Version.parse(expected_version) if isinstance(expected_version, str) else expected_version
        old = None if expected is None else _bytes(expected)
        return CompareAndSet(self._request(), _bytes(key), _bytes(value), old, version)

    def _scan(self, start: Bytes, end: Bytes | None, limit: int) -> Scan:
        return Scan(self._request(), _bytes(start), None if end is None else _bytes(end), limit)


class Client(_Operations):
    """A client of the door at `url`, such as `http://127.0.0.1:8420`. Threads may share it; they take turns.

    `timeout_s` bounds one sending. `retries`: how often an operation is sent again, under its old number, when it
    certainly did not happen (`Unavailable`) or nobody knows (`OutcomeUnknown`); 0 sends once. All methods raise an
    `OperationError`.

    >>> with Client("http://127.0.0.1:8420") as client:                                      # doctest: +SKIP
    ...     client.put("user:1", "Ada")
    ...     found = client.read("user:1")
    ...     client.cas("user:1", "Grace", expected_version=found.version)
    ...     print(client.get("user:1"))
    b'Grace'
    """

    def __init__(
        self, url: str, *, timeout_s: float = 10.0, retries: int = 2, limits: Limits | None = None, name: str = ""
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, retries=retries, limits=limits, name=name)
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._used_s = 0.0

    def get(self, key: Bytes) -> bytes | None:
        """The key's value, None when it is absent."""
        result = self.read(key)
        return result.value if isinstance(result, Found) else None

    def read(self, key: Bytes) -> Found | Absent:
        """The key's value with its version, or `Absent`."""
        return cast(Found | Absent, self.perform(Read(self._request(), _bytes(key))))

    def put(self, key: Bytes, value: Bytes) -> Written:
        """Create or update."""
        return self._write(Put(self._request(), _bytes(key), _bytes(value)))

    def create(self, key: Bytes, value: Bytes) -> Written:
        """Write a key that is absent. Raises `AlreadyExists`."""
        return self._write(Create(self._request(), _bytes(key), _bytes(value)))

    def update(self, key: Bytes, value: Bytes) -> Written:
        """Write a key that is present. Raises `NotFound`."""
        return self._write(Update(self._request(), _bytes(key), _bytes(value)))

    def delete(self, key: Bytes) -> Written:
        """Remove a key that is present. Raises `NotFound`."""
        return self._write(Delete(self._request(), _bytes(key)))

    def remove(self, key: Bytes) -> Written:
        """Have the key absent, whatever it was."""
        return self._write(Remove(self._request(), _bytes(key)))

    def cas(
        self, key: Bytes, value: Bytes, *, expected: Bytes | None = None, expected_version: Version | str | None = None
    ) -> Written:
        """Write only if the key holds `expected` (None: nothing), or has the version given. Raises `Mismatch`."""
        return self._write(self._cas(key, value, expected, expected_version))

    def scan(self, start: Bytes = b"", end: Bytes | None = None, limit: int = 100) -> Page:
        """Keys from `start` up to but not including `end`, in order. The next page starts at `page.next`."""
        return cast(Page, self.perform(self._scan(start, end, limit)))

    def perform(self, operation: AnyOperation) -> AnyResult:
        """Do an operation that has its number already. Raises an `OperationError`."""
        self.limits.check(operation)
        request = request_for(operation)
        talk = conversation(operation, self.retries)
        with self._turn:
            try:
                pause_s = next(talk)
                while True:
                    self._closed.wait(pause_s)
                    pause_s = talk.send(self._send(request))
            except StopIteration as ended:
                result: AnyResult = ended.value
                return result

    def close(self) -> None:
        """Hang up. The client can still be used: it connects again."""
        with self._turn:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, operation: Write) -> Written:
        return cast(Written, self.perform(operation))

    def _send(self, request: Request) -> Response | Broken:
        where = f"{self.server.host}:{self.server.port}"
        try:
            connection = self._connected()
        except OSError as error:
            self._disconnect()
            return Broken(False, f"nobody answers at {where}: {error.strerror or error}")
        try:
            connection.request(request.method, request.target, request.body, request.headers)
            answer = connection.getresponse()
            response = Response(answer.status, answer.getheader("ETag", ""), answer.read())
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            return Broken(True, f"{where} gave no answer: {str(error) or type(error).__name__}")
        except BaseException:
            self._disconnect()  # an interrupt in the middle: what is on this connection belongs to nobody
            raise
        self._used_s = time.monotonic()
        return response

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is not None and time.monotonic() - self._used_s > IDLE_S:
            self._disconnect()
        if self._connection is None:
            kind = http.client.HTTPSConnection if self.server.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self.server.host, self.server.port, timeout=self.timeout_s)
        if self._connection.sock is None:
            self._connection.connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class AsyncClient(_Operations):
    """The same for asyncio: every method is a coroutine, and many operations may be under way together.

    >>> async with AsyncClient("http://127.0.0.1:8420") as client:                           # doctest: +SKIP
    ...     await client.put("user:1", "Ada")
    ...     print(await client.get("user:1"))
    b'Ada'
    """

    _session: aiohttp.ClientSession | None = None

    async def get(self, key: Bytes) -> bytes | None:
        """The key's value, None when it is absent."""
        result = await self.read(key)
        return result.value if isinstance(result, Found) else None

    async def read(self, key: Bytes) -> Found | Absent:
        """The key's value with its version, or `Absent`."""
        return cast(Found | Absent, await self.perform(Read(self._request(), _bytes(key))))

    async def put(self, key: Bytes, value: Bytes) -> Written:
        """Create or update."""
        return await self._write(Put(self._request(), _bytes(key), _bytes(value)))

    async def create(self, key: Bytes, value: Bytes) -> Written:
        """Write a key that is absent. Raises `AlreadyExists`."""
        return await self._write(Create(self._request(), _bytes(key), _bytes(value)))

    async def update(self, key: Bytes, value: Bytes) -> Written:
        """Write a key that is present. Raises `NotFound`."""
        return await self._write(Update(self._request(), _bytes(key), _bytes(value)))

    async def delete(self, key: Bytes) -> Written:
        """Remove a key that is present. Raises `NotFound`."""
        return await self._write(Delete(self._request(), _bytes(key)))

    async def remove(self, key: Bytes) -> Written:
        """Have the key absent, whatever it was."""
        return await self._write(Remove(self._request(), _bytes(key)))

    async def cas(
        self, key: Bytes, value: Bytes, *, expected: Bytes | None = None, expected_version: Version | str | None = None
    ) -> Written:
        """Write only if the key holds `expected` (None: nothing), or has the version given. Raises `Mismatch`."""
        return await self._write(self._cas(key, value, expected, expected_version))

    async def scan(self, start: Bytes = b"", end: Bytes | None = None, limit: int = 100) -> Page:
        """Keys from `start` up to but not including `end`, in order. The next page starts at `page.next`."""
        return cast(Page, await self.perform(self._scan(start, end, limit)))

    async def perform(self, operation: AnyOperation) -> AnyResult:
        """Do an operation that has its number already. Raises an `OperationError`."""
        import asyncio

        self.limits.check(operation)
        request = request_for(operation)
        talk = conversation(operation, self.retries)
        try:
            pause_s = next(talk)
            while True:
                if pause_s:
                    await asyncio.sleep(pause_s)
                pause_s = talk.send(await self._send(request))
        except StopIteration as ended:
            result: AnyResult = ended.value
            return result

    async def close(self) -> None:
        """Hang up. The client can still be used: it connects again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _write(self, operation: Write) -> Written:
        return cast(Written, await self.perform(operation))

    async def _send(self, request: Request) -> Response | Broken:
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                connector=aiohttp.TCPConnector(limit=0),
            )
            # aiohttp would send a write again by itself when a kept connection breaks: whoever counts must decide that.
            self._session._retry_connection = False
        where = f"{self.server.host}:{self.server.port}"
        url = URL(self.server.url + request.target, encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer:
                return Response(answer.status, answer.headers.get("ETag", ""), await answer.read())
        except aiohttp.ClientConnectorError as error:
            return Broken(False, f"nobody answers at {where}: {error.strerror or error}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Broken(True, f"{where} gave no answer: {str(error) or type(error).__name__}")


def _bytes(data: Bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
