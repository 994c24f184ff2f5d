"""A simulated machine, and the lives that its node has on it, one after the other.

The machine keeps what outlives a crash: its address, its disk and the count of lives. A life is the `Host` of one node;
when it ends it is made inert first, so that nothing a coroutine's `finally` does is seen outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heapreplace
from typing import Any

from simpy.events import NORMAL

from kvsim.core.chance import Chance
from kvsim.core.host import Disk, DiskError, Program, Recovered
from kvsim.core.message import MILLISECOND, Channel, Envelope, Nanoseconds, NodeId, tag_of
from kvsim.core.node import Node
from kvsim.core.trace import Event
from kvsim.core.waiting import Future, Scope, Task
from kvsim.sim.clock import Clock
from kvsim.sim.costs import costs_of
from kvsim.sim.disk import SimDisk, Storage
from kvsim.sim.engine import Engine, Timer
from kvsim.sim.events import (
    Crashed,
    Delivered,
    DiskDone,
    Failed,
    Observer,
    OutOfMemory,
    PeerLost,
    Restarted,
    TimerFired,
)
from kvsim.sim.network import Network
from kvsim.sim.packet import STREAM, Packet
from kvsim.sim.settings import ClockSettings, MachineSettings

LOOK_NS = 10 * MILLISECOND
"""How often a machine whose memory has a limit looks at what its node holds."""

Build = Callable[["Life", Scope], Program]
"""Makes a node's program for one life."""


