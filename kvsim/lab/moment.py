"""A moment of a simulated run, as the beginning of an explored world.

The run is repeated up to there; what each node was given, what is on its way and what clients saw become data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kvsim.core.history import Event, as_text
from kvsim.core.host import Disk, DiskError, Host, Recovered
from kvsim.core.host import Timer as HostTimer
from kvsim.core.message import Channel, Envelope, Nanoseconds, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import AnyOperation, Perform, Read, Scan, Write
from kvsim.core.settings import SettingsError, shown_duration
from kvsim.core.trace import Entry
from kvsim.core.waiting import Future, Scope
from kvsim.explore.past import Done, Given, OnItsWay, Open, Past
from kvsim.explore.past import Life as PastLife
from kvsim.explore.scenario import Ask, Scenario, read_scenario
from kvsim.lab.experiment import load
from kvsim.lab.grid import parse_setting, set_key
from kvsim.lab.nemesis import with_faults_drawn
from kvsim.lab.run import SimStage
from kvsim.lab.story import Story
from kvsim.sim.events import Delivered, Dropped
from kvsim.sim.host import Life
from kvsim.sim.packet import Packet
from kvsim.sim.world import World
from kvsim.strategies.catalogue import assemble
from kvsim.workload.source import token_of

STRIDE_NS: Nanoseconds = 20_000_000
MOST_KEYS = 2
"""Keys that are read after the moment where nothing else is asked."""


class _Question(NamedTuple):
    """What a client asked last."""

    number: int
    door: NodeId
    operation: AnyOperation
    sending: int
    """The trace's entry."""
    again: bool
    """Whether it asked the same before."""


class _Recorded:
    """What one node was given and did in its present life."""

    def __init__(self, host: Host, chance: tuple[int, str]) -> None:
        self.host, self.chance = host, chance
        self.files: Mapping[str, bytes] = {}
        self.incarnation = 0
        self.given: list[Given] = []
        self.done: list[Done] = []
        self.full: list[bool] = []
        self.timers = 0
        self.appends_wait = False
        self.refused = ""
        """Why the disk took something no more."""

    def give(self, *what: Any) -> None:
        """An input comes."""
        self.given.append(Given(what, self.host.now(), self.host.wall()))


class _Host:
    """Implements `Host` by another one, and writes down what the node is given by it and does."""

    def __init__(self, host: Life, recorded: _Recorded) -> None:
        self.id, self.chance = host.id, host.chance
        self.disk: Disk = _Disk(host.disk, recorded)
        self.now, self.wall, self.spawn = host.now, host.wall, host.spawn
        self.wants, self.record, self.fail = host.wants, host.record, host.fail
        self._host, self._recorded = host, recorded
        self._encode = msgspec.msgpack.Encoder().encode

    def send(self, to: NodeId, envelope: Envelope[Any], channel: Channel = Channel.STREAM) -> None:
        done = Done(len(self._recorded.given) - 1, to, self._encode(envelope), channel.value)
        self._recorded.done.append(done)
        self._host.send(to, envelope, channel)

    def after(self, delay_ns: Nanoseconds, call: Callable[[], None]) -> HostTimer:
        recorded = self._recorded
        number = recorded.timers
        recorded.timers += 1

        def fire() -> None:
            recorded.give("timer", number)
            call()

        return self._host.after(delay_ns, fire)


class _Disk:
    """The same for `Disk`."""

    def __init__(self, disk: Disk, recorded: _Recorded) -> None:
        self._disk, self._recorded = disk, recorded

    def append(self, file: str, data: bytes) -> Future[None]:
        done = self._disk.append(file, data)
        self._recorded.appends_wait |= not done.done
        return self._asked(done)

    def sync(self, file: str) -> Future[None]:
        return self._asked(self._disk.sync(file))

    def replace(self, file: str, data: bytes) -> Future[None]:
        return self._asked(self._disk.replace(file, data))

    def full(self) -> bool:
        full = self._disk.full()
        self._recorded.full.append(full)
        return full

    def _asked(self, done: Future[None]) -> Future[None]:
        if not done.done:
            done.when_done(lambda done: self._recorded.give("disk", "" if done.error is None else str(done.error)))
        elif isinstance(done.error, DiskError):
            self._recorded.refused = str(done.error)
        return done


