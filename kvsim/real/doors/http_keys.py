"""What `/v1/kv` means: an HTTP request becomes one operation, and its result an HTTP answer (RFC 9110)."""

from __future__ import annotations

from typing import Any

import msgspec

from kvsim.core.operation import (
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Key,
    NotFound,
    OperationError,
    Page,
    Put,
    Read,
    Remove,
    RequestId,
    Scan,
    Update,
    Written,
)
from kvsim.core.version import Version
from kvsim.real.doors.exchange import JSON, RAW, Answer, Asked, Refused, json_answer
from kvsim.real.doors.http_problems import failure
from kvsim.real.doors.http_text import (
    decoded,
    encoded,
    etag,
    flag,
    put_bytes,
    query_parameters,
    request_of,
    take_bytes,
    version_of,
)
from kvsim.real.doors.local import DoorInfo, Local, RequestNumbers

COLLECTION = "/v1/kv"
DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1_000


class Keys:
    """The keys of the store, as HTTP resources."""

    def __init__(self, local: Local, info: DoorInfo, numbers: RequestNumbers) -> None:
        self.local, self.info, self.numbers = local, info, numbers

    async def answer(self, asked: Asked) -> Answer:
        """Answer a request to `/v1/kv` or below. Raises Refused."""
        if asked.path == COLLECTION and "key=" not in asked.query:
            return await self._collection(asked)
        allowed = ("key", "blind") if asked.method == "DELETE" else ("key",)
        parameters = query_parameters(asked.query, allowed)
        if asked.path == COLLECTION:
            key = parameters["key"]
        elif "key" in parameters:
            raise Refused(400, "the key stands in the path and in ?key=; leave one out")
        else:
            key = decoded(asked.path.removeprefix(COLLECTION + "/"))
        match asked.method:
            case "GET" | "HEAD":
                return await self._read(asked, key)
            case "PUT":
                return await self._write(asked, key)
            case "DELETE":
                return await self._delete(asked, key, flag(parameters, "blind"))
        raise Refused(405, f"{asked.method} is not for a key", {"Allow": "GET, HEAD, PUT, DELETE"})

    async def _collection(self, asked: Asked) -> Answer:
        if asked.method in ("GET", "HEAD"):
            return await self._list(asked)
        if asked.method == "POST":
            return await self._create(asked)
        raise Refused(405, f"{asked.method} is not for all keys together", {"Allow": "GET, HEAD, POST"})

    async def _perform(self, operation: AnyOperation) -> AnyResult:
        self.info.limits.check(operation)
        return await self.local.perform(operation)

    def _request(self, asked: Asked) -> RequestId:
        idempotency_key = asked.headers.get("Idempotency-Key")
        return self.numbers.next() if idempotency_key is None else request_of(idempotency_key)

    # One key ----------------------------------------------------------------------------------------------------------

    async def _read(self, asked: Asked, key: Key) -> Answer:
        result = await self._perform(Read(self.numbers.next(), key))
        if not isinstance(result, Found):
            hint = "; to list keys, leave out the slash at the end" if not key else ""
            return failure(NotFound(f"{_shown(key)} is absent{hint}"))
        headers = {"ETag": etag(result.version)}
        known = asked.headers.get("If-None-Match")
        if known is not None and _names(known, result.version):
            return Answer(304, headers=headers)
        if asked.wants_json():
            return json_answer(200, _item(key, result.value, result.version), headers)
        return Answer(200, result.value, RAW, headers)

    async def _write(self, asked: Asked, key: Key) -> Answer:
        operation = _write_operation(asked, self._request(asked), key)
        try:
            return _written(await self._perform(operation))
        except OperationError as failed:
            return failure(failed, conditional=True)

    async def _delete(self, asked: Asked, key: Key, blind: bool) -> Answer:
        condition = asked.headers.get("If-Match", "*").strip()
        if condition != "*":
            raise Refused(400, "DELETE of one version is not served; send no If-Match, or If-Match: *")
        request = self._request(asked)
        try:
            result = await self._perform(Remove(request, key) if blind else Delete(request, key))
        except OperationError as failed:
            return failure(failed, conditional="If-Match" in asked.headers)
        return Answer(204, headers={"ETag": etag(result.version)} if isinstance(result, Written) else {})

    # Many keys --------------------------------------------------------------------------------------------------------

    async def _create(self, asked: Asked) -> Answer:
        content = _json_object(asked)
        _only(content, "key", "key_b64", "value", "value_b64")
        key, value = take_bytes(content, "key"), take_bytes(content, "value")
        if key is None or value is None:
            raise Refused(400, "the body names key (or key_b64) and value (or value_b64)")
        try:
            result = await self._perform(Create(self._request(asked), key, value))
        except OperationError as failed:
            return failure(failed)
        where = f"{COLLECTION}/{encoded(key)}" if key not in (b"", b".", b"..") else f"{COLLECTION}?key={encoded(key)}"
        return _written(result, {"Location": where}, created=True)

    async def _list(self, asked: Asked) -> Answer:
        names = ("prefix", "start", "end", "limit", "after", "keys_only")
        parameters = query_parameters(asked.query, names)
        keys_only = flag(parameters, "keys_only")
        start, end = _range(parameters)
        limit = _limit(parameters)
        if end is not None and start >= end:
            page: AnyResult = Page(())
        else:
            page = await self._perform(Scan(self.numbers.next(), start, end, limit))
        if not isinstance(page, Page):
            raise TypeError(f"a scan gave {page!r}")
        items = [_item(item.key, None if keys_only else item.value, item.version) for item in page.items]
        content: dict[str, Any] = {"items": items}
        headers = {}
        if page.next is None:
            content["next"] = None
        else:
            put_bytes(content, "next", page.next)
            again = {**parameters, "start": page.next}
            again.pop("after", None)
            query = "&".join(f"{name}={encoded(again[name])}" for name in names if name in again)
            headers["Link"] = f'<{COLLECTION}?{query}>; rel="next"'
        return json_answer(200, content, headers)


