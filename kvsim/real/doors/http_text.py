"""Keys, values and versions as they stand in URLs, headers and JSON."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from kvsim.core.operation import RequestId
from kvsim.core.version import Version
from kvsim.real.doors.exchange import Refused
from kvsim.real.doors.local import OWN_CLIENTS

_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LONGEST_IDEMPOTENCY_KEY = 200
_LARGEST_NUMBER = 2**53


def decoded(text: str) -> bytes:
    """Percent-decode once. Raises Refused for what is broken."""
    if _BROKEN_PERCENT.search(text):
        raise Refused(400, f"{text[:100]!r} has a % that is not followed by two hexadecimal digits; write %25 for %")
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))


def encoded(data: bytes) -> str:
    """Percent-encode everything that could mean something else in a URL."""
    return quote_from_bytes(data, safe="")


def query_parameters(query: str, allowed: tuple[str, ...]) -> dict[str, bytes]:
    """The parameters of a query, each at most once. Raises Refused for others than these."""
    found: dict[str, bytes] = {}
    for part in query.split("&") if query else ():
        name, _, text = part.partition("=")
        if name not in allowed:
            raise Refused(400, f"unknown parameter {name[:100]!r}; there are: {', '.join(allowed) or 'none here'}")
        if name in found:
            raise Refused(400, f"parameter {name!r} is given twice")
        found[name] = decoded(text.replace("+", "%20"))
    return found


def flag(parameters: dict[str, bytes], name: str) -> bool:
    """A parameter that is true or false. Raises Refused for anything else."""
    word = parameters.get(name, b"false")
    if word not in (b"true", b"false", b"1", b"0", b""):
        raise Refused(400, f"{name} is true or false")
    return word in (b"true", b"1", b"")


def put_bytes(content: dict[str, Any], name: str, data: bytes) -> None:
    """Put bytes into JSON: as text where they are UTF-8, else in base64 under `name_b64`."""
    try:
        content[name] = data.decode()
    except UnicodeDecodeError:
        content[f"{name}_b64"] = base64.b64encode(data).decode()


def take_bytes(content: dict[str, Any], name: str) -> bytes | None:
    """Take from JSON what `put_bytes` put in; None where it is absent or null. Raises Refused."""
    text, coded = content.get(name), content.get(f"{name}_b64")
    if text is not None and coded is not None:
        raise Refused(400, f"{name} and {name}_b64 are both given")
    try:
        if isinstance(coded, str):
            return base64.b64decode(coded, validate=True)
        if isinstance(text, str):
            return text.encode()
    except (binascii.Error, UnicodeEncodeError) as wrong:
        raise Refused(400, f"{name} cannot be read: {wrong}") from None
    if text is None and coded is None:
        return None
    raise Refused(400, f"{name} is a string, or {name}_b64 a string in base64")


def etag(version: Version) -> str:
    """A version as a strong ETag."""
    return f'"{version}"'


def version_of(tag: str) -> Version | None:
    """The version in an ETag; None for what is no ETag of this store, which therefore matches nothing."""
    tag = tag.strip()
    if len(tag) < 2 or tag[0] != '"' or tag[-1] != '"':
        return None
    try:
        return Version.parse(tag[1:-1])
    except ValueError:
        return None


def request_of(idempotency_key: str) -> RequestId:
    """The request that an `Idempotency-Key` names: `client/number`, or any other text as a request of its own."""
    key = idempotency_key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 0 < len(key) <= _LONGEST_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        raise Refused(400, f"Idempotency-Key has 1 to {_LONGEST_IDEMPOTENCY_KEY} printable ASCII characters")
    if key.startswith(OWN_CLIENTS):
        raise Refused(400, f"Idempotency-Key must not begin with {OWN_CLIENTS}; the node names its own requests so")
    client, slash, number = key.rpartition("/")
    if slash and client and number.isdigit() and 0 < int(number) <= _LARGEST_NUMBER:
        return RequestId(client, int(number))
    return RequestId(f"key:{key}", 1)
