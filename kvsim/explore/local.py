"""One node as a function of its inputs: what it does next depends on nothing but what has reached it so far.

So a node is run once for each history of inputs, and what it sent, set and wrote is remembered; however often a search
comes by the same history again, in whatever order the rest of the cluster moves, it finds the answer here. No node is
copied: one that is needed at an earlier moment is started anew and given its inputs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from kvsim.core.axes import Replication
from kvsim.core.host import DiskError, Host
from kvsim.core.invariant import Claim, Invariants
from kvsim.core.message import Channel, Envelope, Message, NodeId, tag_of
from kvsim.core.node import Node
from kvsim.core.settings import SettingsError
from kvsim.core.trace import Event
from kvsim.core.waiting import Scope
from kvsim.explore.clients import number_of
from kvsim.explore.fingerprint import fingerprint_of
from kvsim.explore.past import Alone, Past, relive
from kvsim.explore.place import Endless, handler_of, not_for_ever, place_of
from kvsim.explore.stepper import Failed, Recorded

LIVE_NODES_KEPT = 4_096
"""Nodes kept where a history ends, in case it goes on; those kept longest go first, and can be run again."""
LIVE_WITH_A_PAST_KEPT = 256
"""The same where each holds all that a run has left in it."""
CLIENT: NodeId = "client"

Input = tuple[Any, ...]
"""`("deliver", parcel)`, `("lost", peer)`, `("timer",)`, `("sync",)`, `("crash",)`, `("restart",)`, `("ask", number,
message)`; in worlds with one clock for all, the time stands behind."""


class Parcel(NamedTuple):
    """A message on its way. Equal ones are the same parcel, so that queues can be compared by numbers."""

    sender: NodeId
    to: NodeId
    envelope: Envelope[Any]
    channel: Channel


class Local:
    """Where one node is after some history of inputs."""

    __slots__ = (
        "before", "claims", "clock_ns", "disk", "due_ns", "incarnation", "input", "is_up", "node", "number", "state",
        "steps", "work",
    )  # fmt: skip

    number: int
    node: NodeId
    is_up: bool
    incarnation: int
    clock_ns: int
    due_ns: int | None
    """When its next timer goes off; None without one."""
    work: str
    """The file on which its disk works; empty when it is idle."""
    state: Any
    """A copy of what its replication holds beyond one operation."""
    disk: Mapping[str, bytes]
    """What a power cut would leave."""
    claims: tuple[Claim, ...]
    before: Local | None
    input: Input
    steps: dict[Input, Step]

    def line(self) -> list[Local]:
        """The shortest line known that leads here, from the start on."""
        found: list[Local] = []
        at: Local | None = self
        while at is not None:
            found.append(at)
            at = at.before
        return found[::-1]


class Step(NamedTuple):
    """What one input led to."""

    local: Local
    sent: tuple[tuple[NodeId, int, bool], ...]
    """To whom, which parcel, and whether as a datagram."""
    answers: tuple[tuple[int, Message], ...]
    """What clients were told, with the number of their question."""
    events: tuple[Event, ...]
    failure: Exception | None
    is_visible: bool
    """Whether it changed what invariants look at."""
    bytes_sent: tuple[bytes, ...]
    """All that it sent, clients' answers included: what it must send again for the same inputs."""


