"""Looks at a protocol's invariants in a timed run, just after nodes noted events of it, and just after crashes.

A breach that no client has seen yet is a finding as well: two leaders of one term are wrong even if nobody asked both.
`kvsim explore` looks after every step; here logs are long, so events that come all the time are looked at now and then.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import NamedTuple

import msgspec

from kvsim.core.axes import Replication
from kvsim.core.invariant import Breach, Claims, Invariants, Moment, agreed
from kvsim.core.message import MILLISECOND, Nanoseconds, NodeId
from kvsim.core.node import Node
from kvsim.core.trace import Event
from kvsim.lab.experiment import Setup
from kvsim.lab.hunt.scenes import events_of
from kvsim.sim.disk import Storage
from kvsim.sim.events import Crashed, FaultBegan
from kvsim.sim.faults.triggers import kinds_of_events
from kvsim.sim.world import World

SELDOM = 20
"""Events of a kind that comes no oftener than this in a run are all looked at."""
NOW_AND_THEN_NS = 100 * MILLISECOND
BREAKING = ("disk_lost", "flipped_bits")
"""Faults after which nothing is promised of disks, on which invariants rest."""


class Broken(NamedTuple):
    """An invariant that did not hold."""

    name: str
    sentence: str
    time_ns: Nanoseconds
    node: NodeId


class InvariantWatch:
    """Listens from when it is told to; `broken` is the first breach."""

    def __init__(self, world: World, setup: Setup) -> None:
        self.world = world
        self.broken: Broken | None = None
        self._claims: Claims = {}
        self._count: Counter[type[Event]] = Counter()
        self._looked_ns: dict[type[Event], Nanoseconds] = {}
        choice = setup.design["replication"]
        self._invariants: Invariants | None = choice.strategy.invariants(  # type: ignore[attr-defined]
            choice.settings, setup.design, setup.cluster
        )
        if any(fault.kind in BREAKING for fault in setup.faults):
            self._invariants = None
        self._events = events_of(setup.design)

    def begin(self) -> None:
        """Look from now on."""
        if self._invariants is not None:
            known = kinds_of_events()
            self.world.listen(self._noted, Crashed, FaultBegan, *(kind for tag in self._events for kind in known[tag]))

    def end(self) -> None:
        """Let go of what the invariants remember of this run's disks: no other run has the same."""
        for remembering in vars(sys.modules[type(self._invariants).__module__]).values():
            if hasattr(remembering, "cache_clear"):
                remembering.cache_clear()

    def _noted(self, node: NodeId, time_ns: Nanoseconds, event: Event) -> None:
        kind = type(event)
        self._count[kind] += 1
        is_often = self._count[kind] > SELDOM and time_ns < self._looked_ns.get(kind, 0) + NOW_AND_THEN_NS
        if self.broken is None and not is_often:
            self._looked_ns[kind] = time_ns
            # Not at once: the node is in the middle of what it does.
            self.world.at(time_ns, lambda: self._look(node, event))

    def _look(self, node: NodeId, event: Event) -> None:
        if self.broken is not None or self._invariants is None:
            return
        hosts = self.world.hosts
        states = {name: protocol_state(host.node) for name, host in hosts.items()}
        disks = {name: durable(host.storage) for name, host in hosts.items()}
        # Each node is looked at when it notes something itself; all are when a fault strikes.
        concerned = tuple(hosts) if isinstance(event, Crashed | FaultBegan) else (node,)
        try:
            for name in concerned:
                self._claims = agreed(self._claims, self._invariants.claims(name, states[name], disks[name]))
                self._invariants.check(Moment(states, disks, self._claims, name, (event,)))
        except Breach as breach:
            self.broken = Broken(str(breach).partition(":")[0], str(breach), self.world.now(), node)


def durable(storage: Storage) -> dict[str, bytes]:
    """The files as a power cut would leave them now."""
    return {name: bytes(stored.durable[: stored.durable_bytes]) for name, stored in storage.files.items()}


def protocol_state(program: object) -> msgspec.Struct | None:
    """What a node's protocol holds beyond one operation; None of a node that is down."""
    if not isinstance(program, Node):
        return None
    protocol_first = sorted(program.components, key=lambda component: not isinstance(component, Replication))
    held = (getattr(component, "state", None) for component in protocol_first)
    return next((state for state in held if isinstance(state, msgspec.Struct)), None)
