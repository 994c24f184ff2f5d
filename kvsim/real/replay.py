"""Replays a recording: builds the node again, gives it the recorded inputs, and compares all it does with the record.

That the outputs are the same, byte for byte, proves that nothing but the recorded inputs decides what a node does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.host import Disk, DiskError, Program, Recovered
from kvsim.core.message import Channel, Codec, Envelope, Nanoseconds, NodeId
from kvsim.core.trace import Event
from kvsim.core.waiting import Future, Scope, Task
from kvsim.real.cluster_file import plan_of
from kvsim.real.recording import (
    AnyEntry,
    Begun,
    Calendar,
    Clock,
    Delivered,
    Failed,
    Fired,
    Full,
    Happened,
    Input,
    Output,
    PeerLost,
    RecordingError,
    Sent,
    Settled,
    Started,
    Stopped,
    TimerSet,
    Written,
    error_text,
    event_entry,
    read_recording,
)
from kvsim.strategies.catalogue import assemble, message_kinds

E = TypeVar("E", bound=msgspec.Struct)


class Diverged(Exception):
    """The node did something else than it did when it was recorded."""


class Replayed(msgspec.Struct, frozen=True):
    """How much was the same."""

    node: NodeId
    inputs: int
    sends: int
    writes: int
    events: int


def replay(path: Path) -> Replayed:
    """Replay a recording. Raises `Diverged` at the first difference, `RecordingError` for a file that is none."""
    return replay_entries(read_recording(path), str(path))


def replay_entries(entries: list[AnyEntry], where: str = "recording") -> Replayed:
    """The same for entries in memory."""
    if not entries or not isinstance(entries[0], Begun):
        raise RecordingError(f"{where} does not say whose recording it is")
    begun = entries[0]
    plan = plan_of(begun.file, where)
    codec = Codec(message_kinds(plan.design))
    host = ReplayHost(begun, entries, codec)
    node = assemble(plan.design, plan.cluster, host, host.scope)
    try:
        host.run(node)
    except _Over:  # the recording was cut short within what an input led to
        pass
    count = host.passed
    return Replayed(begun.node, count(Input), count(Sent), count(Written), count(Happened))


class _Over(BaseException):
    """The recording has no more entries. Not an Exception, so that no handler of the node takes it for its own."""


class _Differs(BaseException):
    """What was done differs; the same holds."""


class ReplayHost:
    """Implements `Host` from a recording: looks up what the node reads, and checks what it does."""

    def __init__(self, begun: Begun, entries: list[AnyEntry], codec: Codec) -> None:
        self.id = begun.node
        self.chance = Chance(begun.file.seed, f"real/{begun.node}/{begun.incarnation}")
        self.disk: Disk = _ReplayDisk(self)
        self.scope = Scope(self.fail)
        self.orders: list[Future[None]] = []
        self._incarnation = begun.incarnation
        self._entries, self._at = entries, 1
        self._codec = codec
        self._timers: list[_ReplayTimer] = []
        self._failed = False

    def run(self, program: Program) -> None:
        """Give the program all inputs. Raises `Diverged`."""
        try:
            while self._at < len(self._entries):
                entry = self._entries[self._at]
                self._at += 1
                if not isinstance(entry, Input):
                    self._differ(entry, "nothing more")
                self._give(program, entry)
        except _Differs as difference:
            raise Diverged(str(difference)) from None
        finally:
            self.scope.close()

    def passed(self, kind: type) -> int:
        """How many entries of a kind have been replayed."""
        return sum(isinstance(entry, kind) for entry in self._entries[: self._at])

    def _give(self, program: Program, entry: Input) -> None:
        try:
            match entry:
                case Started(files):
                    program.start(Recovered(files=files, incarnation=self._incarnation))
                case Delivered(sender, envelope):
                    program.deliver(sender, self._codec.decode(envelope))
                case PeerLost(peer):
                    program.peer_lost(peer)
                case Fired(number):
                    self._timer(number).fire()
                case Settled():
                    self.settle(entry)
                case Stopped():
                    program.stop()
            self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a defect of the node, which the recording must hold
            self.fail(error)

    # What the node does ----------------------------------------------------------------------------------------------

    def now(self) -> Nanoseconds:
        return self._next(Clock, "read the clock").time_ns

    def wall(self) -> Nanoseconds:
        return self._next(Calendar, "read the calendar").time_ns

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        self.expect(Sent(to, self._codec.encode(envelope), channel.value))

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> _ReplayTimer:
        self.expect(TimerSet(delay_ns))
        self._timers.append(_ReplayTimer(call))
        return self._timers[-1]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        return self.scope.spawn(work)

    def wants(self, kind: type[Event]) -> bool:
        return True

    def record(self, event: Event) -> None:
        self.expect(event_entry(event))

    def fail(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            self.expect(Failed(error_text(error)))

    # The recording ---------------------------------------------------------------------------------------------------

    def expect(self, done: Output) -> None:
        """The node does this; the recording must say so."""
        recorded = self._entry()
        if recorded != done:
            self._differ(recorded, repr(done))
        self._at += 1

    def full(self) -> bool:
        """What the disk said."""
        return self._next(Full, "asked whether the disk is full").full

    def settle(self, entry: Settled) -> None:
        """Let the disk answer."""
        future = self.orders[entry.order - 1] if 0 < entry.order <= len(self.orders) else None
        if future is None or future.done:
            self._differ(entry, "no such order to the disk")
        if entry.error is None:
            future.complete(None)
        else:
            future.fail(DiskError(entry.error))

    def settle_at_once(self) -> None:
        """Where the recorded disk answered within the order, as one in memory does, so does this one."""
        if self._at < len(self._entries):
            entry = self._entries[self._at]
            if isinstance(entry, Settled) and entry.order == len(self.orders):
                self._at += 1
                self.settle(entry)

    def _next(self, kind: type[E], did: str) -> E:
        recorded = self._entry()
        if not isinstance(recorded, kind):
            self._differ(recorded, did)
        self._at += 1
        return recorded

    def _entry(self) -> AnyEntry:
        if self._at >= len(self._entries):
            raise _Over
        return self._entries[self._at]

    def _timer(self, number: int) -> _ReplayTimer:
        if not 0 < number <= len(self._timers):
            self._differ(Fired(number), "no such timer")
        return self._timers[number - 1]

    def _differ(self, recorded: Any, did: str) -> NoReturn:
        raise _Differs(f"{self.id}, entry {self._at}: recorded was {recorded!r}, but the replay shows {did}")


class _ReplayTimer:
    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        call, self._call = self._call, None
        if call is None:
            raise _Differs("a timer fired when it was recorded, but the replay has cancelled it")
        call()


class _ReplayDisk:
    def __init__(self, host: ReplayHost) -> None:
        self._host = host

    def append(self, file: str, data: bytes) -> Future[None]:
        return self._order("append", file, data)

    def sync(self, file: str) -> Future[None]:
        return self._order("sync", file, b"")

    def replace(self, file: str, data: bytes) -> Future[None]:
        return self._order("replace", file, data)

    def full(self) -> bool:
        return self._host.full()

    def _order(self, kind: str, file: str, data: bytes) -> Future[None]:
        self._host.expect(Written(kind, file, data))
        future: Future[None] = Future()
        self._host.orders.append(future)
        self._host.settle_at_once()
        return future