class Locals:
    """All nodes of a design at all moments that were looked at so far."""

    def __init__(
        self,
        build: Callable[[Host, Scope], Node],
        invariants: Invariants | None,
        seed: int = 0,
        *,
        together: bool = False,
        merge: bool = True,
        past: Past | None = None,
    ) -> None:
        self.parcels: list[Parcel] = []
        self.made = 0
        """Moments of nodes that were run, not remembered."""
        self._build, self._invariants, self._seed, self._together = build, invariants, seed, together
        self._merge, self._past = merge, past
        self._questions = (
            {(each.client, each.number): number_of(at, 0, 0) for at, each in enumerate(past.opens)} if past else {}
        )
        self._kept = LIVE_WITH_A_PAST_KEPT if past else LIVE_NODES_KEPT
        self._known: dict[bytes, Local] = {}
        self._parcel_numbers: dict[tuple[NodeId, NodeId, Channel, bytes], int] = {}
        self._live: dict[int, _Node] = {}
        self._encode = msgspec.msgpack.Encoder().encode

    def start(self, node: NodeId) -> Step:
        """The node's beginning, or where its past has brought it."""
        return self._noted(self._first(node, compare=True), None, ())

    def after(self, local: Local, given: Input) -> Step:
        """What this input leads to."""
        step = local.steps.get(given)
        if step is None:
            alone = self._live.pop(local.number, None) or self._again(local)
            self._give(alone, given)
            step = local.steps[given] = self._noted(alone, local, given)
        return step

    def _first(self, node: NodeId, *, compare: bool) -> _Node:
        """The node at its beginning. Raises `SettingsError` where it does not even begin."""
        if self._past is None:
            try:
                with not_for_ever():
                    return _Node(node, self._build, self._seed)
            except Endless as error:
                raise SettingsError([f"{node} does not start: {error}"]) from None
        alone = _Node(node, self._build, self._seed, begun=False)
        relive(alone, self._past.lives[node], compare=compare)
        alone.note = alone.keep
        return alone

    def _again(self, local: Local) -> _Node:
        """The node run anew up to here."""
        alone = self._first(local.node, compare=False)
        for at in local.line():
            alone.sent.clear()
            alone.happened.clear()
            if at.before is not None:
                self._give(alone, at.input)
                self._compare(alone, at.before.steps.get(at.input), at.input)
        alone.sent.clear()
        alone.happened.clear()
        return alone

    def _compare(self, alone: _Node, then: Step | None, given: Input) -> None:
        """A node does the same again for the same inputs. Raises `SettingsError` where it does not."""
        sent = [self._encode(envelope) for _, envelope, _ in alone.sent]
        if then is None or sent == list(then.bytes_sent):
            return
        decode = msgspec.msgpack.decode
        pairs = zip_longest(then.bytes_sent, sent, fillvalue=self._encode("nothing"))
        first, again = next((str(decode(a)), str(decode(b))) for a, b in pairs if a != b)
        raise SettingsError([self._told_of(alone, given, first, again)])

    def _told_of(self, alone: _Node, given: Input, first: str, again: str) -> str:
        """That a node did something else, in words."""
        what, place = given[0], ""
        if given[0] in ("deliver", "ask"):
            message = self.parcels[given[1]].envelope.message if given[0] == "deliver" else given[2]
            what, place = f"{what} {tag_of(message)}", handler_of(alone.hosts[alone.node].node, message)
        return (
            f"{alone.node} does not do the same twice: of the same inputs, the last of which was {what}, it first sent "
            f"{first[:200]}, then {again[:200]}{f' ({place})' if place else ''}; it draws, or orders, by something "
            "outside its host, or keeps something in a global"
        )

    def _give(self, alone: _Node, given: Input) -> None:
        try:
            with not_for_ever():
                self._feed(alone, given)
        except Endless as error:
            alone.hosts[alone.node].fail(error)

    def _feed(self, alone: _Node, given: Input) -> None:
        host = alone.hosts[alone.node]
        if self._together:
            host.clock_ns = given[-1]
        kind = given[0]
        if kind == "deliver":
            parcel = self.parcels[given[1]]
            host.feed(lambda node: node.deliver(parcel.sender, parcel.envelope))
        elif kind == "sync":
            alone.run(next(iter(alone.works.values())))
        elif kind == "timer":
            alone.run(alone.next_timer())
        elif kind == "lost":
            alone.lose_peer(alone.node, given[1])
        elif kind == "ask":
            alone.perform(CLIENT, alone.node, Envelope(given[2], given[1]))
        elif kind == "crash":
            alone.crash(alone.node)
        elif kind == "break disk":
            alone.break_disk(next(iter(alone.works.values())))
        else:
            alone.restart(alone.node)

    def _noted(self, alone: _Node, before: Local | None, given: Input) -> Step:
        """Where the node is now, and what it did to come here."""
        self.made += 1
        host = alone.hosts[alone.node]
        local = Local()
        local.number, local.node, local.before, local.input, local.steps = self.made, alone.node, before, given, {}
        local.is_up, local.incarnation, local.clock_ns = host.node is not None, host.incarnation, host.clock_ns
        local.due_ns = min((timer.due_ns for timer in alone.timers.values()), default=None)
        local.work = next((work.file for work in alone.works.values()), "")
        local.state = _state_of(host.node)
        local.disk = dict(host.step_disk.durable)
        local.claims = ()
        if self._invariants is not None:
            local.claims = tuple(self._invariants.claims(alone.node, local.state, local.disk))
        bytes_sent = tuple([self._encode(envelope) for _, envelope, _ in alone.sent])
        sent: list[tuple[NodeId, int, bool]] = []
        answers: list[tuple[int, Message]] = []
        for to, envelope, channel in alone.sent:
            if to == CLIENT:
                answers.append((envelope.answers, envelope.message))
            elif (to, envelope.answers) in self._questions:
                answers.append((self._questions[to, envelope.answers], envelope.message))
            elif self._past is None or to in self._past.lives:  # others are clients whom nobody waits for
                number = self.number(Parcel(alone.node, to, envelope, channel))
                sent.append((to, number, channel is Channel.DATAGRAM))
        events = tuple(happened.event for happened in alone.happened if isinstance(happened, Recorded))
        failure = next((happened.error for happened in alone.happened if isinstance(happened, Failed)), None)
        alone.sent.clear()
        alone.happened.clear()
        local = self._merged(local, alone)
        self._keep(local, alone)
        is_visible = bool(events) or _differ(before, local)
        return Step(local, tuple(sent), tuple(answers), events, failure, is_visible, bytes_sent)

    def _merged(self, local: Local, alone: _Node) -> Local:
        """An earlier moment of the same node from which the same follows, or else this one."""
        if not self._merge:
            return local
        key = fingerprint_of(alone, alone.hosts[alone.node])
        return local if key is None else self._known.setdefault(key, local)

    def number(self, parcel: Parcel) -> int:
        """The number of this parcel; equal ones have the same."""
        key = (parcel.sender, parcel.to, parcel.channel, self._encode(parcel.envelope))
        number = self._parcel_numbers.setdefault(key, len(self.parcels))
        if number == len(self.parcels):
            self.parcels.append(parcel)
        return number

    def _keep(self, local: Local, alone: _Node) -> None:
        self._live[local.number] = alone
        if len(self._live) > self._kept:
            del self._live[next(iter(self._live))]

    def program(self, local: Local) -> Node | None:
        """The node itself as it is here, to look at and not to touch; None while it is down."""
        return self._again(local).hosts[local.node].node


