"""The HTTP door: `/v1/kv` and `/v1/cluster` on aiohttp's low-level server, guarded against browsers led astray."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestHandler

from kvsim.core.operation import OperationError, TooLarge
from kvsim.real.doors.exchange import JSON, Answer, Asked, Refused, json_answer
from kvsim.real.doors.http_keys import COLLECTION, Keys
from kvsim.real.doors.http_problems import defect, failure, refusal
from kvsim.real.doors.http_text import query_parameters
from kvsim.real.doors.local import DoorInfo, Local, RequestNumbers

log = logging.getLogger(__name__)
# aiohttp logs each malformed request with a traceback: any stranger could fill the disk with them.
_silent = logging.getLogger(f"{__name__}.aiohttp")
_silent.disabled = True

_GUARDS = {
    "Server": "kvsim",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_BODILESS = (204, 304)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one client, and all together, may use."""

    connections: int = 1_000
    line_bytes: int = 16_384
    """The request line: a key of 1 KiB is 3 KiB when each byte is percent-encoded, and a list names up to four keys."""
    header_bytes: int = 8_190
    headers: int = 64
    idle_s: float = 75.0
    """How long a connection waits for its next request, and for the rest of a header."""
    body_s: float = 10.0
    """How long a body may take."""


async def start_http(
    local: Local, info: DoorInfo, host: str = "127.0.0.1", port: int = 0, limits: HttpLimits | None = None
) -> HttpDoor:
    """Open the door; port 0 takes a free one, `.port` says which. Raises OSError where the port is in use."""
    door = HttpDoor(local, info, host, limits or HttpLimits())
    await door.open(port)
    return door


class HttpDoor:
    """An open HTTP door."""

    def __init__(self, local: Local, info: DoorInfo, host: str, limits: HttpLimits) -> None:
        self.info = info
        self.host = host
        self.limits = limits
        self.port = 0
        self._keys = Keys(local, info, RequestNumbers("http", info))
        self._names = {"localhost", "127.0.0.1", "::1", host, *info.host_names}
        self._runner: web.ServerRunner | None = None

    async def open(self, port: int) -> None:
        """Listen."""
        limits = self.limits
        server = BoundedServer(
            limits.connections,
            self._handle,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.idle_s,
            lingering_time=1.0,
            logger=_silent,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
            max_line_size=limits.line_bytes,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Take no new clients, let what is under way end for a second, and hang up."""
        if self._runner:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        close = False
        try:
            self._guard(request)
            answer = await self._answer(await self._read(request))
        except Refused as refused:
            answer = refusal(refused)
            close = refused.status in (400, 408, 413)
        except OperationError as failed:
            answer = failure(failed)
            close = isinstance(failed, TooLarge)
        except Exception:
            log.exception("%s %s failed by a defect of kvsim", request.method, request.path_qs[:200])
            answer = defect()
        response = _response(answer)
        if close and not request.content.is_eof():
            response.force_close()
        return response

    # Who may ask ------------------------------------------------------------------------------------------------------

    def _guard(self, request: web.BaseRequest) -> None:
        """Refuse what a web page of somebody else's may have sent. Raises Refused."""
        called = request.headers.get("Host", "")
        name = _host_name(called)
        if name not in self._names:
            raise Refused(421, f"this node is not called {called[:100]!r}; ask it as localhost, or configure the name")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refused(403, "requests from other sites' pages are not answered")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != called:
            raise Refused(403, f"requests from pages of {origin[:100]!r} are not answered")
        if not request.raw_path.startswith("/"):
            raise Refused(400, "the request line names a path, not a whole address: this is no proxy")

    # What they send ---------------------------------------------------------------------------------------------------

    async def _read(self, request: web.BaseRequest) -> Asked:
        """The request with its body, which has limits in size and in time. Raises Refused and TooLarge."""
        path, _, query = request.raw_path.partition("#")[0].partition("?")
        body = b""
        if request.can_read_body:
            if request.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise Refused(415, "bodies are sent as they are, without Content-Encoding")
            body = await self._body(request)
        return Asked(request.method, path, query, request.headers, body)

    async def _body(self, request: web.BaseRequest) -> bytes:
        limits = self.info.limits
        is_json = request.content_type == JSON
        # JSON may hold a key and two values, in base64.
        most_bytes = 4 * (limits.key_bytes + limits.value_bytes) if is_json else limits.value_bytes
        announced_bytes = request.content_length or 0
        if announced_bytes > most_bytes:
            raise TooLarge(
                f"the body has {announced_bytes} bytes, the limit is {most_bytes}; "
                "split it or raise design.limits.value_bytes"
            )
        if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        pieces = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_s):
                async for piece in request.content.iter_any():
                    pieces += piece
                    if len(pieces) > most_bytes:
                        raise TooLarge(
                            f"the body has more than {most_bytes} bytes; split it or raise design.limits.value_bytes"
                        )
        except (web.RequestPayloadError, ConnectionError) as broken:
            raise Refused(400, f"the body broke off: {broken}") from None
        except TimeoutError:
            raise Refused(408, f"the body did not come within {self.limits.body_s:g} s") from None
        return bytes(pieces)

    # What they get ----------------------------------------------------------------------------------------------------

    async def _answer(self, asked: Asked) -> Answer:
        if asked.path == COLLECTION or asked.path.startswith(COLLECTION + "/"):
            return await self._keys.answer(asked)
        if asked.path == "/v1/cluster":
            if asked.method not in ("GET", "HEAD"):
                raise Refused(405, "the cluster can only be looked at", {"Allow": "GET, HEAD"})
            key = query_parameters(asked.query, ("key",)).get("key")
            return json_answer(200, await self.info.cluster(key))
        raise Refused(404, "there are /v1/kv, /v1/kv/{key} and /v1/cluster")


class BoundedServer(web.Server):
    """aiohttp's server, with a limit on open connections: one too many is told so, and closed."""

    def __init__(
        self,
        connections: int,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        **settings: Any,
    ) -> None:
        super().__init__(handler, **settings)
        self._most_connections = connections

    def __call__(self) -> RequestHandler:
        if len(self._connections) >= self._most_connections:
            return _Full()  # type: ignore[return-value]
        return super().__call__()


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        stream.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        stream.close()


def _response(answer: Answer) -> web.Response:
    headers = {**_GUARDS, **answer.headers}
    if answer.status in _BODILESS:
        return web.Response(status=answer.status, headers=headers)
    return web.Response(status=answer.status, body=answer.body, headers={**headers, "Content-Type": answer.media_type})


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