class _Recorder:
    """Watches a simulated world from its beginning."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: dict[NodeId, _Recorded] = {}
        self.under_way: dict[int, Packet] = {}
        """By the trace's entry of their sending, oldest first."""
        self.asked: dict[NodeId, _Question] = {}
        """By client."""
        self.arrivals: dict[int, int] = {}
        """By the sending of a question: which life of the door had it."""
        world.trace_to(self._see)
        world.network.install(self._sent, world.network.at_sending)

    def build(self, life: Life, scope: Scope) -> Node:
        """A node that is watched."""
        recorded = self.nodes[life.id] = _Recorded(life, (life.chance.seed, life.chance.path))
        node = assemble(self.world.design, self.world.cluster, _Host(life, recorded), scope)
        start, deliver, peer_lost = node.start, node.deliver, node.peer_lost

        def started(recovered: Recovered) -> None:
            recorded.files, recorded.incarnation = dict(recovered.files), recovered.incarnation
            recorded.give("start")
            start(recovered)

        def delivered(sender: NodeId, envelope: Envelope[Any]) -> None:
            recorded.give("deliver", sender, _plainly(envelope))
            deliver(sender, envelope)

        def lost(peer: NodeId) -> None:
            recorded.give("lost", peer)
            peer_lost(peer)

        # The node stays what it is, since faults and metrics look at it; only its inputs pass here first.
        vars(node).update(start=started, deliver=delivered, peer_lost=lost)
        return node

    def _sent(self, packet: Packet) -> None:
        envelope, link = packet.envelope, packet.link
        self.under_way.setdefault(envelope.cause, packet)
        if isinstance(envelope.message, Perform) and link.source.id not in self.world.hosts:
            operation = envelope.message.operation
            before = self.asked.get(link.source.id)
            if before is None or before.sending != envelope.cause:  # and not sent again by the network
                again = before is not None and before.operation.request == operation.request
                question = _Question(envelope.request, link.target.id, operation, envelope.cause, again)
                self.asked[link.source.id] = question

    def _see(self, entry: Entry) -> None:
        if isinstance(entry.event, Delivered | Dropped):
            packet = self.under_way.pop(entry.cause, None)
            is_question = packet is not None and isinstance(packet.envelope.message, Perform)
            if is_question and isinstance(entry.event, Delivered) and entry.node in self.world.hosts:
                self.arrivals[entry.cause] = self.world.hosts[entry.node].incarnation

    # ---- What is there at the moment

    def lives(self) -> dict[NodeId, PastLife]:
        """Each node's last life. Raises `SettingsError` where a disk has refused something."""
        found = {}
        for node, host in self.world.hosts.items():
            recorded, life = self.nodes[node], host.life
            now_ns = host.clock.read(self.world.now())
            clocks = now_ns, now_ns + host.clock.calendar_ns
            written = host.storage.contents()
            if life is None:
                chance = (host.chance.seed, f"{host.chance.path}/{host.incarnation + 1}")
                found[node] = PastLife(node, host.incarnation, chance, written, (), (), (), False, written, *clocks)
                continue
            if recorded.refused:
                raise SettingsError([f"{node}: its disk has refused something before that moment: {recorded.refused}"])
            found[node] = PastLife(
                node, recorded.incarnation, recorded.chance, recorded.files, tuple(recorded.given),
                tuple(recorded.done), tuple(recorded.full), recorded.appends_wait, written, *clocks,
            )  # fmt: skip
        return found

    def on_the_way(self) -> tuple[OnItsWay, ...]:
        """Between nodes."""
        hosts = self.world.hosts
        links = [link for link in self.world.network.all_links() if link.source.id in hosts and link.target.id in hosts]
        news = {(link.source.id, link.target.id): None for link in links if link.unaware}
        news |= {(node, peer): None for node, host in hosts.items() for peer in host.unheard if peer in hosts}
        found = [OnItsWay(peer, node, None, Channel.STREAM) for node, peer in news]
        for packet in self.under_way.values():
            link = packet.link
            is_gone = packet.epoch != link.epoch if packet.channel is Channel.STREAM else packet.lost
            if not is_gone and link.source.id in hosts and link.target.id in hosts:
                found.append(OnItsWay(link.source.id, link.target.id, _plainly(packet.envelope), packet.channel))
        return tuple(found)

    def open(self, client: NodeId, process: int) -> Open:
        """What has become of the last question of this client."""
        question = self.asked[client]
        door = self.world.hosts[question.door]
        answer = next(
            (
                packet.envelope.message
                for packet in self.under_way.values()
                if packet.link.target.id == client and packet.envelope.answers == question.number
                and packet.epoch == packet.link.epoch
            ),
            None,
        )  # fmt: skip
        # What was asked before may have happened, so who asks again is not as one who never asked.
        arrived = question.again or question.sending not in self.under_way
        alive = door.up and self.arrivals.get(question.sending) == door.incarnation
        return Open(process, client, question.number, question.door, arrived, alive, question.again, answer)


