"""One compare-and-set register as Jepsen records it: `read`, `write`, `cas`, without keys and often without times."""

from typing import Any

from kvsim.core.history import Event, EventType, History, HistoryError, OperationName, Rules

KEY = "register"
_OPS: dict[str, OperationName] = {"read": "read", "write": "put", "cas": "cas"}
_TYPES: dict[str, EventType] = {"invoke": "invoke", "ok": "ok", "fail": "fail", "info": "info"}
_SECOND_NS = 1_000_000_000


class RegisterHistory:
    """Builds the history event by event.

    Where the file gives no times, event n stands at n seconds. The order of the events decides: a time before that of
    the event before it becomes the same as that.
    """

    def __init__(self) -> None:
        self.history = History()
        self._rules = Rules()
        self._last_ns = 0

    def add(self, line: int, process: int, type_name: str, f: str, value: Any, time_ns: int | None = None) -> None:
        """The next event; a `cas` has the value [expected, new]. Raises HistoryError."""
        if type_name not in _TYPES:
            raise HistoryError(line, f"unknown type {type_name!r}; known are {', '.join(_TYPES)}")
        if f not in _OPS:
            raise HistoryError(line, f"unknown operation {f!r}; of a register {', '.join(_OPS)} are known")
        type_, op = _TYPES[type_name], _OPS[f]
        expected: Any = None
        if op == "read":
            value = _plain(line, value) if type_ == "ok" else None
        elif type_ in ("fail", "info"):  # the value may be an excuse: what was invoked counts
            begun = self._rules.begun(process)
            value, expected = (begun.value, begun.expected) if begun else (None, None)
        elif op == "cas":
            if not isinstance(value, list) or len(value) != 2:
                raise HistoryError(line, "a cas has the value [expected new]")
            expected, value = _plain(line, value[0]), _plain(line, value[1])
        else:
            value = _plain(line, value)
        if op != "read" and value is None and type_ in ("invoke", "ok"):
            raise HistoryError(line, f"{f} without a value")
        index = len(self.history)
        self._last_ns = max(self._last_ns, index * _SECOND_NS if time_ns is None else time_ns)
        event = Event(index, type_, process, self._last_ns, op, KEY, value, expected)
        self._rules.admit(line, event)
        self.history.events.append(event)


def _plain(line: int, value: Any) -> Any:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    raise HistoryError(line, f"a register holds a number or a string, not {value!r}")
