"""Random schedules: at each step one of all that may happen next, and after each what must hold of all nodes at once.

No clock is believed: each node's timers go off at any speed, so nothing here may rest on time (reads are by rounds).
"""

from __future__ import annotations

from typing import Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.history import History, Recorder
from kvsim.core.host import Host
from kvsim.core.journal import records_of
from kvsim.core.message import Channel, Envelope, Failure, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import ERRORS, AnyOperation, Create, Found, Perform, Put, Read, Remove, RequestId, Written
from kvsim.core.replica import JOURNAL_FILE, Change, Known
from kvsim.core.version import Version
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Sent, Stepper
from kvsim.strategies.catalogue import assemble, cluster_of, read_design
from kvsim.strategies.replication.primary_backup import PrimaryBackup
from kvsim.strategies.replication.primary_backup.view_service import VIEWS_FILE
from kvsim.strategies.replication.primary_backup.views import ServiceState

SERVICE = "view-1"
KEYS = (b"x", b"y")
TIMING = {"ping_interval": "10ms", "dead_after": "30ms", "lease": "20ms"}


class Schedule:
    """One run of a small cluster."""

    def __init__(self, seed: int, nodes: int = 3, **replication: Any) -> None:
        table = {
            "topology": "peer_to_peer",
            "replication": {"strategy": "primary_backup", "reads": "round", **TIMING, **replication},
        }
        design = read_design(table, "schedule", nodes)
        cluster = cluster_of(design, nodes)

        def build(host: Host, scope: Scope) -> Node:
            return assemble(design, cluster, host, scope)

        self.chance = Chance(seed, "schedule")
        self.nodes = cluster.data
        self.recorder = Recorder()
        self.open: dict[int, AnyOperation] = {}
        self.asked_of: dict[int, NodeId] = {}
        self.acknowledged: dict[RequestId, None] = {}
        self.contents: dict[Version, str] = {}
        self.steps = 0
        self.number = 0
        self.views_granted = 0
        self.world = Stepper(cluster.everyone(), build, clients=("client",), seed=seed)

    def run(self, steps: int) -> History:
        """Take so many steps, check after each, and give what the clients saw."""
        for _ in range(steps):
            self.steps += 1
            self._step()
            self._hear()
            self.check()
        for process in list(self.open):
            self._complete(process, "info", None)
        return self.recorder.history

    # ---- What happens

    def _step(self) -> None:
        draw = self.chance.uniform01()
        if draw < 0.04:
            self._crash_or_restart()
        elif draw < 0.06:
            self._cut_or_heal()
        elif draw < 0.16:
            self._ask()
        elif draw < 0.36:
            self._fire_a_timer()
        elif draw < 0.56 and self.world.works:
            self._work_a_disk()
        elif self.world.flights:
            self._deliver()

    def _crash_or_restart(self) -> None:
        name = self.chance.pick((*self.nodes, SERVICE))
        if self.world.hosts[name].node is None:
            self.world.restart(name)
        elif self.chance.happens(0.4):
            self.world.crash(name)
            for process, node in list(self.asked_of.items()):
                if node == name:
                    self._complete(process, "info", None)

    def _cut_or_heal(self) -> None:
        one, other = self.chance.pick((*self.nodes, SERVICE)), self.chance.pick(self.nodes)
        if self.chance.happens(0.5):
            self.world.heal()
        elif one != other:
            self.world.cut(one, other)

    def _ask(self) -> None:
        node = self.chance.pick(self.nodes)
        if self.world.hosts[node].node is None or len(self.open) > 3:
            return
        self.number += 1
        request, key = RequestId("c", self.number), self.chance.pick(KEYS)
        value = f"v{self.number}".encode()
        kinds: list[AnyOperation] = [
            Read(request, key), Put(request, key, value), Create(request, key, value), Remove(request, key),
        ]  # fmt: skip
        operation = kinds[min(self.chance.below(6), 3)] if self.chance.happens(0.7) else kinds[0]
        tag = str(operation.__struct_config__.tag)
        self.recorder.invoke(self.number, self.steps, tag, key, getattr(operation, "value", None))
        self.open[self.number], self.asked_of[self.number] = operation, node
        self.world.perform("client", node, Envelope(Perform(operation, hops=1), self.number))

    def _fire_a_timer(self) -> None:
        node = self.chance.pick((*self.nodes, SERVICE))
        timers = [timer for timer in self.world.timers.values() if timer.node == node]
        if timers:
            self.world.run(min(timers, key=lambda timer: (timer.due_ns, timer.number)))

    def _work_a_disk(self) -> None:
        work = self.chance.pick(list(self.world.works.values()))
        self.world.run(next(first for first in self.world.works.values() if first.node == work.node))

    def _deliver(self) -> None:
        flight = self.chance.pick(list(self.world.flights.values()))
        if flight.channel is Channel.STREAM:
            flight = next(
                first
                for first in self.world.flights.values()
                if (first.sender, first.to, first.channel) == (flight.sender, flight.to, flight.channel)
            )
        elif self.chance.happens(0.1):
            self.world.drop(flight)
            return
        self.world.run(flight)

    def _hear(self) -> None:
        for happened in self.world.happened:
            if isinstance(happened, Sent) and happened.to == "client" and happened.answers in self.open:
                answer = happened.message
                if isinstance(answer, Failure):
                    self._complete(happened.answers, "fail" if ERRORS[answer.code].certain else "info", None)
                    continue
                if isinstance(answer, Written):
                    self.acknowledged[self.open[happened.answers].request] = None
                self._complete(happened.answers, "ok", answer.value if isinstance(answer, Found) else None)
            elif not isinstance(happened, Sent) and hasattr(happened, "error"):
                raise AssertionError(f"{happened.node} broke: {happened.error!r}") from happened.error
        self.world.happened.clear()

    def _complete(self, process: int, outcome: Any, answer: Any) -> None:
        del self.open[process], self.asked_of[process]
        self.recorder.complete(process, self.steps, outcome, answer)

    # ---- What must hold

    def check(self) -> None:
        """Check this moment."""
        for name in self.nodes:
            member = self.member(name)
            if member is not None:
                content = self.contents.setdefault(member.state.position, member.replica.digest())
                assert content == member.replica.digest(), (
                    f"step {self.steps}: {name} holds something else at {member.state.position} than another did"
                )
        if self.steps % 5 == 0:
            self._check_that_nothing_is_lost()

    def _check_that_nothing_is_lost(self) -> None:
        """Whoever the view service may promote has every acknowledged write on the disk."""
        stored = self.world.hosts[SERVICE].step_disk.durable.get(VIEWS_FILE, b"")
        records, _ = records_of(VIEWS_FILE, stored)
        if not records:
            return
        state = msgspec.msgpack.decode(records[-1], type=ServiceState)
        self.views_granted = state.view.number
        for name in (state.view.primary, *state.view.backups):
            done = requests_on(self.world.hosts[name].step_disk.durable.get(JOURNAL_FILE, b""))
            for request in self.acknowledged:
                assert request in done, (
                    f"step {self.steps}: {request} was acknowledged, and {name}, in view {state.view.number}, lacks it"
                )

    def member(self, name: NodeId) -> PrimaryBackup | None:
        """The replication of a node that is up."""
        node = self.world.hosts[name].node
        if node is None:
            return None
        return next(part for part in node.components if isinstance(part, PrimaryBackup))


_DONE: dict[bytes, frozenset[RequestId]] = {}


def requests_on(journal: bytes) -> frozenset[RequestId]:
    """The requests whose changes a replica's journal would bring back."""
    found = _DONE.get(journal)
    if found is None:
        if len(_DONE) > 1_000:
            _DONE.clear()
        decode = msgspec.msgpack.Decoder(Change | Known).decode
        found = _DONE[journal] = frozenset(decode(record).request for record in records_of("", journal)[0])
    return found
