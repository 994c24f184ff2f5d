"""A whole design run by hand: a cluster that does nothing by itself, and a client that asks one thing after the other.

The same seed-free order every time: messages first, then disks, then timers, each in the order in which they arose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import msgspec

from kvsim.core.design import Design
from kvsim.core.host import Host
from kvsim.core.message import MILLISECOND, SECOND, Codec, Envelope, Failure, Message, NodeId, tag_of
from kvsim.core.node import Node, View
from kvsim.core.operation import Absent, AnyOperation, Found, Operation, Perform, Read, RequestId
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Choice, Failed, InFlight, Pending, Sent, Stepper
from kvsim.lab.hunt.watchdog import place_of_error
from kvsim.strategies.catalogue import assemble, cluster_of, message_kinds

CLIENT = "client"
TICK_NS = 10 * MILLISECOND
MOST_STEPS = 20_000
"""Messages and disks that need more at one moment go round for ever."""
MOST_TRIES = 100
"""How often a client asks again when the cluster says that it cannot serve now: a tenth of a second lies between."""


MOST_LOOKS = 20
"""How often a client reads what should be there once the copies agree, as often apart."""


class ContractBroken(AssertionError):
    """A strategy breaks what its axis promises; the message says which promise, how, and the remedy."""


class Change(NamedTuple):
    """A node's view of the cluster has changed."""

    node: NodeId
    old: View
    new: View


class _Wire(Stepper):
    """Messages travel as bytes, so a kind that the design's codec does not know is noticed."""

    codec: Codec
    views: dict[NodeId, View]
    """What each node that is up believes."""
    changes: list[Change]

    def run(self, choice: Choice) -> None:
        ByHand.steps += 1
        if isinstance(choice, InFlight):
            self._travel(choice.envelope)
        super().run(choice)
        self.note_views()

    def note_views(self) -> None:
        """Note who has come to believe something else."""
        for name, host in self.hosts.items():
            before = self.views.get(name)
            if host.node is None:
                self.views.pop(name, None)
            elif host.node.view is not before:
                self.views[name] = host.node.view
                if before is not None:
                    self.changes.append(Change(name, before, host.node.view))

    def _travel(self, envelope: Envelope[Any]) -> None:
        name = type(envelope.message).__name__
        try:
            again = self.codec.decode(self.codec.encode(envelope))
        except (msgspec.MsgspecError, TypeError) as error:
            raise ContractBroken(
                f"the message {name} ({tag_of(envelope.message)}) does not travel: {error}\n"
                f"  remedy: define it in the strategy's own file, or import it there by name, with fields of plain data"
            ) from error
        if again != envelope:
            raise ContractBroken(
                f"the message {envelope.message} arrives as {again.message}\n"
                "  remedy: let the fields have the types that they are declared with, tuples instead of lists"
            )


