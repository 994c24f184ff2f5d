"""A world whose every event is chosen by hand: what may happen next lies in the open, as data, and one of it is run.

Transcripts drive it by commands; whoever tries all orders of a small run drives it by a list of choices.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.host import Disk, DiskError, Host, Recovered
from kvsim.core.message import Channel, Envelope, Message, Nanoseconds, NodeId
from kvsim.core.node import Node
from kvsim.core.replica import Applied, Replaced
from kvsim.core.trace import Event
from kvsim.core.waiting import Future, Scope, Task, completed

EPOCH_NS: Nanoseconds = 0
"""What every calendar shows at the beginning: zero, so that versions read from it are short."""

# ---- What may happen next


SEEN_IN_THE_STATE: tuple[type[Event], ...] = (Applied, Replaced)
"""What a trace needs for its judges, and who steps through a run sees in the nodes' state."""


class InFlight(msgspec.Struct, frozen=True):
    """A message that was sent and has not arrived."""

    number: int
    sender: NodeId
    to: NodeId
    envelope: Envelope[Any]
    channel: Channel


class Pending(msgspec.Struct, frozen=True):
    """A timer that has not gone off; `due_ns` is on its node's own clock."""

    number: int
    node: NodeId
    due_ns: Nanoseconds
    call: Callable[[], None]


class DiskWork(msgspec.Struct, frozen=True):
    """A sync, a replace or a slow append that has not completed. `content` is what the file will durably hold then;
    None where that does not change."""

    number: int
    node: NodeId
    file: str
    content: bytes | None
    done: Future[None]


Choice = InFlight | Pending | DiskWork

# ---- What has happened


class Sent(msgspec.Struct, frozen=True):
    """A node sent a message. `lost`: it goes nowhere, since the link is cut or the receiver down."""

    sender: NodeId
    to: NodeId
    message: Message
    lost: bool = False
    answers: int = 0


class Recorded(msgspec.Struct, frozen=True):
    """A node recorded an event."""

    node: NodeId
    event: Event


class Failed(msgspec.Struct, frozen=True):
    """A node stopped itself, or broke."""

    node: NodeId
    error: Exception


Happening = Sent | Recorded | Failed


class StepTimer:
    """A timer that a node has set; `number` names it among those pending."""

    __slots__ = ("_pending", "number")

    def __init__(self, pending: dict[int, Pending], number: int) -> None:
        self._pending, self.number = pending, number

    def cancel(self) -> None:
        self._pending.pop(self.number, None)


class StepDisk:
    """A disk whose syncs and replaces complete when that is chosen. A power cut leaves what had completed."""

    def __init__(self, world: Stepper, node: NodeId) -> None:
        self._world, self._node = world, node
        self.written: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        self.is_full = False
        self.appends_wait = False
        """Whether an append, too, completes when that is chosen."""
        self.full_at_first: Iterator[bool] = iter(())
        """What is told first to who asks whether it is full."""

    def append(self, file: str, data: bytes) -> Future[None]:
        self.written[file] = self.written.get(file, b"") + data
        return self._world.begin_disk_work(self._node, file, None) if self.appends_wait else completed(None)

    def sync(self, file: str) -> Future[None]:
        return self._world.begin_disk_work(self._node, file, self.written.get(file, b""))

    def replace(self, file: str, data: bytes) -> Future[None]:
        self.written[file] = data
        return self._world.begin_disk_work(self._node, file, data)

    def full(self) -> bool:
        return next(self.full_at_first, self.is_full)

    def lose_power(self) -> None:
        """Keep only what was durable."""
        self.written = dict(self.durable)


