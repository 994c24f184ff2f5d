"""Which commands of one connection may be under way together: a client that sends many at once sees its own writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

Touches = Literal["nothing", "connection", "read", "write", "everything"]
"""What a command touches: `read` and `write` are of keys, `connection` is the session, `everything` the whole store."""


class KeyOrder:
    """Commands on one key keep their order, except reads among themselves; `connection` and `everything` run alone."""

    def __init__(self) -> None:
        self._under_way = 0
        self._alone = False
        self._read: Counter[bytes] = Counter()
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
            self._read.update(keys)
        elif touches == "write":
            self._written.update(keys)
        else:
            self._alone = True

    def leave(self, touches: Touches, keys: Sequence[bytes]) -> None:
        """It has ended."""
        self._under_way -= 1
        if touches == "read":
            for key in keys:
                self._read[key] -= 1
                if not self._read[key]:
                    del self._read[key]
        elif touches == "write":
            self._written.difference_update(keys)
        else:
            self._alone = False
