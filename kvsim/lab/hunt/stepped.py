"""The inputs of a run's nodes, given to the same nodes in the stepped world: in their order, without their times.

What is not possible there is left out. A stream may break, and then both ends hear of it before anything that is sent
later; it never loses a message in its middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kvsim.check.durability import durability
from kvsim.check.judges import JUDGES, Limited
from kvsim.check.verdict import Refuted
from kvsim.core.history import Recorder
from kvsim.core.host import DiskError, Host
from kvsim.core.invariant import Breach, Claims, Invariants, Moment, agreed
from kvsim.core.message import Channel, Envelope, Failure, NodeId, tag_of
from kvsim.core.node import Node
from kvsim.core.operation import ERRORS, AnyOperation, Found, Perform, RequestId
from kvsim.core.settings import duration_ns
from kvsim.core.trace import Event
from kvsim.core.waiting import Scope
from kvsim.explore.asked import operation_named
from kvsim.explore.stepper import DiskWork, Failed, InFlight, Pending, Recorded, Sent, Stepper
from kvsim.lab.experiment import Setup
from kvsim.lab.hunt.invariants import protocol_state
from kvsim.lab.hunt.trial import Finding
from kvsim.strategies.catalogue import assemble

CLIENT = "client"
MOST_TIMERS = 12
"""So many timers of a node go off at most until one leads to what it led to in the run."""
JUDGE_LIMIT_S = 2.0


class Act(NamedTuple):
    """One thing that happens."""

    kind: str
    """`ask`, `retry`, `deliver`, `drop`, `lost`, `sync`, `timer`, `wait`, `crash` or `restart`."""
    node: NodeId
    """Where; of `drop`, whom it does not reach."""
    peer: NodeId = ""
    """Of a message, who sent it; of `lost`, with whom the stream broke."""
    channel: str = ""
    tags: tuple[str, ...] = ()
    """Of a message its kind; of a timer the kinds of what was sent because of it; of `wait` how long."""
    asked: tuple[str, ...] = ()
    """Of `ask` the client, the operation's name, and its words; of `retry` the client and the operation's number."""


class Stepped:
    """Acts in the stepped world, one after the other; what is not possible is left out."""

    def __init__(self, setup: Setup, acts: Sequence[Act]) -> None:
        self.setup, self.acts = setup, acts
        cluster = setup.cluster

        def build(host: Host, scope: Scope) -> Node:
            return assemble(setup.design, cluster, host, scope)

        self.world = Stepper(cluster.everyone(), build, clients=(CLIENT,))
        self.done: list[Act] = []
        self.commands: list[str] = []
        self.requests: dict[str, AnyOperation] = {}
        self.recorder = Recorder()
        self._numbers: dict[int, str] = {}
        """A client's question → its request."""
        self._open: dict[str, int] = {}
        """Requests that wait for an answer, and as which process."""
        self._sendings: dict[str, int] = {}
        self._broken: dict[tuple[NodeId, NodeId], int] = {}
        """By sender and receiver of a stream that broke: what was sent before that can still arrive; the receiver has
        not heard of it."""
        self._talked: dict[tuple[NodeId, NodeId], None] = {}
        self._claims: Claims = {}
        choice = setup.design["replication"]
        strategy: Any = choice.strategy
        self._invariants: Invariants | None = strategy.invariants(choice.settings, setup.design, cluster)
        self._invariant = ""
        """The one that is looked at; empty: none."""
        self.is_broken = False
        """Whether it was."""
        self.has_defect = False
        """Whether a node failed by its own fault."""

    def run(self) -> None:
        """Do all, up to where the invariant breaks if one is looked at."""
        for act in self.acts:
            getattr(self, f"_{act.kind}")(act)
            if self.is_broken:
                return

    def refutes(self, finding: Finding) -> bool:
        """Whether what is seen refutes the same; looked at in the end, but for invariants, which hold at every step."""
        if finding.judge == "invariant":
            self._invariant = finding.kind.partition(": ")[2]
        self.run()
        if finding.judge == "invariant":
            return self.is_broken
        if finding.judge == "defect":
            return self.has_defect
        history = self.recorder.history
        verdict = (
            durability(history)
            if finding.judge == "durability"
            else JUDGES[finding.judge].judge(history, Limited(JUDGE_LIMIT_S))
        )
        return isinstance(verdict, Refuted)

    def _look(self, node: NodeId, events: Sequence[Event]) -> None:
        """Does the invariant hold?"""
        assert self._invariants is not None, "it was broken in the run"
        states = {name: protocol_state(host.node) for name, host in self.world.hosts.items()}
        disks = {name: dict(host.step_disk.durable) for name, host in self.world.hosts.items()}
        try:
            self._claims = agreed(self._claims, self._invariants.claims(node, states[node], disks[node]))
            self._invariants.check(Moment(states, disks, self._claims, node, events))
        except Breach as breach:
            self.is_broken |= str(breach).startswith(f"{self._invariant}: ")

    # Acts

    def _did(self, act: Act, command: str) -> None:
        """Note what was done, and what the nodes did then."""
        self.done.append(act)
        self.commands.append(command)
        self._new = list(self.world.happened)
        self.world.happened.clear()
        for happening in self._new:
            if isinstance(happening, Sent):
                self._note_sent(happening)
            elif isinstance(happening, Failed):
                self.has_defect |= not isinstance(happening.error, DiskError)
        if self._invariant and not self.is_broken:
            self._look(act.node, [each.event for each in self._new if isinstance(each, Recorded)])

    def _note_sent(self, sent: Sent) -> None:
        if sent.to != CLIENT:
            self._talked[sent.sender, sent.to] = None
            if sent.lost:
                self._break(sent.sender, sent.to)
            return
        request = self._numbers[sent.answers]
        process = self._open.get(request)
        if process is None:
            return
        if not isinstance(sent.message, Failure):
            answer = sent.message.value if isinstance(sent.message, Found) else None
            self.recorder.complete(process, len(self.commands), "ok", answer)
            del self._open[request]
        elif self._sendings[request] == 1 and sent.message.code in ERRORS and ERRORS[sent.message.code].certain:
            self.recorder.complete(process, len(self.commands), "fail", None)
            del self._open[request]

    def _ask(self, act: Act) -> None:
        client, name, words = act.asked
        if self.world.hosts[act.node].node is None:
            return
        number = 1 + sum(request.startswith(f"{client}/") for request in self.requests)
        request = RequestId(client, number)
        operation = self.requests[str(request)] = operation_named(name, request, words)
        process = self._open[str(request)] = len(self.requests)
        asked: Any = name if name != "get" else "read"
        expected = getattr(operation, "expected", None)
        key, value = getattr(operation, "key", b""), getattr(operation, "value", None)
        self.recorder.invoke(process, len(self.commands), asked, key, value, expected)
        self._perform(act, operation, f"{name} {act.node} {words} client={client}")

    def _retry(self, act: Act) -> None:
        request = "/".join(act.asked)
        if request in self.requests and self.world.hosts[act.node].node is not None:
            self._perform(act, self.requests[request], f"retry {act.node} {request}")

    def _perform(self, act: Act, operation: AnyOperation, command: str) -> None:
        number = len(self._numbers) + 1
        request = self._numbers[number] = str(operation.request)
        self._sendings[request] = self._sendings.get(request, 0) + 1
        self.world.perform(CLIENT, act.node, Envelope(Perform(operation), number))
        self._did(act, command)

    def _deliver(self, act: Act) -> None:
        """The message of this kind, and before it those that are older on the same stream."""
        found = self._flights(act)
        tags = [tag_of(flight.envelope.message) for flight in found]
        if act.tags and act.tags[0] not in tags:
            return
        count = tags.index(act.tags[0]) + 1 if act.tags else 1
        if act.channel == "datagram":
            self._one(act, found[count - 1], "deliver", count)
            return
        for flight in found[:count]:
            if flight.number > self._broken.get((act.peer, act.node), flight.number):
                return  # sent after the stream broke: the receiver hears of that first
            self._one(act._replace(tags=()), flight, "deliver", 1)

    def _one(self, act: Act, flight: InFlight, verb: str, position: int) -> None:
        others = [f for f in self.world.flights.values() if (f.sender, f.to) == (flight.sender, flight.to)]
        which = "" if all(f.channel is flight.channel for f in others) else f" {act.channel}"
        which = f" {act.channel} {position}" if position > 1 else which
        if flight.number not in self.world.flights:
            return
        (self.world.run if verb == "deliver" else self.world.drop)(flight)
        self._did(act, f"{verb} {act.peer}->{act.node}{which}")

    def _drop(self, act: Act) -> None:
        """A datagram is lost; or a stream breaks, with all that is on it."""
        found = self._flights(act)
        if act.channel == "datagram":
            if found:
                self._one(act, found[0], "drop", 1)
            return
        if not found and act.tags:
            return
        self._break(act.peer, act.node)
        for flight in found:
            self._one(act._replace(tags=()), flight, "drop", 1)

    def _flights(self, act: Act) -> list[InFlight]:
        flights = self.world.flights.values()
        channel = Channel(act.channel or "stream")
        return [f for f in flights if (f.sender, f.to, f.channel) == (act.peer, act.node, channel)]

    def _break(self, one: NodeId, other: NodeId) -> None:
        """Both ends must hear of it before anything that is sent from now on arrives."""
        last = max(self.world.flights, default=0)
        talked = (one, other) in self._talked or (other, one) in self._talked
        for sender, receiver in ((one, other), (other, one)):
            if talked and one != other and self.world.hosts[receiver].node is not None:
                self._broken.setdefault((sender, receiver), last)

    def _lost(self, act: Act) -> None:
        if self.world.hosts[act.node].node is None:
            return
        for flight in self._flights(Act("drop", act.node, act.peer, "stream")):
            if flight.number <= self._broken.get((act.peer, act.node), flight.number):
                self._one(Act("drop", act.node, act.peer, "stream"), flight, "drop", 1)
        if (act.peer, act.node) not in self._broken:
            self._break(act.peer, act.node)
        if self._broken.pop((act.peer, act.node), None) is None:
            return  # they never spoke
        self.world.lose_peer(act.node, act.peer)
        self._did(act, f"lost {act.node} {act.peer}")

    def _sync(self, act: Act) -> None:
        works: Iterator[DiskWork] = (work for work in self.world.works.values() if work.node == act.node)
        if (work := next(works, None)) is not None:
            self.world.run(work)
            self._did(act, f"sync-oldest {act.node}")

    def _timer(self, act: Act) -> None:
        """The next timer; where it matters what it leads to, so many until one does."""
        for _ in range(MOST_TIMERS if act.tags else 1):
            timers: list[Pending] = [timer for timer in self.world.timers.values() if timer.node == act.node]
            if not timers:
                return
            self.world.run(min(timers, key=lambda timer: (timer.due_ns, timer.number)))
            self._did(act._replace(tags=()), f"timer {act.node}")
            sent = [tag_of(each.message) for each in self._new if isinstance(each, Sent)]
            if set(act.tags) & set(sent):
                return

    def _wait(self, act: Act) -> None:
        """What a node may do can rest on how long ago something was: time passes, on all clocks, when clients ask."""
        for host in self.world.hosts.values():
            host.clock_ns += duration_ns(act.tags[0])
        self._did(act, f"wait {act.tags[0]}")

    def _crash(self, act: Act) -> None:
        if self.world.hosts[act.node].node is None:
            return
        self.world.crash(act.node)
        for peer in self.world.hosts:
            if peer != act.node:
                self._break(act.node, peer)
                self._broken.pop((peer, act.node), None)  # its next life has no old streams
        self._did(act, f"crash {act.node}")

    def _restart(self, act: Act) -> None:
        if self.world.hosts[act.node].node is None:
            self.world.restart(act.node)
            self._did(act, f"restart {act.node}")
