"""A refuted run without its time: what reached its nodes, in its order, as the commands of a transcript.

The run's deliveries, disks, timers, crashes and breaks are given to the same nodes in the stepped world, as far as they
are possible there: its draws are others, so an election may take some more timers. What is refuted there too is cut to
the fewest steps that still show it. A stream may break there as in the run, and never loses a message in its middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kvsim.check.durability import durability
from kvsim.check.judges import JUDGES, Limited
from kvsim.check.verdict import Refuted
from kvsim.core.axes import Replication
from kvsim.core.history import Operation, Recorder, operations
from kvsim.core.host import DiskError, Host
from kvsim.core.invariant import Breach, Claims, Invariants, Moment, agreed
from kvsim.core.message import MILLISECOND, Channel, Envelope, Failure, NodeId, tag_of
from kvsim.core.node import Node
from kvsim.core.operation import ERRORS, AnyOperation, Found, Perform, RequestId
from kvsim.core.settings import duration_ns
from kvsim.core.waiting import Scope
from kvsim.explore.asked import operation_named
from kvsim.explore.stepper import DiskWork, Failed, InFlight, Pending, Recorded, Sent, Stepper
from kvsim.lab.experiment import Setup
from kvsim.lab.hunt.shrink import fewest
from kvsim.lab.hunt.trial import Finding, Played
from kvsim.strategies.catalogue import assemble

CLIENT = "client"
MOST_TIMERS = 12
"""So many timers of a node go off at most until one leads to what it led to in the run."""
LIMIT_S = 20.0
PERFORM = str(Perform.__struct_config__.tag)
JUDGED = ("linearizable", "sequential", "causal", "durability", "invariant", "defect")
"""What can be refuted without time."""
Entry = Mapping[str, Any]


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


def transcript_of(played: Played, finding: Finding, trace: bytes, head: str) -> str | None:
    """The transcript, not run yet; None where the stepped world does not refute it, or cannot."""
    if played.run is None or finding.judge not in JUDGED:
        return None
    entries = [msgspec.json.decode(line, type=dict[str, Any]) for line in trace.splitlines()]
    acts = _converted(played.setup, list(_acts(entries, played)))
    until_s = time.monotonic() + LIMIT_S

    def refuted(kept: Sequence[Act]) -> bool:
        return time.monotonic() < until_s and _Replay(played.setup, kept).refutes(finding)

    if not refuted(acts):
        return None
    acts = fewest(_Replay(played.setup, acts).until_refuted(finding), refuted)
    done = _Replay(played.setup, acts)
    done.run()
    lines = [*(f"# {line}".rstrip() for line in head.splitlines()), _cluster_command(played.setup)]
    return "\n".join([*lines, "----", "", *(f"{command}\n----\n" for command in done.commands)])


# What happened in the run ---------------------------------------------------------------------------------------------


def _acts(entries: Sequence[Entry], played: Played) -> Iterator[Act]:
    """What reached the nodes, in the order of the trace."""
    assert played.run is not None, "checked by the caller"
    cluster = played.setup.cluster.everyone()
    sent = {entry["id"]: entry for entry in entries if entry["event"] == "world.sent"}
    led_to: dict[int, list[str]] = {}
    for entry in sent.values():
        led_to.setdefault(entry.get("cause", 0), []).append(entry["kind"])
    words = _words(operations(played.run.seen.history), played.asked)
    asked: dict[Any, None] = {}
    waited_ns = 0
    for entry in entries:
        if entry["node"] not in cluster:
            continue
        passed_ms = (entry["time_ns"] - waited_ns) // MILLISECOND
        if entry["event"] == "world.delivered" and entry["sender"] not in cluster and passed_ms:
            waited_ns += passed_ms * MILLISECOND
            yield Act("wait", entry["node"], tags=(f"{passed_ms}ms",))
        if entry["event"] in ("world.delivered", "world.dropped"):
            act = _of_message(entry, sent.get(entry.get("cause", 0), {}), words, asked)
            if act is not None and {act.node, act.peer or act.node} <= set(cluster):
                yield act
        elif (act := _of_node(entry, led_to)) is not None and (act.peer or act.node) in cluster:
            yield act


def _of_message(
    entry: Entry, sent: Entry, words: Mapping[tuple[str, int], tuple[str, str]], asked: dict[Any, None]
) -> Act | None:
    """A delivery or a loss, or a client's question that has come."""
    node, channel, tags = entry["node"], sent.get("channel", "stream"), (entry["kind"],)
    if entry["event"] == "world.dropped":
        return Act("drop", entry["to"], node, channel, tags)
    if entry["kind"] != PERFORM or sent["message"]["hops"]:
        return Act("deliver", node, entry["sender"], channel, tags)
    named = sent["message"]["operation"]["request"]
    request = (named["client"], named["number"])
    if request in asked:
        return Act("retry", node, asked=(named["client"], str(named["number"])))
    asked[request] = None
    return Act("ask", node, asked=(request[0], *words[request])) if request in words else None