def scenario_at(run: Path, at_ns: Nanoseconds, settings: Sequence[str] = ()) -> Scenario:
    """The explored world that begins at this moment of the run of this folder. Raises `SettingsError`.

    `settings` are keys of `[explore]`: `explore.bounds.timers=2`.
    """
    file = run if run.name == "run.json" else run / "run.json"
    if not file.is_file():
        raise SettingsError([f"{run} holds no run; name the folder of one, such as out/NAME/runs/seed=0"])
    experiment = load(file)
    setup, seed = with_faults_drawn(experiment.setups[0], experiment.first_seed), experiment.first_seed
    assert setup.world is not None, "it was made for the real world"
    if setup.world.machines.cores > 1:
        raise SettingsError(["machines.cores: with several, messages lie between the node and its network; set 1"])
    world = World(setup.design, setup.cluster, setup.world, seed)
    recorder = _Recorder(world)
    for host in world.hosts.values():
        host.build = recorder.build
    stage = SimStage(world, setup)
    story = Story(stage, setup, seed)
    story.clients.sent = {}
    world.start()
    world.at(0, story.begin)
    while not story.over and world.now() < at_ns:
        world.run(min(at_ns, world.now() + STRIDE_NS))
    if story.over:
        raise SettingsError([f"--at {shown_duration(at_ns)}: the run is over at {shown_duration(world.now())}"])
    table: dict[str, Any] = {name: setup.table[name] for name in ("design", "cluster") if name in setup.table}
    _set(table, settings)
    words = f"{shown_duration(at_ns)} of {file.parent}"
    return _scenario(table, experiment.path, words, recorder, story)._replace(name=file.parent.resolve().name)


def _set(table: dict[str, Any], settings: Sequence[str]) -> None:
    for setting in settings:
        if not setting.startswith("explore."):
            raise SettingsError([f"--set {setting}: the run is as it was; only keys of explore can be set"])
        try:
            set_key(table, *parse_setting(setting))
        except ValueError as error:
            raise SettingsError([str(error)]) from error


def _scenario(table: dict[str, Any], path: Path, words: str, recorder: _Recorder, story: Story) -> Scenario:
    """The world at this moment, and what is asked from then on."""
    events = story.clients.recorder.history.events
    opens = _open_operations(recorder, story, events)
    if reads := _reads(recorder, opens, events):
        table.setdefault("explore", {}).setdefault("operations", reads)
    scenario = read_scenario(table, path.name, path.parent)
    asks = [(Ask(ask, (each.door,), _words(ask)),) for each, ask in opens]
    clients = (*(each.client for each, _ in opens), *scenario.clients)
    if doubled := [client for client in scenario.clients if any(client == each.client for each, _ in opens)]:
        raise SettingsError([f"explore.operations: {doubled[0]} is in the middle of something; let others ask"])
    keys = {
        ask.operation.key for line in (*asks, *scenario.asks) for ask in line if not isinstance(ask.operation, Scan)
    }
    asked_anew = {each.process for each, _ in opens if not each.arrived}
    named = {as_text(key) for key in keys}
    kept = [event for event in events if event.key in named]
    last = {event.process: number for number, event in enumerate(kept)}
    past = Past(
        words, recorder.world.now(), recorder.lives(), recorder.on_the_way(), tuple(each for each, _ in opens),
        tuple(event for n, event in enumerate(kept) if event.process not in asked_anew or n != last[event.process]),
    )  # fmt: skip
    return scenario._replace(clients=clients, asks=(*asks, *scenario.asks), past=past)


def _open_operations(recorder: _Recorder, story: Story, events: Sequence[Event]) -> list[tuple[Open, Write | Read]]:
    """What clients wait for."""
    begun: dict[int, Event] = {}
    for event in events:
        if event.type == "invoke":
            begun[event.process] = event
        else:
            begun.pop(event.process, None)
    found: list[tuple[Open, Write | Read]] = []
    assert story.clients.sent is not None
    for process, event in begun.items():
        client, _ = story.clients.sent[event.index]
        operation = recorder.asked[client].operation
        if not isinstance(operation, Scan):
            found.append((recorder.open(client, process), operation))
    return found


def _reads(recorder: _Recorder, opens: Sequence[tuple[Open, Write | Read]], events: Sequence[Event]) -> list[str]:
    """What is asked where nothing is said: what is being written, or was last, is read at one door, then at another."""
    doors = recorder.world.cluster.doors()
    keys = [op.key.decode() for _, op in opens if not isinstance(op, Read)]
    written = [event.key for event in events if event.op not in ("read", "scan", "txn") and isinstance(event.key, str)]
    keys = list(dict.fromkeys([*keys, *written[-1:]]))[:MOST_KEYS]
    return [f"reader{n}: get {key} at {door}" for n, key in enumerate(keys, 1) for door in (doors[-1], doors[0])]


def _words(operation: Write | Read) -> str:
    name, value = str(operation.__struct_config__.tag), getattr(operation, "value", None)
    key = operation.key.decode(errors="replace")
    return f"{'get' if name == 'read' else name} {key}" + (f"={as_text(token_of(value))}" if value is not None else "")


def _plainly(envelope: Envelope[Any]) -> Envelope[Any]:
    """Without what only the trace needs."""
    return Envelope(envelope.message, envelope.request, envelope.answers)
