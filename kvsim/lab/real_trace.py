"""Puts the trace of a run on a real cluster together: from what each node recorded, and what its clients did.

All times are the machine's monotonic clock, which its processes share. Within a node the order is the true one; between
nodes only messages tell for certain what came first, and causes lead along them.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from kvsim.core.history import Event
from kvsim.core.message import Codec, Envelope, Failure, Nanoseconds, NodeId, fields_of, plain, tag_of
from kvsim.core.operation import AnyOperation, AnyResult, Perform, RequestId
from kvsim.lab.real_driver import ClusterDriver
from kvsim.real import recording
from kvsim.real.cluster_file import Plan
from kvsim.sim import events
from kvsim.sim.faults import Window
from kvsim.strategies.catalogue import message_kinds
from kvsim.workload.driver import Answered


class Note:
    """One entry to be, before it has a number."""

    __slots__ = ("cause", "event", "fields", "id", "node", "time_ns")

    def __init__(
        self, time_ns: Nanoseconds, node: NodeId, event: str, fields: dict[str, Any], cause: Note | None = None
    ) -> None:
        self.time_ns, self.node, self.event, self.fields, self.cause = time_ns, node, event, fields, cause
        self.id = 0

    def line(self, begun_ns: Nanoseconds) -> bytes:
        """The entry as one line of `trace.jsonl`."""
        cause = {"cause": self.cause.id} if self.cause is not None and self.cause.id else {}
        head = {"id": self.id, "time_ns": self.time_ns - begun_ns, "node": self.node, **cause, "event": self.event}
        return msgspec.json.encode(head | self.fields) + b"\n"


def noted(time_ns: Nanoseconds, node: NodeId, event: msgspec.Struct, cause: Note | None = None) -> Note:
    """An event of the world's as a note."""
    return Note(time_ns, node, str(event.__struct_config__.tag), fields_of(event), cause)


class _Messages:
    """Finds to each message that arrived its sending: on a stream equal messages arrive in the order of sending."""

    def __init__(self) -> None:
        self._sent: defaultdict[Any, deque[Note]] = defaultdict(deque)

    def sent(self, key: Any, sending: Note) -> None:
        """A message left."""
        self._sent[key].append(sending)

    def arrived(self, key: Any) -> Note | None:
        """The sending of the message that arrived; None where it is not known, as a kill took it with it."""
        waiting = self._sent.get(key)
        return waiting.popleft() if waiting else None


class TracedDriver(ClusterDriver):
    """A driver that notes what each client asks and is told."""

    def __init__(self, plan: Plan, begun_ns: Nanoseconds) -> None:
        super().__init__(plan, begun_ns)
        self._encode = Codec(message_kinds(plan.design)).encode
        self.notes: list[Note] = []
        self.asked = _Messages()
        self.told: list[tuple[Note, tuple[RequestId, NodeId]]] = []
        """The arrivals of answers, whose sendings the nodes know."""
        self._invoked: dict[NodeId, Note] = {}
        self._ended: dict[NodeId, Note] = {}
        self._arrived: dict[NodeId, Note] = {}

    def heard(self, client: NodeId, event: Event) -> None:
        """An event of the history happens at this client."""
        at_ns = self.begun_ns + event.time_ns
        if event.type == "invoke":
            asked = events.Invoked(event.index, event.process, event.op, event.key, event.value)
            note = self._invoked[client] = noted(at_ns, client, asked, self._ended.get(client))
        else:
            told = events.Completed(event.index, event.process, event.op, event.type, event.value)
            note = self._ended[client] = noted(
                at_ns, client, told, self._arrived.pop(client, None) or self._invoked[client]
            )
        self.notes.append(note)

    def perform(self, client: NodeId, door: NodeId, operation: AnyOperation, answered: Answered) -> Callable[[], None]:
        """Send the operation from this client to this door, and note that and the answer."""
        asking = Perform(operation)
        fields = _sent(door, asking, "stream", len(self._encode(Envelope(asking, operation.request.number))))
        sent = Note(time.monotonic_ns(), client, "world.sent", fields, self._invoked[client])
        self.notes.append(sent)
        self.asked.sent((operation.request, door), sent)

        def note_answer(answer: AnyResult | Failure) -> None:
            arrived = noted(time.monotonic_ns(), client, events.Delivered(door, tag_of(answer)))
            self.notes.append(arrived)
            self.told.append((arrived, (operation.request, door)))
            self._arrived[client] = arrived
            answered(answer)
            self._arrived.pop(client, None)

        return super().perform(client, door, operation, note_answer)


