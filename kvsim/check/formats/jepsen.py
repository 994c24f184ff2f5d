"""Jepsen's histories in EDN: maps with :type, :process, :f and :value, of one register that begins absent."""

from typing import Any

from kvsim.check.formats.edn import Keyword, forms
from kvsim.check.formats.register import RegisterHistory
from kvsim.core.history import History, HistoryError


def jepsen(text: str) -> History:
    """Read such a history; events of the nemesis, whose process is no number, are left out. Raises HistoryError."""
    building = RegisterHistory()
    for line, form in forms(text):
        if not isinstance(form, dict):
            raise HistoryError(line, "an event is a map")
        process = form.get("process")
        if isinstance(process, Keyword):
            continue
        if isinstance(process, bool) or not isinstance(process, int):
            raise HistoryError(line, "an event without :process")
        time_ns = form.get("time")
        if isinstance(time_ns, bool) or not (time_ns is None or isinstance(time_ns, int)):
            raise HistoryError(line, ":time is a whole number of nanoseconds")
        building.add(line, process, _name(line, form, "type"), _name(line, form, "f"), form.get("value"), time_ns)
    return building.history


def _name(line: int, form: dict[Any, Any], field: str) -> str:
    name = form.get(field)
    if not isinstance(name, Keyword):
        raise HistoryError(line, f"an event without :{field}")
    return name
