"""What happens in the simulated world, as events for traces, plots and fault triggers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kvsim.core.message import Message, Nanoseconds, NodeId
from kvsim.core.trace import Entry, Event, Sinks
from kvsim.core.trace_lines import Lines


class Sent(Event, tag="world.sent"):
    """A node gave a message to the network. Recorded at the sender."""

    to: NodeId
    kind: str
    channel: str
    size_bytes: int
    message: Message


class Delivered(Event, tag="world.delivered"):
    """A node's CPU takes up a message, and the node handles it. The cause is the entry of the sending."""

    sender: NodeId
    kind: str


class Dropped(Event, tag="world.dropped"):
    """A message will never arrive. Recorded at the sender, which does not know."""

    to: NodeId
    kind: str
    reason: str


class Retransmitted(Event, tag="world.retransmitted"):
    """A stream sends again what was lost on its way."""

    to: NodeId
    attempt: int


class PeerLost(Event, tag="world.peer_lost"):
    """A node learns that its stream with a peer broke."""

    peer: NodeId


class TimerFired(Event, tag="world.timer"):
    """A timer's time has come. The cause is the entry in which it was set."""


class DiskDone(Event, tag="world.disk"):
    """An operation of a disk has taken effect."""

    operation: str
    file: str
    size_bytes: int
    """Of an `append` what it added; of a `sync` or `replace` what of the file outlives a crash from now on."""


class Crashed(Event, tag="world.crashed"):
    """A node lost its memory, and whatever its disk had not synced."""

    lost_bytes: int


class OutOfMemory(Event, tag="world.out_of_memory"):
    """A node held more than its machine's memory: the machine kills its process."""

    held_bytes: int
    limit_bytes: int


class Restarted(Event, tag="world.restarted"):
    """A node begins a new life with what its disk kept."""

    incarnation: int


class Failed(Event, tag="world.failed"):
    """A node stopped by its own defect, or because its disk failed."""

    error: str


class FaultBegan(Event, tag="world.fault_began"):
    """A fault is in force. Recorded at the first node that it concerns."""

    fault: str
    nodes: tuple[NodeId, ...]


class FaultEnded(Event, tag="world.fault_ended"):
    """A fault is healed."""

    fault: str
    nodes: tuple[NodeId, ...]


class Invoked(Event, tag="client.invoked"):
    """A client begins an operation. Recorded at the client, as are its completion and all that is in the history."""

    index: int
    """The line of `history.jsonl`, counted from 0."""
    process: int
    operation: str
    key: Any
    value: Any = None


class Completed(Event, tag="client.completed"):
    """A client's operation ended for it: `ok`, `fail` (certainly not done), or `info` (nobody knows)."""

    index: int
    process: int
    operation: str
    outcome: str
    value: Any = None


Emit = Callable[[int, Nanoseconds, NodeId, Event, int], Any]
"""Takes an entry's id, time, node, event and cause."""


class Tracer:
    """Numbers all events of a run, and says which led to which. Listens to every kind."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.last_id = 0
        """The entry written last."""
        self.cause = 0
        """The entry whose consequences are happening now; 0 for none."""

    def __call__(self, node: NodeId, time_ns: Nanoseconds, event: Event) -> None:
        self.last_id += 1
        self.emit(self.last_id, time_ns, node, event, self.cause)


class Observer:
    """Passes what happens to all who listen."""

    def __init__(self, now: Callable[[], Nanoseconds]) -> None:
        self.sinks = Sinks()
        self.wants = self.sinks.wants
        self.tracer: Tracer | None = None
        self.detailed = False
        """Whether anyone listens to single messages and timers."""
        self.flush: Callable[[], None] = lambda: None
        """Write the lines that were not written yet."""
        self._now = now
        self.record: Callable[..., int] = self._tell_all
        """`record(node, event, cause=None)`: tell all who listen. Gives the number of the trace's entry; 0 when nothing
        is traced."""

    def refresh(self) -> bool:
        """Look again who listens; whether `detailed` changed."""
        before = self.detailed
        self.detailed = any(self.wants(kind) for kind in (Sent, Delivered, TimerFired))
        tracer = self.tracer
        self.record = self._recorder(tracer) if tracer and self.sinks.only(tracer) else self._tell_all
        return before != self.detailed

    def trace_to(self, write: Callable[[Entry], Any]) -> None:
        """Write every event of the run as a numbered entry with its cause."""
        self._trace(lambda *entry: write(Entry(*entry)))

    def trace_lines_to(self, write: Callable[[bytes], Any]) -> None:
        """The same, as the lines of `trace.jsonl`, many at a time; the last when the world stands still."""
        lines = Lines(write)
        self.flush = lines.flush
        self._trace(lines.take)

    def _trace(self, emit: Emit) -> None:
        self.tracer = Tracer(emit)
        self.sinks.listen(self.tracer)

    def _tell_all(self, node: NodeId, event: Event, cause: int | None = None) -> int:
        tracer = self.tracer
        if tracer is None:
            self.sinks.record(node, self._now(), event)
            return 0
        current = tracer.cause
        if cause is not None:
            tracer.cause = cause
        self.sinks.record(node, self._now(), event)
        tracer.cause = current
        return tracer.last_id

    def _recorder(self, tracer: Tracer) -> Callable[..., int]:
        """The same where nobody listens but the trace, which happens millions of times, with fewer steps."""
        emit, now = tracer.emit, self._now

        def record(node: NodeId, event: Event, cause: int | None = None) -> int:
            tracer.last_id = number = tracer.last_id + 1
            emit(number, now(), node, event, tracer.cause if cause is None else cause)
            return number

        return record

    def follow(self, entry: int) -> None:
        """What happens from now on follows from this entry; 0: from nothing."""
        if self.tracer is not None:
            self.tracer.cause = entry

    @property
    def following(self) -> int:
        """The entry that what happens now follows from."""
        return self.tracer.cause if self.tracer is not None else 0