def write_trace(
    write: Callable[[bytes], Any],
    driver: TracedDriver,
    plan: Plan,
    kills: Iterable[tuple[Nanoseconds, NodeId]],
    windows: Iterable[Window],
) -> None:
    """Write the lines of the trace, when all processes have ended and so have closed what they recorded.

    `kills`: who was killed, and when. What a process had written survives that, so no bytes are lost.
    """
    reader = _Recordings(plan, driver.asked)
    notes = [*driver.notes, *_faults(windows, driver.begun_ns)]
    notes += [noted(at_ns, node, events.Crashed(0)) for at_ns, node in kills]
    for node in plan.cluster.everyone():
        for path in sorted(plan.file.node_dir(node).glob("recording-*"), key=_incarnation):
            notes += reader.read(path)
    reader.link()
    for arrived, key in driver.told:
        arrived.cause = reader.answers.arrived(key)
    notes.sort(key=lambda note: note.time_ns)
    for number, note in enumerate(notes, 1):
        note.id = number
    for note in notes:
        write(note.line(driver.begun_ns))


def _incarnation(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _faults(windows: Iterable[Window], begun_ns: Nanoseconds) -> Iterator[Note]:
    for window in windows:
        if window.struck:
            where = window.nodes[0] if window.nodes else ""
            began = noted(begun_ns + window.start_ns, where, events.FaultBegan(window.kind, tuple(window.nodes)))
            yield began
            if window.end_ns > window.start_ns:
                ended = events.FaultEnded(window.kind, tuple(window.nodes))
                yield noted(begun_ns + window.end_ns, where, ended, began)


class _Recordings:
    """Makes notes of recordings, and links what arrived to what was sent, over all nodes."""

    def __init__(self, plan: Plan, asked: _Messages) -> None:
        self.answers = _Messages()
        self._decode: Callable[[bytes], Envelope[Any]] = Codec(message_kinds(plan.design)).decode
        self._nodes = frozenset(plan.cluster.everyone())
        self._asked = asked
        self._between = _Messages()
        self._arrivals: list[tuple[Note, Any]] = []

    def link(self) -> None:
        """Find the sendings of what arrived from other nodes."""
        for arrived, key in self._arrivals:
            arrived.cause = self._between.arrived(key)

    def read(self, path: Path) -> list[Note]:
        """The notes of one life of a node."""
        return _Life(self).read(path)

    def sent(self, sender: NodeId, entry: recording.Sent, sending: Note) -> None:
        """Remember a message that left."""
        self._between.sent((sender, entry.to, entry.envelope), sending)

    def arrived(self, receiver: NodeId, entry: recording.Delivered, envelope: Envelope[Any], arrival: Note) -> None:
        """Find the sending of a message, now if a client sent it and later if a node did."""
        if entry.sender in self._nodes:
            self._arrivals.append((arrival, (entry.sender, receiver, entry.envelope)))
        elif isinstance(envelope.message, Perform):
            arrival.cause = self._asked.arrived((envelope.message.operation.request, receiver))

    def decode(self, envelope: bytes) -> Envelope[Any]:
        """An envelope as it was on the wire."""
        return self._decode(envelope)


class _Life:
    """One life of a node: which input led to which output."""

    def __init__(self, among: _Recordings) -> None:
        self._among = among
        self._notes: list[Note] = []
        self._at_ns: Nanoseconds = 0
        self._cause: Note | None = None
        """The input whose consequences are happening."""
        self._timers: list[Note | None] = []
        self._orders: list[tuple[recording.Written, int, Note | None]] = []
        """What the disk was asked, how many bytes it concerns, and what led to it."""
        self._lengths: dict[str, int] = {}
        self._asked: dict[tuple[NodeId, int], RequestId] = {}
        """Which request each question of a client was."""

    def read(self, path: Path) -> list[Note]:
        """All notes, in order."""
        begun, *entries = recording.read_timed(path)
        assert isinstance(begun, recording.Begun), "a recording begins with whose it is"
        self._node, self._incarnation = begun.node, begun.incarnation
        for entry in entries:
            if isinstance(entry, recording.At | recording.Clock):
                self._at_ns = entry.time_ns
            elif isinstance(entry, recording.Input):
                self._input(entry)
            else:
                self._output(entry)
        return self._notes

    def _note(self, event: msgspec.Struct, cause: Note | None) -> Note:
        note = noted(self._at_ns, self._node, event, cause)
        self._notes.append(note)
        return note

    def _input(self, entry: recording.Input) -> None:
        match entry:
            case recording.Started(files):
                self._lengths = {file: len(data) for file, data in files.items()}
                again = self._incarnation > 1
                self._cause = self._note(events.Restarted(self._incarnation), None) if again else None
            case recording.Delivered(sender):
                envelope = self._among.decode(entry.envelope)
                self._cause = self._note(events.Delivered(sender, tag_of(envelope.message)), None)
                if isinstance(envelope.message, Perform):
                    self._asked[sender, envelope.request] = envelope.message.operation.request
                self._among.arrived(self._node, entry, envelope, self._cause)
            case recording.PeerLost(peer):
                self._cause = self._note(events.PeerLost(peer), None)
            case recording.Fired(timer):
                self._cause = self._note(events.TimerFired(), self._timers[timer - 1])
            case recording.Settled(order, error):
                asked, size_bytes, asker = self._orders[order - 1]
                if error is None:
                    self._cause = self._note(events.DiskDone(asked.order, asked.file, size_bytes), asker)
            case _:
                self._cause = None

    def _output(self, entry: recording.AnyEntry) -> None:
        match entry:
            case recording.Sent():
                self._sent(entry)
            case recording.TimerSet():
                self._timers.append(self._cause)
            case recording.Written():
                self._orders.append((entry, self._concerned(entry), self._cause))
            case recording.Happened(event, fields):
                self._notes.append(Note(self._at_ns, self._node, event, msgspec.json.decode(fields), self._cause))
            case recording.Failed(error):
                self._note(events.Failed(error), self._cause)

    def _sent(self, entry: recording.Sent) -> None:
        envelope = self._among.decode(entry.envelope)
        fields = _sent(entry.to, envelope.message, entry.channel, len(entry.envelope))
        sending = Note(self._at_ns, self._node, "world.sent", fields, self._cause)
        self._notes.append(sending)
        request = self._asked.get((entry.to, envelope.answers))
        if request is not None:
            self._among.answers.sent((request, self._node), sending)
        self._among.sent(self._node, entry, sending)

    def _concerned(self, entry: recording.Written) -> int:
        """As `world.disk` has it: of an append what it adds, else the length of the file that is safe then."""
        if entry.order == "append":
            self._lengths[entry.file] = self._lengths.get(entry.file, 0) + len(entry.data)
            return len(entry.data)
        if entry.order == "replace":
            self._lengths[entry.file] = len(entry.data)
        return self._lengths.get(entry.file, 0)


def _sent(to: NodeId, message: Any, channel: str, size_bytes: int) -> dict[str, Any]:
    """The fields of `world.sent`."""
    return {"to": to, "kind": tag_of(message), "channel": channel, "size_bytes": size_bytes, "message": plain(message)}
