"""Jepsen's histories in EDN: of one register that begins absent, or of transactions on lists and registers."""

from typing import Any

from kvsim.check.formats.edn import Keyword, forms
from kvsim.check.formats.register import RegisterHistory
from kvsim.core.history import Event, EventType, History, HistoryError, Rules

_TYPES: dict[str, EventType] = {"invoke": "invoke", "ok": "ok", "fail": "fail", "info": "info"}
_SECOND_NS = 1_000_000_000


def jepsen(text: str) -> History:
    """Read such a history; events of the nemesis, whose process is no number, are left out. Raises HistoryError.

    What has no `:f`, or `:f :txn`, is a transaction; without `:process` all events belong to one.
    """
    registers, transactions = RegisterHistory(), _TransactionHistory()
    for line, form in forms(text):
        if not isinstance(form, dict):
            raise HistoryError(line, "an event is a map")
        process = form.get("process", 0)
        if isinstance(process, Keyword):
            continue
        f = form.get("f", Keyword("txn"))
        is_transaction = f == "txn"
        if isinstance(process, bool) or not isinstance(process, int) or not (is_transaction or "process" in form):
            raise HistoryError(line, "an event without :process")
        time_ns = form.get("time")
        if isinstance(time_ns, bool) or not (time_ns is None or isinstance(time_ns, int)):
            raise HistoryError(line, ":time is a whole number of nanoseconds")
        type_name = _name(line, form, "type")
        if is_transaction:
            if type_name not in _TYPES:
                raise HistoryError(line, f"unknown type {type_name!r}; known are {', '.join(_TYPES)}")
            transactions.add(line, process, _TYPES[type_name], form.get("value"), time_ns)
        else:
            registers.add(line, process, type_name, _name(line, form, "f"), form.get("value"), time_ns)
    if len(registers.history) and len(transactions.history):
        raise HistoryError(0, "operations on a register and transactions in one history")
    return registers.history if len(registers.history) else transactions.history


def _name(line: int, form: dict[Any, Any], field: str) -> str:
    name = form.get(field)
    if not isinstance(name, Keyword):
        raise HistoryError(line, f"an event without :{field}")
    return name


class _TransactionHistory:
    """Builds a history of transactions; times as in RegisterHistory."""

    def __init__(self) -> None:
        self.history = History()
        self._rules = Rules()
        self._last_ns = 0

    def add(self, line: int, process: int, type_: EventType, value: Any, time_ns: int | None) -> None:
        index = len(self.history)
        self._last_ns = max(self._last_ns, index * _SECOND_NS if time_ns is None else time_ns)
        mops = [] if value is None or type_ in ("fail", "info") else _micro_operations(line, value)
        event = Event(index, type_, process, self._last_ns, "txn", None, mops)
        self._rules.admit(line, event)
        self.history.events.append(event)


def _micro_operations(line: int, value: Any) -> list[list[Any]]:
    if not isinstance(value, list):
        raise HistoryError(line, "a transaction is a vector of micro-operations")
    for mop in value:
        if not isinstance(mop, list) or len(mop) != 3 or mop[0] not in ("r", "append", "w"):
            raise HistoryError(line, "a micro-operation is [:r k v], [:append k v] or [:w k v]")
        if isinstance(mop[1], list | dict) or isinstance(mop[2], dict) or (mop[0] != "r" and isinstance(mop[2], list)):
            raise HistoryError(line, "keys and written values are numbers, strings or keywords")
    return [[str(mop[0]), mop[1], mop[2]] for mop in value]
