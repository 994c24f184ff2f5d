"""What was before an exploration that begins in the middle of another world's run: of each node the inputs of its last
life, what is on its way, and what clients saw. A node is brought to that moment by giving it these inputs again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.history import Event
from kvsim.core.host import Host
from kvsim.core.message import Channel, Envelope, Message, Nanoseconds, NodeId, tag_of
from kvsim.core.node import Node
from kvsim.core.settings import SettingsError, shown_duration
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Failed, Stepper, StepTimer

Send = Callable[[NodeId, Envelope[Any], Channel], None]


class Given(NamedTuple):
    """One input of a node, with what its clocks showed."""

    what: tuple[Any, ...]
    """`("start",)`, `("deliver", sender, envelope)`, `("lost", peer)`, `("timer", number)` by the order in which timers
    were set, `("disk", error)` for the oldest thing that the disk had begun; the error is empty where it went well."""
    now_ns: Nanoseconds
    wall_ns: Nanoseconds


class Done(NamedTuple):
    """Something that a node sent because of an input, which is counted from 0."""

    given: int
    to: NodeId
    envelope: bytes
    channel: str


class Life(NamedTuple):
    """The last life of a node up to the moment."""

    node: NodeId
    incarnation: int
    chance: tuple[int, str]
    """Seed and path of its draws."""
    files: Mapping[str, bytes]
    """What its disk held when it began; of a node that is down, what the disk holds now."""
    given: tuple[Given, ...]
    """Nothing where the node is down."""
    done: tuple[Done, ...]
    full: tuple[bool, ...]
    """What it was told whenever it asked whether its disk is full."""
    appends_wait: bool
    written: Mapping[str, bytes]
    """What its files hold at the moment, synced or not."""
    now_ns: Nanoseconds
    wall_ns: Nanoseconds


class OnItsWay(NamedTuple):
    """A message that was sent before the moment and has not arrived; None: the news that the stream broke."""

    sender: NodeId
    to: NodeId
    envelope: Envelope[Any] | None
    channel: Channel


class Open(NamedTuple):
    """An operation that a client began before the moment and does not know the end of."""

    process: int
    """In the history."""
    client: NodeId
    number: int
    """The question's."""
    door: NodeId
    arrived: bool
    """Whether the door has it. Else it is asked anew."""
    alive: bool
    """Whether the door still is what it was then, so that an answer may come."""
    again: bool
    """Whether the client has asked before."""
    answer: Message | None
    """What is on its way to the client."""


class Past(NamedTuple):
    """All that was before."""

    words: str
    """Which moment of which run."""
    moment_ns: Nanoseconds
    lives: Mapping[NodeId, Life]
    on_the_way: tuple[OnItsWay, ...]
    opens: tuple[Open, ...]
    """Of the first clients of the scenario, in their order."""
    events: tuple[Event, ...]
    """What clients saw of the keys that are still asked for."""


class Alone(Stepper):
    """A world of one node; what it sends is given to `note`, and goes nowhere."""

    def __init__(
        self, node: NodeId, build: Callable[[Host, Scope], Node], clients: tuple[NodeId, ...], seed: int, note: Send,
        *, begun: bool = True,
    ) -> None:  # fmt: skip
        self.node, self.note = node, note
        self.timers_set: list[int] = []
        """The numbers of its timers, in the order in which they were set, while it is brought to a moment."""
        self.counts_timers = not begun
        super().__init__((node,), build, clients, seed, begun=begun)

    def send(self, sender: NodeId, to: NodeId, envelope: Envelope[Any], channel: Channel) -> None:
        self.note(to, envelope, channel)

    def begin_timer(self, node: NodeId, due_ns: Nanoseconds, call: Callable[[], None]) -> StepTimer:
        timer = super().begin_timer(node, due_ns, call)
        if self.counts_timers:
            self.timers_set.append(timer.number)
        return timer