class SimHost:
    """A machine: a CPU that messages queue for, a disk, clocks, and the node's present life, if it has one."""

    def __init__(
        self, id: NodeId, engine: Engine, network: Network, settings: MachineSettings, chance: Chance, build: Build
    ) -> None:
        self.id, self.network, self.settings, self.chance = id, network, settings, chance
        self._engine = engine
        self.observer: Observer = network.observer
        self.clock = Clock(next((clock for clock in settings.clocks if clock.node == id), ClockSettings(id)))
        self.storage = Storage(settings.disk, chance.stream("disk"))
        self.links = network.join(self)
        self.life: Life | None = None
        self.up = False
        self.incarnation = 0
        self.failures: list[Exception] = []
        self.stopped_by_disk = False
        """Whether its last life ended because a fault hurt its disk."""
        self.handled = 0
        """Messages that its node was given, over all lives."""
        self.busy_ns: Nanoseconds = 0
        """How long its CPU has worked, over all cores."""
        self.build = build
        """Makes the program of the next life."""
        self._push, self._next_id = engine.push, engine.next_id
        self.factor = settings.slower.get(id, 1.0)
        """How many times as long as stated the CPU's work takes."""
        self._costs = costs_of(settings.service_times(), chance.stream("cpu"), self.factor)
        self.leaves_ns: Nanoseconds = 0
        """When the CPU is done with what it took up last: what is sent before leaves then."""
        self._free_ns: Nanoseconds = 0
        """When it, or the first of its cores, can take up something new."""
        self._cores = [0] * settings.cores if settings.cores > 1 else None
        self.paused_until_ns: Nanoseconds = 0
        """Until then the node's time stands still."""
        self._inbox = settings.inbox
        self._memory_bytes = settings.memory_of(id)
        self.kills = 0
        """How often its node held more than that, and was killed."""
        self._killed: object = None
        """While the node is down because it was killed: what tells this time from others."""
        self._waiting: deque[Packet | NodeId] = deque()

    @property
    def node(self) -> Program | None:
        """The node's program; None while it is down."""
        return self.life.program if self.life is not None else None

    @property
    def unheard(self) -> tuple[NodeId, ...]:
        """Peers whose stream broke, of which the node will hear as soon as its CPU is free."""
        return tuple(item for item in self._waiting if not isinstance(item, Packet))

    # Lives ------------------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Begin a life, with what the disk kept; nothing if the node is up."""
        if self.up:
            return
        self.incarnation += 1
        self.up, self.stopped_by_disk = True, False
        self.life = life = Life(self, self._engine)
        self.network.restarted(self.id)
        if self.incarnation > 1 and self.observer.wants(Restarted):
            self.observer.record(self.id, Restarted(self.incarnation))
        self._killed = None
        self.storage.settle()
        life.begin(self.build, Recovered(self.storage.contents(), self.incarnation))
        if self._memory_bytes is not None:
            self._push((self._engine.time_ns + LOOK_NS, NORMAL, self._next_id(), self._look_at_memory, life))

    def crash(self) -> None:
        """Lose power: the node is inert from now on, its memory is gone, its disk keeps what was synced."""
        if self._killed is not None:
            self._killed = None
            self.storage.cut_power()
        elif self.life is not None:
            self._end(self.life, killed=False)

    def _end(self, life: Life, *, killed: bool) -> None:
        """End a life: the machine lost power, or only the node's process was killed."""
        self.life, self.up = None, False
        life.end()
        now, lost = self._engine.time_ns, 0
        if killed:
            self.storage.outlive_process()
        else:
            lost = self.storage.cut_power()
            self.storage.free_ns = now
        self.leaves_ns = self._free_ns = now
        self.paused_until_ns = 0
        self._cores = [now] * self.settings.cores if self._cores else None
        waiting, self._waiting = self._waiting, deque()
        if self.observer.wants(Crashed):
            self.observer.record(self.id, Crashed(lost))
        for packet in waiting:
            if isinstance(packet, Packet):
                packet.link.drop(packet, "the node crashed before it was handled")
        self.network.crashed(self.id, killed=killed)

    # Memory -----------------------------------------------------------------------------------------------------------

    @property
    def held_bytes(self) -> int:
        """What the node holds in memory: messages that wait for its CPU, and what its components count."""
        waiting = sum(item.size_bytes for item in self._waiting if isinstance(item, Packet))
        node = self.node
        return waiting + (node.held_bytes() if isinstance(node, Node) else 0)

    def _look_at_memory(self, life: Life) -> None:
        """Again and again while this life lasts: kill the node's process if it holds too much."""
        if life is not self.life or self._memory_bytes is None:
            return
        held = self.held_bytes
        if held <= self._memory_bytes:
            self._push((self._engine.time_ns + LOOK_NS, NORMAL, self._next_id(), self._look_at_memory, life))
            return
        self.kills += 1
        if self.observer.wants(OutOfMemory):
            self.observer.record(self.id, OutOfMemory(held, self._memory_bytes))
        self._end(life, killed=True)
        self._killed = killed = object()
        if self.settings.out_of_memory == "restart":
            at: Nanoseconds = self._engine.time_ns + self.settings.restart_after_ns
            self._push((at, NORMAL, self._next_id(), self._revive, killed))

    def _revive(self, killed: object) -> None:
        """Restart a node that was killed, unless its machine lost power meanwhile, or somebody has restarted it."""
        if killed is self._killed:
            self.restart()

    def pause(self, lasts_ns: Nanoseconds) -> None:
        """Let the node do nothing for so long; messages, timers and what the disk answers wait. Its clocks go on."""
        if self.up:
            self.paused_until_ns = until = max(self.paused_until_ns, self._engine.time_ns + lasts_ns)
            self._free_ns = max(self._free_ns, until)
            self._cores = [max(core, until) for core in self._cores] if self._cores else None

    def slow(self, factor: float) -> None:
        """From now on the CPU's work takes this many times as long as it did."""
        self.factor *= factor
        self._costs = costs_of(
            self.settings.service_times(), self.chance.stream(f"cpu/{self._engine.time_ns}"), self.factor
        )

    # Messages ---------------------------------------------------------------------------------------------------------

    def accept(self, packet: Packet) -> None:
        """A packet of a stream comes in."""
        link = packet.link
        if link.clear and packet.epoch == link.epoch:
            link.settled += 1
        elif not link.admit(packet):
            return
        if self._free_ns <= self._engine.time_ns and not self._waiting:  # as in `take`, without the call
            self._begin(packet)
        else:
            self.queue(packet)

    def take(self, packet: Packet) -> None:
        """A packet has arrived: the node handles it when the CPU takes it up, at once if that has nothing to do."""
        if self._free_ns <= self._engine.time_ns and not self._waiting:
            self._begin(packet)
        else:
            self.queue(packet)

    def queue(self, packet: Packet) -> None:
        """Let a packet wait for the CPU, if there is room."""
        if len(self._waiting) < self._inbox:
            self._wait(packet)
        else:
            packet.link.overflow(packet)

    def _wait(self, item: Packet | NodeId) -> None:
        """Let a packet, or the news that a peer's stream broke, wait for the CPU."""
        if not self._waiting:
            self._push((max(self._free_ns, self._engine.time_ns), NORMAL, self._next_id(), self._take_up, self.life))
        self._waiting.append(item)

    def _take_up(self, life: Life) -> None:
        """The CPU is free for what has waited longest."""
        if life is not self.life or not self._waiting:
            return
        if self._engine.time_ns < self.paused_until_ns:
            self._push((self.paused_until_ns, NORMAL, self._next_id(), self._take_up, life))
            return
        item = self._waiting.popleft()
        if isinstance(item, Packet):
            self._begin(item)
        else:
            life.lose(item)
        if self._waiting and life is self.life:
            self._push((max(self._free_ns, self._engine.time_ns), NORMAL, self._next_id(), self._take_up, life))

    def _begin(self, packet: Packet) -> None:
        """Work on a message. What the node sends because of it leaves when the work is done."""
        envelope, life = packet.envelope, self.life
        assert life is not None, "the link asked whether the machine is up"
        deliver = life.deliver
        cost_ns = self._costs[type(envelope.message)]
        self.busy_ns += cost_ns
        self.leaves_ns = done = self._engine.time_ns + cost_ns
        if self._cores is None:
            self._free_ns = done
        else:
            heapreplace(self._cores, done)
            self._free_ns = self._cores[0]
        self.handled += 1
        if self.observer.detailed:
            life.note_delivery(packet)
        try:
            deliver(packet.link.source_id, envelope)
            if life.ready:
                life.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a node's defect ends its life, not the world
            life.fail(error)

    def lose(self, peer: NodeId) -> None:
        """The stream with this peer broke; the node learns of it after the messages that arrived before."""
        if self.life is not None:
            self._wait(peer)