def _of_node(entry: Entry, led_to: Mapping[int, list[str]]) -> Act | None:
    """What else can reach a node; timers that led to nothing are left out."""
    node, event = entry["node"], entry["event"]
    if event == "world.peer_lost":
        return Act("lost", node, entry["peer"])
    if event == "world.disk" and entry["operation"] != "append":
        return Act("sync", node)
    if event == "world.timer" and entry["id"] in led_to:
        return Act("timer", node, tags=tuple(led_to[entry["id"]]))
    return {"world.crashed": Act("crash", node), "world.restarted": Act("restart", node)}.get(event)


def _words(found: Sequence[Operation], asked: Mapping[int, tuple[str, str]]) -> dict[tuple[str, int], tuple[str, str]]:
    """The name and the words of each client's operations, by client and number; scans are left out."""
    count: dict[str, int] = {}
    words: dict[tuple[str, int], tuple[str, str]] = {}
    for o in found:
        client = asked.get(o.invoked, ("",))[0]
        count[client] = number = count.get(client, 0) + 1
        if o.op != "scan":
            name = "get" if o.op == "read" else o.op
            old = "" if o.op != "cas" else f"{_text(o.expected) if o.expected is not None else '-'}->"
            value = "" if o.value is None else f"={old}{_text(o.value)}"
            words[client, number] = (name, f"{_text(o.key)}{value}")
    return words


def _text(token: Any) -> str:
    return token.decode(errors="replace") if isinstance(token, bytes) else str(token)


# In the stepped world -------------------------------------------------------------------------------------------------


def _converted(setup: Setup, acts: Sequence[Act]) -> list[Act]:
    """The acts that were possible; where one took several there, those."""
    replay = _Replay(setup, acts)
    replay.run()
    return replay.done


class _Replay:
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
        self.breach = ""
        self.defect = False

    def run(self, over: Callable[[], bool] = lambda: False) -> None:
        """Do all, or until it is over."""
        for act in self.acts:
            getattr(self, f"_{act.kind}")(act)
            if over():
                return

    def refutes(self, finding: Finding) -> bool:
        """Whether what is seen refutes the same; looked at in the end, but for invariants, which hold at every step."""
        if finding.judge == "invariant":
            self.run(lambda: self._breaks(finding))
            return bool(self.breach)
        self.run()
        if finding.judge == "defect":
            return self.defect
        history = self.recorder.history
        verdict = (
            durability(history) if finding.judge == "durability" else JUDGES[finding.judge].judge(history, Limited(2.0))
        )
        return isinstance(verdict, Refuted)

    def until_refuted(self, finding: Finding) -> list[Act]:
        """What was done up to then."""
        self.refutes(finding)
        return self.done

    def _breaks(self, finding: Finding) -> bool:
        if self._invariants is None or not self.done:
            return False
        wanted = finding.kind.partition(": ")[2]
        states = {node: _state_of(host.node) for node, host in self.world.hosts.items()}
        disks = {node: dict(host.step_disk.durable) for node, host in self.world.hosts.items()}
        node = self.done[-1].node
        events = tuple(happened.event for happened in self._new if isinstance(happened, Recorded))
        try:
            self._claims = agreed(self._claims, self._invariants.claims(node, states[node], disks[node]))
            self._invariants.check(Moment(states, disks, self._claims, node, events))
        except Breach as breach:
            self.breach = str(breach)
        return self.breach.startswith(wanted)

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
                self.defect |= not isinstance(happening.error, DiskError)

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
        del self._broken[act.peer, act.node]
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


def _state_of(node: Node | None) -> msgspec.Struct | None:
    if node is None:
        return None
    protocol_first = sorted(node.components, key=lambda component: not isinstance(component, Replication))
    held = (getattr(component, "state", None) for component in protocol_first)
    return next((state for state in held if isinstance(state, msgspec.Struct)), None)


def _cluster_command(setup: Setup) -> str:
    """The command that builds the same cluster."""
    words: list[str] = []
    replication = ""
    for key, value in setup.table["design"].items():
        given = dict(value) if isinstance(value, dict) else {"strategy": value}
        if key == "replication":
            replication = str(given.pop("strategy"))
            words += [f"{name}={_setting(each)}" for name, each in given.items()]
        elif not isinstance(value, dict) and key in ("durability", "timeout"):
            words.append(f"{key}={value}")
        else:
            words += [
                f"{key}={_setting(v)}" if n == "strategy" else f"{key}.{n}={_setting(v)}" for n, v in given.items()
            ]
    words.append(f"nodes={','.join(setup.cluster.data)}")
    if setup.cluster.frontends:
        words.append(f"frontends={','.join(setup.cluster.frontends)}")
    return " ".join(["cluster", replication, *words])


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
