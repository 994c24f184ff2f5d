"""Timers of a real node: due by time and, at one time, in the order of issue, which event loops do not promise."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from kvsim.core.message import SECOND, Nanoseconds

CLEAN_FROM = 1_024


class RealTimer:
    """A call to come."""

    __slots__ = ("_timers", "call")

    def __init__(self, timers: Timers, call: Callable[[], None]) -> None:
        self._timers = timers
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Do not call; harmless when the call has been, and when done twice."""
        if self.call is not None:
            self.call = None
            self._timers.cancelled += 1


class Timers:
    """All timers of one node, with one alarm of the event loop for the earliest. `fire` runs a call that is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[Callable[[], None]], None]) -> None:
        self._loop, self._fire = loop, fire
        self._heap: list[tuple[Nanoseconds, int, RealTimer]] = []
        self._count = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ns = 0
        self._closed = False
        self.cancelled = 0
        """Cancelled timers that still lie in the heap."""

    def __len__(self) -> int:
        """How many timers are kept, those that were cancelled and are not yet thrown out among them."""
        return len(self._heap)

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> RealTimer:
        """Call back after this time."""
        timer = RealTimer(self, call)
        due_ns = time.monotonic_ns() + max(delay_ns, 0)
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, timer))
        if self._alarm is None or due_ns < self._alarm_ns:
            self._set_alarm(due_ns)
        if self.cancelled > CLEAN_FROM and 2 * self.cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self.cancelled = 0
        return timer

    def close(self) -> None:
        """Fire no more."""
        self._closed = True
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, due_ns: Nanoseconds) -> None:
        if self._closed:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ns = due_ns
        # Rounded up to the millisecond of uvloop's clock: an alarm that rings early would only ring again.
        wait_s = max(due_ns - time.monotonic_ns(), 0) / SECOND
        self._alarm = self._loop.call_later(wait_s and wait_s + 0.0005, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now_ns = time.monotonic_ns()
        while self._heap and self._heap[0][0] <= now_ns:
            _, _, timer = heapq.heappop(self._heap)
            if timer.call is None:
                self.cancelled -= 1
                continue
            call, timer.call = timer.call, None
            self._fire(call)
        self._ring_for_earliest()

    def _ring_for_earliest(self) -> None:
        # A call may have set the alarm for its own next time, although another timer is due before.
        if self._heap and (self._alarm is None or self._heap[0][0] < self._alarm_ns):
            self._set_alarm(self._heap[0][0])
