"""Problems: what goes wrong, as HTTP says it (RFC 9457), with whether it happened and whether to try again.

503 means that the operation certainly did not happen, 504 that nobody knows.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from kvsim.core.operation import OperationError
from kvsim.real.doors.exchange import PROBLEM, Answer, Refused

RETRY_AFTER_S = 1

STATUS = {
    "already_exists": 409,
    "not_found": 404,
    "mismatch": 412,
    "written_once": 409,
    "too_large": 413,
    "not_served": 501,
    "unavailable": 503,
    "elsewhere": 503,
    "outcome_unknown": 504,
}
_PRECONDITIONS = ("already_exists", "not_found", "mismatch")


def failure(failed: OperationError, conditional: bool = False) -> Answer:
    """The answer to an operation that failed. `conditional`: the condition came in a header, and so 412 answers it."""
    kind = failed.kind
    status = 412 if conditional and failed.code in _PRECONDITIONS else STATUS[failed.code]
    content = {
        "type": f"urn:kvsim:error:{failed.code}",
        "title": kind.why,
        "status": status,
        "detail": failed.detail,
        "remedy": kind.remedy,
        "outcome": "fail" if kind.certain else "info",
        "retryable": kind.retryable,
        "code": failed.code,
    }
    return _problem(status, content, {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {})


def refusal(refused: Refused) -> Answer:
    """The answer to a request that did not become an operation."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "outcome": "fail",
        "retryable": refused.status in (408, 503),
    }
    return _problem(refused.status, content, refused.headers)


def defect() -> Answer:
    """The answer when kvsim itself fails: the operation may have happened."""
    content = {
        "type": "about:blank",
        "title": "kvsim failed at this request",
        "status": 500,
        "detail": "a defect of kvsim; the node's log has it",
        "outcome": "info",
        "retryable": False,
    }
    return _problem(500, content, {})


def _problem(status: int, content: dict[str, Any], headers: dict[str, str]) -> Answer:
    return Answer(status, msgspec.json.encode(content), PROBLEM, headers)