def relive(alone: Alone, life: Life, *, compare: bool) -> None:
    """Bring a node that has not begun to the moment. Raises `SettingsError` where it does not send what it sent."""
    host = alone.hosts[life.node]
    host.chance = Chance(*life.chance)
    host.step_disk.durable, host.step_disk.written = dict(life.files), dict(life.files)
    host.step_disk.appends_wait = life.appends_wait
    host.incarnation = life.incarnation - bool(life.given)
    again = _Again(alone, life)
    alone.note = again.compare if compare else lambda to, envelope, channel: None
    host.step_disk.full_at_first = iter(life.full)
    try:
        for number, given in enumerate(life.given):
            host.clock_ns, host.calendar_ns = given.now_ns, given.wall_ns - given.now_ns
            again.number = number
            again.give(given.what)
        if compare:
            again.finish()
    except _Differs as difference:
        raise SettingsError([str(difference)]) from None
    host.step_disk.is_full = life.full[-1] if life.full else False
    host.clock_ns, host.calendar_ns = life.now_ns, life.wall_ns - life.now_ns
    alone.counts_timers = False
    alone.timers_set.clear()
    alone.happened.clear()


class _Differs(BaseException):
    """The node does something else. Not an Exception, so that no handler of the node takes it for its own."""


class _Again:
    """One node on its way to the moment."""

    def __init__(self, alone: Alone, life: Life) -> None:
        self.alone, self.life = alone, life
        self.number = 0
        self._host = alone.hosts[life.node]
        self._done: Iterator[Done] = iter(life.done)
        self._encode = msgspec.msgpack.Encoder().encode

    def give(self, what: tuple[Any, ...]) -> None:
        """One input."""
        alone, kind = self.alone, what[0]
        if kind == "deliver":
            self._host.feed(lambda node: node.deliver(what[1], what[2]))
        elif kind == "timer":
            timer = alone.timers.pop(alone.timers_set[what[1]], None) if what[1] < len(alone.timers_set) else None
            if timer is None:
                self._differ("has not set, or has cancelled, a timer that went off in the run")
            call = timer.call  # the clock is as it was: one whose drift changed may show another time than was due
            self._host.feed(lambda _: call())
        elif kind == "disk":
            work = next(iter(alone.works.values()), None)
            if work is None:
                self._differ("has not asked its disk for what it answered in the run")
            alone.break_disk(work) if what[1] else alone.run(work)
        elif kind == "lost":
            alone.lose_peer(self.life.node, what[1])
        else:
            self._host.begin(alone.build)

    def compare(self, to: NodeId, envelope: Envelope[Any], channel: Channel) -> None:
        """What it sends must be what it sent."""
        then = next(self._done, None)
        now = Done(self.number, to, self._encode(envelope), channel.value)
        if then == now:
            return
        sends = f"sends {tag_of(envelope.message)} to {to}"
        if then is None or then.given != now.given:
            self._differ(f"{sends}, which it did not in the run")
        same = " with other contents" if (then.to, then.channel) == (now.to, now.channel) else f", not to {then.to}"
        self._differ(f"{sends}{same}: then {_shown(then.envelope)}, now {_shown(now.envelope)}")

    def finish(self) -> None:
        """All that it sent it must have sent again, and its disk must hold the same."""
        host = self._host
        failure = next((each.error for each in self.alone.happened if isinstance(each, Failed)), None)
        if self.life.given and host.node is None:
            self._differ(f"stops, which it did not in the run: {type(failure).__name__}: {failure}")
        then = next(self._done, None)
        if then is not None:
            self.number = then.given
            self._differ(f"does not send {_shown(then.envelope)} to {then.to}, which it sent in the run")
        written = {file: data for file, data in host.step_disk.written.items() if data}
        if written != {file: data for file, data in self.life.written.items() if data}:
            self._differ("has not written what it wrote in the run")

    def _differ(self, how: str) -> NoReturn:
        life = self.life
        given = life.given[self.number]
        what = f"{given.what[0]} {tag_of(given.what[2].message)}" if given.what[0] == "deliver" else given.what[0]
        when = f"at input {self.number:,} ({what}, at {shown_duration(given.now_ns)} of its clock)"
        why = "a strategy draws, or orders, by something outside its host, or keeps something in a global"
        raise _Differs(f"{life.node} does not do again what it did in the run: {when} it {how}; {why}")


def _shown(envelope: bytes) -> str:
    return str(msgspec.msgpack.decode(envelope))[:200]
