"""The recording of a real node: every input it got and every output it gave, in the order in which they came.

Two wrappers write it: one around the node's host, one around its program. `kvsim.real.replay` reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, dataclass_transform

import msgspec

from kvsim.core.host import Disk, Host, Program, Recovered, Timer
from kvsim.core.journal import framed, records_of
from kvsim.core.message import Channel, Codec, Envelope, Nanoseconds, NodeId, fields_of
from kvsim.core.trace import Event
from kvsim.core.waiting import Future, Task
from kvsim.real.cluster_file import ClusterFile

BUFFER_BYTES = 16_384
"""What a kill may cost: the end of the recording."""


@dataclass_transform(frozen_default=True)
class Entry(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all entries."""


class Begun(Entry, tag="begun"):
    """Whose recording this is."""

    file: ClusterFile
    node: NodeId
    incarnation: int


class At(Entry, tag="at"):
    """When the next input came, on the monotonic clock. The node did not look, so a replay passes over it."""

    time_ns: Nanoseconds


class Input(Entry):
    """Something that made the node act."""


class Started(Input, tag="started"):
    """The start, with what the disk had kept."""

    files: dict[str, bytes]


class Delivered(Input, tag="delivered"):
    """A message came; the envelope as bytes on the wire."""

    sender: NodeId
    envelope: bytes


class PeerLost(Input, tag="peer_lost"):
    """A stream broke."""

    peer: NodeId


class Fired(Input, tag="fired"):
    """A timer was due; numbered in the order in which they were set."""

    timer: int


class Settled(Input, tag="settled"):
    """The disk answered; orders are numbered as they were given."""

    order: int
    error: str | None


class Stopped(Input, tag="stopped"):
    """The end in good order."""


class Reading(Entry):
    """Something the node looked at while it acted."""


class Clock(Reading, tag="clock"):
    """The monotonic clock."""

    time_ns: Nanoseconds


class Calendar(Reading, tag="calendar"):
    """The calendar."""

    time_ns: Nanoseconds


class Full(Reading, tag="full"):
    """Whether the disk was full."""

    full: bool


class Output(Entry):
    """Something the node did."""


class Sent(Output, tag="sent"):
    """A message left; the envelope as bytes on the wire."""

    to: NodeId
    envelope: bytes
    channel: str


class TimerSet(Output, tag="timer_set"):
    """A timer was set."""

    delay_ns: Nanoseconds


class Written(Output, tag="written"):
    """The disk was given an order: `append`, `sync` or `replace`."""

    order: str
    file: str
    data: bytes


class Happened(Output, tag="happened"):
    """An event, with its fields as JSON."""

    event: str
    fields: bytes


class Failed(Output, tag="failed"):
    """The node stopped with an error."""

    error: str


AnyEntry = (
    Begun | At | Started | Delivered | PeerLost | Fired | Settled | Stopped
    | Clock | Calendar | Full | Sent | TimerSet | Written | Happened | Failed
)  # fmt: skip

_encode = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder(order="deterministic").encode


class RecordingError(Exception):
    """The file is no sound recording; the message says why."""


def read_recording(path: Path) -> list[AnyEntry]:
    """All entries that a replay needs; a last one that a kill cut short is left out. Raises `RecordingError`."""
    return [entry for entry in read_timed(path) if not isinstance(entry, At)]


def read_timed(path: Path) -> list[AnyEntry]:
    """The same, with the times of the inputs."""
    decode = msgspec.msgpack.Decoder(AnyEntry).decode
    try:
        return [decode(record) for record in records_of(str(path), path.read_bytes())[0]]
    except Exception as error:
        raise RecordingError(f"{path} is no recording of this version of kvsim: {error}") from error


def write_recording(path: Path, entries: list[AnyEntry]) -> None:
    """Write entries as a recording."""
    path.write_bytes(b"".join(framed(_encode(entry)) for entry in entries))