class StepHost:
    """One node's world. `node` is None while it is down."""

    def __init__(self, world: Stepper, node_id: NodeId, seed: int) -> None:
        self.id = node_id
        self.chance = Chance(seed, f"node/{node_id}")
        self.step_disk = StepDisk(world, node_id)
        self.disk: Disk = self.step_disk
        self.clock_ns: Nanoseconds = 0
        self.calendar_ns: Nanoseconds = EPOCH_NS
        """What the calendar shows when the clock shows 0."""
        self.incarnation = 0
        self.node: Node | None = None
        self._world = world
        self._scope = Scope(self.fail)

    def now(self) -> Nanoseconds:
        return self.clock_ns

    def wall(self) -> Nanoseconds:
        return self.calendar_ns + self.clock_ns

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        if not self._scope.closed:
            self._world.send(self.id, to, envelope, channel)

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> StepTimer:
        timer = self._world.begin_timer(self.id, self.clock_ns + delay_ns, call)
        if self._scope.closed:
            timer.cancel()
        return timer

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        return self._scope.spawn(work)

    def wants(self, kind: type[Event]) -> bool:
        return kind not in SEEN_IN_THE_STATE

    def record(self, event: Event) -> None:
        if not self._scope.closed:
            self._world.happened.append(Recorded(self.id, event))

    def fail(self, error: Exception) -> None:
        if not self._scope.closed:
            self._world.happened.append(Failed(self.id, error))
            self.crash()

    def begin(self, build: Callable[[Host, Scope], Node]) -> None:
        """Start the node, the first time or after a crash, with what the disk kept."""
        self.incarnation += 1
        self._scope = Scope(self.fail)
        self.node = build(self, self._scope)
        self.feed(lambda node: node.start(Recovered(dict(self.step_disk.durable), self.incarnation)))

    def crash(self) -> None:
        """Lose power."""
        self._scope.closed = True  # inert first: nothing that a `finally` does is seen outside
        self.node = None
        self.step_disk.lose_power()
        self._world.forget(self.id)
        self._scope.close()

    def feed(self, event: Callable[[Node], None]) -> None:
        """Give the node one input, and run all that it wakes; a node that is down misses it."""
        node = self.node
        if node is None:
            return
        try:
            event(node)
            self._scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a defect of the node is an outcome of the run, with its place
            self.fail(error)


