"""Logs of Jepsen against etcd, as Porcupine keeps them: lines `jepsen.util - 3 :ok :cas [1 2]`, the rest is noise."""

import re

from kvsim.check.formats.register import RegisterHistory
from kvsim.core.history import History, HistoryError

_EVENT = re.compile(r"jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*?)\s*$")
_NUMBER = re.compile(r"-?\d+$")
_PAIR = re.compile(r"\[(-?\d+|nil)\s+(-?\d+)\]$")


def etcd_log(text: str) -> History:
    """Read such a log. Raises HistoryError."""
    building = RegisterHistory()
    for number, line in enumerate(text.splitlines(), 1):
        if event := _EVENT.search(line):
            process, type_name, f, argument = event.groups()
            building.add(number, int(process), type_name, f, _value(number, argument))
    return building.history


def _value(line: int, argument: str) -> object:
    if argument == "nil" or argument.startswith(":"):
        return None
    if _NUMBER.match(argument):
        return int(argument)
    if pair := _PAIR.match(argument):
        return [None if pair[1] == "nil" else int(pair[1]), int(pair[2])]
    raise HistoryError(line, f"neither a number, nor a pair, nor nil: {argument[:40]!r}")