class ByHand:
    """A design's cluster and its client."""

    steps: ClassVar[int] = 0
    """Of all clusters so far: a check in which it stands still has code that never comes back."""

    def __init__(self, design: Design, nodes: int, frontends: int = 1) -> None:
        self.design = design
        self.cluster = cluster_of(design, nodes, frontends)
        self.number = 0

        def build(host: Host, scope: Scope) -> Node:
            return assemble(design, self.cluster, host, scope)

        self.world = _Wire(self.cluster.everyone(), build, clients=(CLIENT,))
        self.world.codec = Codec(message_kinds(design))
        self.world.views, self.world.changes = {}, []
        self.world.note_views()
        self.settle()

    # ---- The client

    def ask(self, kind: type[Operation], *fields: Any, door: NodeId = "") -> Message:
        """The answer to one operation, however long it takes. Raises `ContractBroken` when there is none."""
        return self.perform(self.operation(kind, *fields), door)

    def operation(self, kind: type[Operation], *fields: Any) -> AnyOperation:
        """An operation with a number of its own."""
        self.number += 1
        make: Callable[..., AnyOperation] = kind  # type: ignore[assignment]  # the base of those in AnyOperation
        return make(RequestId("c", self.number), *fields)

    def perform(self, operation: AnyOperation, door: NodeId = "") -> Message:
        """As `ask`, for an operation that may have been asked before."""
        self.begin(operation, door)
        patience_ns = 3 * self.design.timeout_ns + SECOND
        for _ in range(patience_ns // TICK_NS):
            self.settle()
            if (answer := self.answer()) is not None:
                return answer
            self.world.advance(TICK_NS)
        raise ContractBroken(
            f"nobody answers {shown(operation)} within {patience_ns / 1e9:g} s, though the design's timeout is "
            f"{self.design.timeout_ns / 1e9:g} s\n"
            "  remedy: end every wait at a deadline: self.host.after(self.site.design.timeout_ns, acks.close)"
        )

    def begin(self, operation: AnyOperation, door: NodeId = "") -> None:
        """Let a request arrive at a door, the first that is up unless one is named; its answer is for `answer`."""
        self.world.happened.clear()
        up = [each for each in self.cluster.doors() if self.world.hosts[each].node is not None]
        self.world.perform(CLIENT, door or up[0], Envelope(Perform(operation), 1))

    def answer(self) -> Message | None:
        """What the client was answered since it last asked."""
        self._no_defects()
        answers = (h.message for h in self.world.happened if isinstance(h, Sent) and h.to == CLIENT)
        return next(answers, None)

    def insist(self, kind: type[Operation], *fields: Any, door: NodeId = "") -> Message:
        """As a patient client: ask again while the answer is that nobody can serve now."""
        tries = MOST_TRIES
        while True:
            answer = self.ask(kind, *fields, door=door)
            tries -= 1
            if tries == 0 or not isinstance(answer, Failure) or answer.code != "unavailable":
                return answer
            self.wait(100)

    def value_of(
        self, key: bytes, wanted: bytes | None, door: NodeId = "", in_a_row: int = 1
    ) -> bytes | Failure | None:
        """What a key holds, once all is quiet; asks again while it is not what is wanted, as copies may lag.

        `in_a_row`: how many reads after each other must find what is wanted, where they go to copies in turn.
        """
        value, found = None, 0
        for _ in range(MOST_LOOKS):
            answer = self.insist(Read, key, door=door)
            if isinstance(answer, Failure):
                return answer
            if not isinstance(answer, Found | Absent):
                raise ContractBroken(f"a read is answered with {answer}\n  remedy: return Found or Absent")
            value = answer.value if isinstance(answer, Found) else None
            found = found + 1 if value == wanted else 0
            if found == in_a_row:
                break
            if not found:
                self.wait(100)
        return value

    # ---- The world

    def settle(self) -> None:
        """Deliver and sync until only timers are left."""
        for _ in range(MOST_STEPS):
            choice = next((choice for choice in self.world.choices() if not isinstance(choice, Pending)), None)
            if choice is None:
                break
            self.world.run(choice)
        else:
            kinds = {tag_of(f.envelope.message): None for f in self.world.flights.values()}
            raise ContractBroken(
                f"no end after {MOST_STEPS:,} messages at one moment: {', '.join(kinds)} go round\n"
                "  remedy: answer a message with fewer messages, or wait before the next round: self.every, self.pause"
            )
        self._no_defects()

    def one_step(self) -> bool:
        """Let one message arrive, or where none is on its way the oldest disk work complete; False when neither is."""
        choices = [choice for choice in self.world.choices() if not isinstance(choice, Pending)]
        if choices:
            self.world.run(next((choice for choice in choices if isinstance(choice, InFlight)), choices[0]))
        self._no_defects()
        return bool(choices)

    def wait(self, time_ms: int) -> None:
        """Let time pass on all clocks, and all happen that it brings about."""
        for _ in range(time_ms // 10):
            self.world.advance(TICK_NS)
            self.settle()

    def crash(self, *nodes: NodeId) -> None:
        """Cut the power of nodes, all at once; the others learn that their streams broke."""
        for node in nodes:
            self.world.crash(node)
        self.world.note_views()
        for host in self.world.hosts:
            for node in nodes:
                self.world.lose_peer(host, node)
        self._no_defects()

    def restart(self, *nodes: NodeId) -> None:
        """Start nodes that are down, with what their disks kept."""
        for node in nodes:
            self.world.restart(node)
        self.world.note_views()
        self.settle()

    def node(self, name: NodeId) -> Node:
        """A node that is up."""
        node = self.world.hosts[name].node
        assert node is not None, f"{name} is down"
        return node

    def _no_defects(self) -> None:
        for happening in self.world.happened:
            if isinstance(happening, Failed):
                error = happening.error
                said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                place = place_of_error(error)
                raise ContractBroken(
                    f"{happening.node} fails with {said}{f' at {place}' if place else ''}\n"
                    "  remedy: an operation that cannot be done raises an OperationError; all else is a defect"
                ) from error


def shown(operation: AnyOperation) -> str:
    """An operation for people: `update k=v`."""
    value = getattr(operation, "value", None)
    key = getattr(operation, "key", getattr(operation, "start", b""))
    text = f"{type(operation).__name__.lower()} {key.decode(errors='replace')}"
    return text if value is None else f"{text}={value.decode(errors='replace')}"
