"""Which commands of one connection may be under way together: a client that sends many at once sees its own writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Touches = Literal["nothing", "connection", "read", "write", "everything"]
"""What a command touches: `read` and `write` are of keys, `connection` is the session, `everything` the whole store."""


class KeyOrder:
    """Commands on one key keep their order, except reads among themselves; `connection` and `everything` run alone."""

    def __init__(self) -> None:
        self._under_way = 0
        self._alone = False
        self._read: dict[bytes, int] = {}
        """How many read each key."""
        self._written: set[bytes] = set()

    def admits(self, touches: Touches, keys: Sequence[bytes]) -> bool:
        """Whether a command may start now."""
        if touches == "nothing" or not self._under_way:
            return True
        if self._alone or touches in ("connection", "everything") or not self._written.isdisjoint(keys):
            return False
        return touches == "read" or not any(key in self._read for key in keys)

    def enter(self, touches: Touches, keys: Sequence[bytes]) -> None:
        """It has started."""
        self._under_way += 1
        if touches == "read":
            for key in keys:
                self._read[key] = self._read.get(key, 0) + 1
        elif touches == "write":
            self._written.update(keys)
        else:
            self._alone = True

    def leave(self, touches: Touches, keys: Sequence[bytes]) -> None:
        """It has ended."""
        self._under_way -= 1
        if touches == "read":
            for key in keys:
                left = self._read.pop(key) - 1
                if left:
                    self._read[key] = left
        elif touches == "write":
            self._written.difference_update(keys)
        else:
            self._alone = False
