"""Complaints: others' faults, always counted, logged at most once a second a kind: no stranger fills the disk."""

from __future__ import annotations

import logging
import time
from collections import Counter

_log = logging.getLogger("kvsim.transport")
QUIET_NS = 1_000_000_000


class Complaints:
    """Counts by kind, and the log that grows slowly."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._said: dict[str, tuple[int, int]] = {}

    def add(self, kind: str, text: str) -> None:
        """Count one, and log it unless another of its kind was logged within the last second."""
        self.counts[kind] += 1
        now_ns = time.monotonic_ns()
        said_ns, said_count = self._said.get(kind, (-QUIET_NS, 0))
        if now_ns - said_ns < QUIET_NS:
            return
        unsaid = self.counts[kind] - said_count - 1
        self._said[kind] = (now_ns, self.counts[kind])
        _log.warning("%s%s", text, f" (and {unsaid} more like this)" if unsaid else "")
