"""Porcupine's logs of a store of strings with get, put and append; each key begins as the empty string.

The empty string becomes absence: an append to it leaves what was appended.
"""

from typing import Any, cast

from kvsim.check.formats.edn import Keyword, forms
from kvsim.core.history import Event, EventType, History, HistoryError, OperationName, Rules

_SECOND_NS = 1_000_000_000
_OPS: dict[str, OperationName] = {"get": "read", "put": "put", "append": "append"}


def kv_log(text: str) -> History:
    """Read such a log; event n stands at n seconds. Raises HistoryError."""
    history, rules = History(), Rules()
    for line, form in forms(text, unwrap=False):
        process, type_, op, key, value = _row(line, form)
        begun = rules.begun(process)
        if type_ in ("fail", "info") and begun is not None:  # the value may be an excuse: what was invoked counts
            value = begun.value
        elif op == "read":
            value = (value or None) if type_ == "ok" else None
        event = Event(len(history), type_, process, len(history) * _SECOND_NS, op, key, value)
        rules.admit(line, event)
        history.events.append(event)
    return history


def _row(line: int, form: Any) -> tuple[int, EventType, OperationName, str, Any]:
    if not isinstance(form, dict):
        raise HistoryError(line, "an event is a map")
    process, type_, f = form.get("process"), form.get("type"), form.get("f")
    key, value = form.get("key"), form.get("value")
    if isinstance(process, bool) or not isinstance(process, int):
        raise HistoryError(line, "an event without :process")
    if not isinstance(type_, Keyword) or type_ not in ("invoke", "ok", "fail", "info"):
        raise HistoryError(line, f"unknown type {type_!r}")
    if not isinstance(f, Keyword) or f not in _OPS:
        raise HistoryError(line, f"unknown operation {f!r}; known are get, put, append")
    if not isinstance(key, str):
        raise HistoryError(line, "an event without :key")
    if value is None:
        value = ""
    if not isinstance(value, str) or (not value and f != "get" and type_ == "invoke"):
        raise HistoryError(line, "a value is a text, and what is written is not empty")
    return process, cast("EventType", str(type_)), _OPS[f], key, value