class Life:
    """One life of a node: its `Host`, from start to crash."""

    program: Program

    def __init__(self, host: SimHost, engine: Engine) -> None:
        self.host = host
        self.id = host.id
        self.chance = host.chance.stream(str(host.incarnation))
        self.alive = True
        self.scope = Scope(self.fail)
        self._disk = SimDisk(
            engine,
            host.storage,
            lambda: host.leaves_ns,
            lambda: host.observer.following,
            self._disk_done,
            self._disk_appended,
            self._disk_failed,
        )
        self.disk: Disk = self._disk
        self.wants = host.observer.wants
        self.ready = self.scope.ready
        self._engine, self._observer = engine, host.observer
        self._push, self._next_id = engine.push, host._engine.next_id
        self._links = host.links
        self._clock = host.clock
        if host.settings.cores > 1:
            self.send = self._send_when_done  # type: ignore[method-assign]

    def begin(self, build: Build, recovered: Recovered) -> None:
        """Build the node and start it."""
        try:
            self.program = build(self, self.scope)
            self.deliver = self.program.deliver
            self.program.start(recovered)
            self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a node's defect ends its life, not the world
            self.fail(error)

    def end(self) -> None:
        """From now on nothing that the node does is seen outside; only then are its coroutines closed."""
        self.alive = False
        self._links = {}  # so that `send` finds none
        self._disk.powered = False
        self.scope.close()

    # What the node asks -----------------------------------------------------------------------------------------------

    def now(self) -> Nanoseconds:
        """The monotonic clock."""
        now = self._engine.time_ns
        return self._clock.read(now) if self._clock.wrong else now

    def wall(self) -> Nanoseconds:
        """The calendar."""
        return self.now() + self._clock.calendar_ns

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = STREAM) -> None:
        """Send, while this life lasts."""
        try:
            link = self._links[to]
        except KeyError:
            if not self.alive:
                return
            link = self.host.network.connect(self.id, to)
        if channel is STREAM:
            link.send(envelope)
        else:
            link.send_datagram(envelope)

    def _send_when_done(self, to: NodeId, envelope: Envelope[Any], channel: Channel = STREAM) -> None:
        """With several cores, who begins first may be done last: a stream has the order in which messages leave."""
        at = max(self._engine.time_ns, self.host.leaves_ns)
        sending = (to, envelope, channel, self._observer.following)
        self._push((at, NORMAL, self._next_id(), self._send_now, sending))

    def _send_now(self, sending: tuple[NodeId, Envelope[Any], Channel, int]) -> None:
        to, envelope, channel, cause = sending
        usual, self.host.leaves_ns = self.host.leaves_ns, self._engine.time_ns
        self._observer.follow(cause)
        Life.send(self, to, envelope, channel)
        self.host.leaves_ns = usual

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> Timer:
        """Call back after this time by the node's own clock."""
        assert delay_ns >= 0, f"{self.id} sets a timer {-delay_ns} ns in the past"
        timer = Timer(self._engine, call)
        if self._clock.wrong:
            delay_ns = self._clock.true_ns(delay_ns)
        if self._observer.detailed:
            timer.cause = self._observer.following
        at: Nanoseconds = self._engine.time_ns + delay_ns
        self._push((at, NORMAL, self._next_id(), self._fire, timer))
        return timer

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        """Run a coroutine in this life."""
        return self.scope.spawn(work)

    def record(self, event: Event) -> None:
        """Tell all who listen, while this life lasts."""
        if self.alive:
            self._observer.record(self.id, event)

    def fail(self, error: Exception) -> None:
        """Stop by the node's own defect, or its disk's."""
        if not self.alive:
            return
        if isinstance(error, DiskError) and self.host.storage.hurt:
            self.host.stopped_by_disk = True  # as a node should, so it is no defect of its own
        else:
            self.host.failures.append(error)
        if self._observer.wants(Failed):
            self._observer.record(self.id, Failed(f"{type(error).__name__}: {error}"))
        self.host.crash()

    # What the node is given -------------------------------------------------------------------------------------------

    def note_delivery(self, packet: Packet) -> None:
        """Tell the trace that the node handles a message; what follows, follows from that."""
        event = Delivered(packet.link.source.id, tag_of(packet.envelope.message))
        self._observer.follow(self._observer.record(self.id, event, packet.envelope.cause))

    def lose(self, peer: NodeId) -> None:
        """The node learns that a stream broke."""
        if self._observer.wants(PeerLost):
            self._observer.follow(self._observer.record(self.id, PeerLost(peer), 0))
        self._resume(self.program.peer_lost, peer)

    def _fire(self, timer: Timer) -> None:
        until = self.host.paused_until_ns
        if until > self._engine.time_ns:
            self._push((until, NORMAL, self._next_id(), self._fire, timer))
            return
        call, timer.call = timer.call, None
        if call is None:
            self._engine.cancelled -= 1
            return
        if not self.alive:
            return
        if self._observer.detailed:
            self._observer.follow(self._observer.record(self.id, TimerFired(), timer.cause))
        try:
            call()
            if self.ready:
                self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a node's defect ends its life, not the world
            self.fail(error)

    def _disk_done(self, future: Future[None], operation: str, file: str, size_bytes: int, cause: int) -> None:
        until = self.host.paused_until_ns
        if until > self._engine.time_ns:
            self._engine.call_at(until, lambda _: self._disk_done(future, operation, file, size_bytes, cause), None)
            return
        if not self.alive:
            return
        if self._observer.wants(DiskDone):
            self._observer.follow(self._observer.record(self.id, DiskDone(operation, file, size_bytes), cause))
        self._resume(future.complete, None)

    def _disk_failed(self, future: Future[None], error: Exception) -> None:
        """The disk could not do what it was asked. Whoever waits for it learns of that."""
        until = self.host.paused_until_ns
        if until > self._engine.time_ns:
            self._engine.call_at(until, lambda _: self._disk_failed(future, error), None)
        elif self.alive:
            self._resume(future.fail, error)

    def _disk_appended(self, file: str, size_bytes: int) -> None:
        """An append that took no time."""
        if self._observer.wants(DiskDone):
            self._observer.record(self.id, DiskDone("append", file, size_bytes))

    def _resume(self, call: Callable[[Any], None], argument: Any) -> None:
        """Give the node one input, and let go on whoever waited for it."""
        try:
            call(argument)
            self.scope.run_ready()
        except Exception as error:  # noqa: BLE001 - a node's defect ends its life, not the world
            self.fail(error)
