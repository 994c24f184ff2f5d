"""Running a whole design by hand: put it together, ask it something, and let happen what may until it has answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsim.core.design import Design
from kvsim.core.host import Host
from kvsim.core.message import MILLISECOND, Codec, Envelope, Message, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import AnyOperation, Operation, Perform, RequestId
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Failed, InFlight, Pending, Sent, Stepper
from kvsim.strategies.catalogue import assemble, cluster_of, message_kinds, read_design

CLIENT = "client"


class WireStepper(Stepper):
    """Messages travel as bytes, so a kind that the design's codec does not know is noticed."""

    codec: Codec

    def run(self, choice: Any) -> None:
        if isinstance(choice, InFlight):
            again = self.codec.decode(self.codec.encode(choice.envelope))
            assert again == choice.envelope
        super().run(choice)


class Running:
    """A design's whole cluster, and a client that asks one thing after the other."""

    def __init__(
        self, table: Mapping[str, Any], nodes: int = 5, frontends: int = 1, folder: Path | None = None
    ) -> None:
        self.design: Design = read_design(table, "design", nodes, folder)
        self.cluster = cluster_of(self.design, nodes, frontends)

        def build(host: Host, scope: Scope) -> Node:
            return assemble(self.design, self.cluster, host, scope)

        self.world = WireStepper(self.cluster.everyone(), build, clients=(CLIENT,))
        self.world.codec = Codec(message_kinds(self.design))
        self.number = 0

    def ask(self, kind: type[Operation], *fields: Any, door: NodeId = "", patience: int = 200) -> Message:
        """The answer to one operation. Time passes in steps of 10 ms, as long as nobody has answered."""
        self.number += 1
        operation: Any = kind(RequestId("c", self.number), *fields)
        return self.perform(operation, door, patience)

    def perform(self, operation: AnyOperation, door: NodeId = "", patience: int = 200) -> Message:
        """As `ask`, for an operation that is there already: a retry."""
        self.world.happened.clear()
        self.world.perform(CLIENT, door or self.cluster.doors()[0], Envelope(Perform(operation), self.number))
        for _ in range(patience):
            self.settle()
            found = [h.message for h in self.world.happened if isinstance(h, Sent) and h.to == CLIENT]
            if found:
                return found[0]
            self.world.advance(10 * MILLISECOND)
        raise AssertionError(f"no answer to {operation}")

    def settle(self) -> None:
        """Deliver and sync until only timers are left."""
        for _ in range(20_000):
            choice = next((choice for choice in self.world.choices() if not isinstance(choice, Pending)), None)
            if choice is None:
                break
            self.world.run(choice)
        failed = [happening for happening in self.world.happened if isinstance(happening, Failed)]
        assert not failed, failed

    def sent(self) -> list[str]:
        """The tags of all messages between nodes since the last question."""
        return [
            str(happening.message.__struct_config__.tag)
            for happening in self.world.happened
            if isinstance(happening, Sent) and happening.to != CLIENT
        ]

    def wait(self, time_ms: int) -> None:
        """Let time pass, and all that it brings about."""
        for _ in range(time_ms // 10):
            self.world.advance(10 * MILLISECOND)
            self.settle()
