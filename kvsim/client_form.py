"""How an operation travels over HTTP, and when it is sent again: plain data in and out, shared by both clients."""

from __future__ import annotations

import base64
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

import msgspec

from kvsim.core.message import Failure
from kvsim.core.operation import (
    Absent,
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Item,
    Key,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Page,
    Put,
    Read,
    Remove,
    Scan,
    Unavailable,
    Update,
    Written,
    error_from,
)
from kvsim.core.version import Version

LARGEST_PAGE = 1_000
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
_UNSAFE_IN_A_PATH = (b"", b".", b"..")  # clients and proxies on the way take these for the place itself, or one above


@dataclass(frozen=True, slots=True)
class Server:
    """Where the door is."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Server:
        """Read an address. Raises ValueError for what is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"{url!r} is no address of a kvsim door; one looks like http://127.0.0.1:8420")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    etag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """Nothing came back. `sent`: the request may have reached the door."""

    sent: bool
    reason: str


def request_for(operation: AnyOperation) -> Request:
    """The HTTP request that asks for an operation. A write carries its request number, so that it is applied once."""
    if isinstance(operation, Scan):
        limit = min(operation.limit, LARGEST_PAGE)
        end = "" if operation.end is None else f"&end={_quoted(operation.end)}"
        return Request("GET", f"/v1/kv?start={_quoted(operation.start)}{end}&limit={limit}", {})
    target = _target(operation.key)
    if isinstance(operation, Read):
        return Request("GET", target, {"Accept": "application/octet-stream"})
    headers = {"Idempotency-Key": str(operation.request)}
    if isinstance(operation, Delete):
        return Request("DELETE", target, headers)
    if isinstance(operation, Remove):
        return Request("DELETE", f"{target}{'&' if '?' in target else '?'}blind=true", headers)
    headers["Content-Type"] = "application/octet-stream"
    match operation:
        case Create():
            headers["If-None-Match"] = "*"
        case Update():
            headers["If-Match"] = "*"
        case CompareAndSet(expected_version=Version() as version):
            headers["If-Match"] = f'"{version}"'
        case CompareAndSet(value=value, expected=expected):
            content = {"value_b64": _coded(value), "expected_b64": None if expected is None else _coded(expected)}
            headers["Content-Type"] = "application/json"
            return Request("PUT", target, headers, msgspec.json.encode(content))
        case Put():
            pass
    return Request("PUT", target, headers, operation.value)


def result_from(operation: AnyOperation, response: Response) -> AnyResult:
    """The result in an HTTP response. Raises the OperationError in it."""
    if response.status >= 400:
        failed = _error(response)
        if isinstance(operation, Read) and failed.code == "not_found":
            return Absent()
        raise failed
    try:
        if isinstance(operation, Scan):
            return _page(response.body)
        version = Version.parse(response.etag.strip('"'))
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise OutcomeUnknown(f"the answer ({response.status}) is none of a kvsim door: {wrong}") from None
    if isinstance(operation, Read):
        return Found(response.body, version)
    existed = None if isinstance(operation, Remove) else {201: False, 204: True}.get(response.status)
    return Written(version, existed)


def conversation(operation: AnyOperation, retries: int) -> Generator[float, Response | Broken, AnyResult]:
    """What to do for one operation: yields a pause before each sending, wants what came back, returns the result.

    Raises an OperationError at the end. Once one sending may have reached the store, a later failure does not show that
    the operation never happened, so it is OutcomeUnknown.
    """
    pause_s = 0.0
    perhaps: OperationError | None = None
    for attempt in range(retries + 1):
        came = yield pause_s
        pause_s = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
        try:
            return result_from(operation, came) if isinstance(came, Response) else _no_answer(came)
        except OperationError as failed:
            if not failed.kind.certain:
                perhaps = failed
            elif not failed.kind.retryable or attempt == retries:
                if perhaps is None:
                    raise
                raise OutcomeUnknown(f"{perhaps.detail}; sent again: {failed.detail}") from failed
    raise perhaps or Unavailable("nothing was sent")


def _no_answer(broken: Broken) -> AnyResult:
    raise OutcomeUnknown(broken.reason) if broken.sent else Unavailable(broken.reason)


def _target(key: Key) -> str:
    return f"/v1/kv?key={_quoted(key)}" if key in _UNSAFE_IN_A_PATH else f"/v1/kv/{_quoted(key)}"


def _quoted(data: bytes) -> str:
    return quote_from_bytes(data, safe="")


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(content: dict[str, Any], name: str) -> bytes:
    coded = content.get(f"{name}_b64")
    return base64.b64decode(coded) if coded is not None else str(content[name]).encode()


def _page(body: bytes) -> Page:
    content = msgspec.json.decode(body)
    items = tuple(
        Item(_bytes(item, "key"), _bytes(item, "value"), Version.parse(item["version"])) for item in content["items"]
    )
    more = content.get("next") is not None or content.get("next_b64") is not None
    return Page(items, _bytes(content, "next") if more else None)


def _error(response: Response) -> OperationError:
    """The error in a problem (RFC 9457); by the status alone where the answer names none."""
    try:
        problem = msgspec.json.decode(response.body)
        detail = str(problem["detail"])
        code = problem.get("code")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        detail, code = f"answered {response.status} without a reason; is it a kvsim door?", None
    if isinstance(code, str):
        return error_from(Failure(code, detail))
    if response.status in (408, 503):
        return Unavailable(detail)
    return NotServed(detail) if response.status < 500 else OutcomeUnknown(detail)