class _Node(Alone):
    """A node by itself, and what it has sent since that was last looked at."""

    def __init__(self, node: NodeId, build: Callable[[Host, Scope], Node], seed: int, *, begun: bool = True) -> None:
        self.sent: list[tuple[NodeId, Envelope[Any], Channel]] = []
        super().__init__(node, build, (CLIENT,), seed, self.keep, begun=begun)

    def keep(self, to: NodeId, envelope: Envelope[Any], channel: Channel) -> None:
        """What is sent."""
        self.sent.append((to, envelope, channel))

    def next_timer(self) -> Any:
        return min(self.timers.values(), key=lambda timer: (timer.due_ns, timer.number))


def _differ(before: Local | None, after: Local) -> bool:
    """Whether an invariant can tell two moments of a node apart."""
    if before is None or before.is_up != after.is_up:
        return True
    return bool(before.state != after.state or before.disk != after.disk or before.claims != after.claims)


def is_defect(error: Exception | None) -> bool:
    """Whether a node failed by its own fault, and not as it should when its disk fails."""
    return error is not None and not isinstance(error, DiskError)


def told_defect(node: NodeId, error: Exception) -> str:
    """How a node failed, and in which line."""
    return f"{node} broke: {type(error).__name__}: {error}{place_of(error) if not isinstance(error, Endless) else ''}"


def _state_of(node: Node | None) -> Any:
    """A copy of the `state` of the node's protocol. States hold immutable things, so their containers are copied."""
    if node is None:
        return None
    protocol_first = sorted(node.components, key=lambda component: not isinstance(component, Replication))
    held = (getattr(component, "state", None) for component in protocol_first)
    found = next((state for state in held if isinstance(state, msgspec.Struct)), None)
    return None if found is None else _copied(found)


def _copied(struct: msgspec.Struct) -> msgspec.Struct:
    values = {}
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, (list, dict, set)):
            values[name] = value.copy()
    return msgspec.structs.replace(struct, **values)
