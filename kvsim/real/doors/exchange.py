"""A request and its answer as plain data, so that what the HTTP door says does not depend on who parses HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON = "application/json"
RAW = "application/octet-stream"
PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, its body read."""

    method: str
    path: str
    """As it came, percent-encoding and all."""
    query: str
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes

    def media_type(self) -> str:
        """What the body is, in lower case and without parameters; empty where the client does not say."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def wants_json(self) -> bool:
        """Whether the client asks for JSON rather than for the bare bytes."""
        return JSON in self.headers.get("Accept", "").lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    media_type: str = RAW
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is answered with a problem (RFC 9457) before it becomes an operation: nothing happened."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def json_answer(status: int, content: Any, headers: dict[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status, msgspec.json.encode(content), JSON, headers or {})