def event_entry(event: Event) -> Happened:
    """An event, as recordings hold it."""
    return Happened(str(event.__struct_config__.tag), _json(fields_of(event)))


def error_text(error: Exception) -> str:
    """An error, as recordings hold it."""
    return f"{type(error).__name__}: {error}"


class Log:
    """The file that a node's recording is written to."""

    def __init__(self, path: Path, begun: Begun) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb", buffering=BUFFER_BYTES)
        self.add(begun)
        self._file.flush()

    def add(self, entry: AnyEntry) -> None:
        """Write an entry; it is on the disk after `close`."""
        if not self._file.closed:
            if isinstance(entry, Input):
                self._file.write(framed(_encode(At(time.monotonic_ns()))))
            self._file.write(framed(_encode(entry)))

    def close(self) -> None:
        """Write what is buffered."""
        self._file.close()


class RecordingHost:
    """Implements `Host` by another one, and logs what passes. All events are wanted, so that all are recorded."""

    def __init__(self, host: Host, log: Log, codec: Codec) -> None:
        self.id, self.chance = host.id, host.chance
        self.disk: Disk = _RecordingDisk(host, log)
        self._host, self._log, self._encode = host, log, codec.encode
        self._timers = 0

    def now(self) -> Nanoseconds:
        time_ns = self._host.now()
        self._log.add(Clock(time_ns))
        return time_ns

    def wall(self) -> Nanoseconds:
        time_ns = self._host.wall()
        self._log.add(Calendar(time_ns))
        return time_ns

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        self._log.add(Sent(to, self._encode(envelope), channel.value))
        self._host.send(to, envelope, channel)

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        number = self._timers = self._timers + 1
        self._log.add(TimerSet(delay_ns))

        def fire() -> None:
            self._log.add(Fired(number))
            call()

        return self._host.after(delay_ns, fire)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        return self._host.spawn(work)

    def wants(self, kind: type[Event]) -> bool:
        return True

    def record(self, event: Event) -> None:
        self._log.add(event_entry(event))
        if self._host.wants(type(event)):
            self._host.record(event)

    def fail(self, error: Exception) -> None:
        self._host.fail(error)  # which reports it, also for failures that do not come this way


class _RecordingDisk:
    def __init__(self, host: Host, log: Log) -> None:
        self._host, self._log = host, log
        self._orders = 0

    def append(self, file: str, data: bytes) -> Future[None]:
        return self._logged("append", file, data, lambda: self._host.disk.append(file, data))

    def sync(self, file: str) -> Future[None]:
        return self._logged("sync", file, b"", lambda: self._host.disk.sync(file))

    def replace(self, file: str, data: bytes) -> Future[None]:
        return self._logged("replace", file, data, lambda: self._host.disk.replace(file, data))

    def full(self) -> bool:
        full = self._host.disk.full()
        self._log.add(Full(full))
        return full

    def _logged(self, kind: str, file: str, data: bytes, give: Callable[[], Future[None]]) -> Future[None]:
        number = self._orders = self._orders + 1
        self._log.add(Written(kind, file, data))
        future = give()
        future.when_done(
            lambda done: self._log.add(Settled(number, str(done.error) if done.error is not None else None))
        )
        return future


class RecordingProgram:
    """Implements `Program` by another one, and logs its inputs."""

    def __init__(self, program: Program, log: Log, codec: Codec) -> None:
        self.program = program
        self._log, self._encode = log, codec.encode

    def start(self, recovered: Recovered) -> None:
        self._log.add(Started(dict(recovered.files)))
        self.program.start(recovered)

    def deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        self._log.add(Delivered(sender, self._encode(envelope)))
        self.program.deliver(sender, envelope)

    def peer_lost(self, peer: NodeId) -> None:
        self._log.add(PeerLost(peer))
        self.program.peer_lost(peer)

    def stop(self) -> None:
        self._log.add(Stopped())
        self.program.stop()
