"""The engine: SimPy's environment with integer nanoseconds, a lean event and a tight loop.

A lean event is a call with one argument, lying in SimPy's own queue. SimPy's processes, timeouts and resources work
beside it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, cast

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import NORMAL, EventPriority

from kvsim.core.message import Nanoseconds

ALLOCATIONS = 50_000
"""Objects made between two searches for cyclic garbage; a simulation leaves little of it, and the searches cost a
twentieth of its time at Python's own 700."""
FEW_CANCELLED = 16
"""So many cancelled timers may lie in the queue before it is worth cleaning."""

Entry = tuple[Nanoseconds, int, int, Callable[[Any], None], Any]
"""When; the priority and the order of issue, which break ties; what to call, with which argument."""


class Timer:
    """A call to come; see `kvsim.core.host.Timer`."""

    __slots__ = ("_engine", "call", "cause")

    def __init__(self, engine: Engine, call: Callable[[], None]) -> None:
        self._engine = engine
        self.call: Callable[[], None] | None = call
        self.cause = 0
        """The trace's entry in which the timer was set; 0 when nothing is traced."""

    def cancel(self) -> None:
        """Do not call; harmless when the call has been, and when done twice."""
        if self.call is not None:
            self.call = None
            engine = self._engine
            engine.cancelled += 1
            if engine.cancelled > FEW_CANCELLED:
                engine.sweep()


class _Reached(Exception):
    """The time to stop at has come."""


class Engine(simpy.Environment):
    """A SimPy environment whose time is integer nanoseconds from 0."""

    def __init__(self) -> None:
        super().__init__(0)
        self.time_ns: Nanoseconds = 0
        """Now; what SimPy calls `now`. A plain attribute, since everything reads it."""
        self._entries = cast(list[Entry], self._queue)
        self.cancelled = 0
        """Timers in the queue that will not be called."""
        self.push: Callable[[Entry], None] = partial(heappush, self._entries)
        """Put an entry into the queue; for the hot paths, which spare the call to `call_at`."""
        self.next_id: Callable[[], int] = self._eid.__next__
        """The order of issue for an entry."""

    @property
    def now(self) -> Nanoseconds:
        """Now, for SimPy's own classes."""
        return self.time_ns

    def call_at(self, time_ns: Nanoseconds, call: Callable[[Any], None], argument: Any) -> None:
        """A lean event: `call(argument)` at this time, after what was issued for that time before."""
        self.push((time_ns, NORMAL, self.next_id(), call, argument))

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """SimPy's way into the queue: its events become lean ones. Raises TypeError for a delay of part nanoseconds."""
        if not isinstance(delay, int):
            raise TypeError(f"time is whole nanoseconds here, got a delay of {delay!r}; use round(seconds * 1e9)")
        self.push((self.time_ns + delay, priority, self.next_id(), self._occur, event))

    def step(self) -> None:
        """Let the next event happen. Raises SimPy's EmptySchedule when there is none."""
        if not self._entries:
            raise EmptySchedule
        self.time_ns, _, _, call, argument = heappop(self._entries)
        call(argument)

    def advance(self, until_ns: Nanoseconds) -> None:
        """Let everything happen up to this time, what is due at this very time included; then it is that time."""
        queue, pop = self._entries, heappop
        thresholds = gc.get_threshold()
        gc.set_threshold(ALLOCATIONS, *thresholds[1:])
        stop: Entry = (until_ns, sys.maxsize, self.next_id(), self._reached, None)
        heappush(queue, stop)
        try:
            while True:
                self.time_ns, _, _, call, argument = pop(queue)
                call(argument)
        except _Reached:
            pass
        except BaseException:
            queue.remove(stop)
            heapify(queue)
            raise
        finally:
            gc.set_threshold(*thresholds)

    def advance_while(self, wanted: Callable[[], bool], until_ns: Nanoseconds) -> bool:
        """Go on, event by event, while `wanted()` holds; False when it still does at this time."""
        while wanted():
            if not self._entries or self._entries[0][0] > until_ns:
                self.time_ns = until_ns
                return False
            self.step()
        return True

    def sweep(self) -> None:
        """Remove cancelled timers from the queue if most of it are such: a short queue is a fast one."""
        if self.cancelled * 2 > len(self._entries):
            self._entries[:] = [entry for entry in self._entries if not _is_cancelled(entry)]
            heapify(self._entries)
            self.cancelled = 0

    def _reached(self, _: None) -> None:
        raise _Reached

    def _occur(self, event: simpy.Event) -> None:
        """What SimPy's own `step` does with an event."""
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        done = 0
        try:
            for callback in callbacks:
                done += 1
                callback(event)
        except StopSimulation:
            event.callbacks = callbacks[done:]
            self.schedule(event, EventPriority(-1))
            raise
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value


def _is_cancelled(entry: Entry) -> bool:
    return type(entry[4]) is Timer and entry[4].call is None