class Stepper:
    """Nodes, and what may happen to them next. Nothing happens by itself; ties keep the order of issue."""

    def __init__(
        self,
        nodes: Sequence[NodeId],
        build: Callable[[Host, Scope], Node],
        clients: Sequence[NodeId] = ("client",),
        seed: int = 0,
        *,
        begun: bool = True,
    ) -> None:
        self.flights: dict[int, InFlight] = {}
        self.timers: dict[int, Pending] = {}
        self.works: dict[int, DiskWork] = {}
        self.happened: list[Happening] = []
        self.hosts = {node: StepHost(self, node, seed) for node in nodes}
        self.clients = tuple(clients)
        self.build = build
        self._number = 0
        self._cut: dict[tuple[NodeId, NodeId], None] = {}
        for host in self.hosts.values() if begun else ():
            host.begin(build)

    def choices(self) -> list[Choice]:
        """All that may happen next, in the order of issue. A disk does one thing after the other."""
        next_works = {work.node: work for work in reversed(self.works.values())}
        return sorted([*self.flights.values(), *self.timers.values(), *next_works.values()], key=lambda c: c.number)

    def run(self, choice: Choice) -> None:
        """Let this happen."""
        if isinstance(choice, InFlight):
            del self.flights[choice.number]
            self.hosts[choice.to].feed(lambda node: node.deliver(choice.sender, choice.envelope))
        elif isinstance(choice, Pending):
            del self.timers[choice.number]
            host = self.hosts[choice.node]
            host.clock_ns = max(host.clock_ns, choice.due_ns)
            host.feed(lambda _: choice.call())
        else:
            del self.works[choice.number]
            host = self.hosts[choice.node]
            if choice.content is not None:
                host.step_disk.durable[choice.file] = choice.content
            host.feed(lambda _: choice.done.complete(None))

    def drop(self, flight: InFlight) -> None:
        """Lose a message."""
        del self.flights[flight.number]

    def break_disk(self, work: DiskWork) -> None:
        """Let a sync or replace fail."""
        del self.works[work.number]
        self.hosts[work.node].feed(lambda _: work.done.fail(DiskError(f"{work.file}: the disk failed")))

    def perform(self, client: NodeId, to: NodeId, envelope: Envelope[Any]) -> None:
        """A client's request arrives."""
        self.hosts[to].feed(lambda node: node.deliver(client, envelope))

    def crash(self, node: NodeId) -> None:
        """Cut the power of a node."""
        self.hosts[node].crash()

    def restart(self, node: NodeId) -> None:
        """Start a node that is down."""
        self.hosts[node].begin(self.build)

    def lose_peer(self, node: NodeId, peer: NodeId) -> None:
        """A node learns that its stream to a peer broke."""
        self.hosts[node].feed(lambda program: program.peer_lost(peer))

    def cut(self, one: NodeId, other: NodeId) -> None:
        """Cut a link: what is on it and what will be sent is lost. Neither end learns of it by this."""
        self._cut[one, other] = self._cut[other, one] = None
        for flight in list(self.flights.values()):
            if (flight.sender, flight.to) in self._cut:
                self.drop(flight)

    def heal(self) -> None:
        """Mend all links."""
        self._cut.clear()

    def advance(self, time_ns: Nanoseconds, nodes: Sequence[NodeId] = ()) -> None:
        """Let this time pass, on the clocks of these nodes or of all, and run what comes due, earliest first."""
        hosts = [self.hosts[node] for node in nodes or self.hosts]
        ends_ns = {host.id: host.clock_ns + time_ns for host in hosts}
        passed_ns = 0
        while due := [t for t in self.timers.values() if t.node in ends_ns and t.due_ns <= ends_ns[t.node]]:
            begun_ns = {host.id: ends_ns[host.id] - time_ns for host in hosts}
            timer = min(due, key=lambda t: (max(t.due_ns - begun_ns[t.node], passed_ns), t.number))
            passed_ns = max(passed_ns, timer.due_ns - begun_ns[timer.node])
            for host in hosts:
                host.clock_ns = begun_ns[host.id] + passed_ns
            self.run(timer)
        for host in hosts:
            host.clock_ns = ends_ns[host.id]

    # ---- What hosts ask for

    def send(self, sender: NodeId, to: NodeId, envelope: Envelope[Any], channel: Channel) -> None:
        """Put a message on its way."""
        is_client = to in self.clients
        lost = not is_client and ((sender, to) in self._cut or self.hosts[to].node is None)
        self.happened.append(Sent(sender, to, envelope.message, lost, envelope.answers))
        if not is_client and not lost:
            number = self._next()
            self.flights[number] = InFlight(number, sender, to, envelope, channel)

    def begin_timer(self, node: NodeId, due_ns: Nanoseconds, call: Callable[[], None]) -> StepTimer:
        """Remember a call to come."""
        number = self._next()
        self.timers[number] = Pending(number, node, due_ns, call)
        return StepTimer(self.timers, number)

    def begin_disk_work(self, node: NodeId, file: str, content: bytes | None) -> Future[None]:
        """Remember a disk operation to come."""
        number = self._next()
        work = DiskWork(number, node, file, content, Future())
        self.works[number] = work
        return work.done

    def forget(self, node: NodeId) -> None:
        """A node crashed: its timers and disk operations are gone, and what was on its way to it is lost."""
        _discard(self.timers, lambda timer: timer.node == node)
        _discard(self.works, lambda work: work.node == node)
        _discard(self.flights, lambda flight: flight.to == node)

    def _next(self) -> int:
        self._number += 1
        return self._number


def _discard(among: dict[int, Any], gone: Callable[[Any], bool]) -> None:
    for number in [number for number, item in among.items() if gone(item)]:
        del among[number]