def _write_operation(asked: Asked, request: RequestId, key: Key) -> AnyOperation:
    """What a PUT asks for, by its headers and its body: JSON, or bare bytes of whatever other type."""
    content: dict[str, Any] = {}
    value = asked.body
    if asked.media_type() == JSON:
        content = _json_object(asked)
        _only(content, "value", "value_b64", "expected", "expected_b64", "expected_version")
        taken = take_bytes(content, "value")
        if taken is None:
            raise Refused(400, "the JSON body names value (or value_b64); send bare bytes as application/octet-stream")
        value = taken
    present, absent = asked.headers.get("If-Match"), asked.headers.get("If-None-Match")
    expects = [name for name in ("expected", "expected_b64", "expected_version") if name in content]
    if (present is not None) + (absent is not None) + len(expects) > 1:
        raise Refused(400, "one condition at a time: If-Match, If-None-Match, or one of the body's expected…")
    if expects:
        return _compare(request, key, value, content)
    if absent is not None:
        if absent.strip() != "*":
            raise Refused(400, "If-None-Match with PUT is *: create the key; to replace one version send If-Match")
        return Create(request, key, value)
    if present is None:
        return Put(request, key, value)
    if present.strip() == "*":
        return Update(request, key, value)
    if "," in present:
        raise Refused(400, "If-Match names one version; read the key and send its ETag")
    version = version_of(present)
    # What is no version of this store matches none: NEVER is older than every one.
    return CompareAndSet(request, key, value, expected_version=version or Version(0))


def _compare(request: RequestId, key: Key, value: bytes, content: dict[str, Any]) -> CompareAndSet:
    text = content.get("expected_version")
    if text is None:
        return CompareAndSet(request, key, value, expected=take_bytes(content, "expected"))
    try:
        return CompareAndSet(request, key, value, expected_version=Version.parse(text))
    except (ValueError, AttributeError):
        raise Refused(400, "expected_version is a version as an answer gave it, such as 12.data-1") from None


def _json_object(asked: Asked) -> dict[str, Any]:
    if asked.media_type() != JSON:
        raise Refused(415, f"the body is {JSON}; say so in Content-Type")
    try:
        content = msgspec.json.decode(asked.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Refused(400, f"the body is not JSON in UTF-8: {wrong}") from None
    if not isinstance(content, dict):
        raise Refused(400, "the body is a JSON object")
    return content


def _only(content: dict[str, Any], *names: str) -> None:
    for name in content:
        if name not in names:
            raise Refused(400, f"unknown field {name[:100]!r}; there are: {', '.join(names)}")


def _range(parameters: dict[str, bytes]) -> tuple[bytes, bytes | None]:
    """Where the list starts and ends: all that is asked holds at once."""
    starts = [parameters.get("start", b"")]
    ends = [parameters["end"]] if "end" in parameters else []
    if "after" in parameters:
        starts.append(parameters["after"] + b"\0")
    if prefix := parameters.get("prefix"):
        starts.append(prefix)
        if head := prefix.rstrip(b"\xff"):
            ends.append(head[:-1] + bytes([head[-1] + 1]))
    return max(starts), min(ends) if ends else None


def _limit(parameters: dict[str, bytes]) -> int:
    digits = parameters.get("limit", b"%d" % DEFAULT_LIMIT)
    if not (0 < len(digits) <= 9 and digits.isdigit()) or not 1 <= int(digits) <= LARGEST_LIMIT:
        raise Refused(400, f"limit is a number from 1 to {LARGEST_LIMIT}")
    return int(digits)


def _written(result: AnyResult, headers: dict[str, str] | None = None, created: bool = False) -> Answer:
    """201 created, 204 replaced, 200 where the design cannot know which."""
    if not isinstance(result, Written):
        raise TypeError(f"a write gave {result!r}")
    headers = {"ETag": etag(result.version), **(headers or {})}
    if result.existed and not created:
        return Answer(204, headers=headers)
    status = 201 if created or result.existed is False else 200
    return json_answer(status, {"version": str(result.version)}, headers)


def _names(condition: str, version: Version) -> bool:
    """Whether a list of ETags names this version; `W/` is no matter here (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag(version) in tags


def _item(key: Key, value: bytes | None, version: Version) -> dict[str, Any]:
    content: dict[str, Any] = {}
    put_bytes(content, "key", key)
    if value is not None:
        put_bytes(content, "value", value)
    content["version"] = str(version)
    return content


def _shown(key: Key) -> str:
    return key.decode(errors="replace") or "the empty key"
