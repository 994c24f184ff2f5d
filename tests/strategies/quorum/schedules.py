"""Random schedules of a stepped world: clients, lost messages, crashes, cuts and clocks; one seed is one schedule.

Any node is asked; a client that is not answered gives up, or asks the same coordinator again under the same number as
long as that one has not crashed, which is what quorum replication promises to apply once.
"""

from __future__ import annotations

from typing import Any

from kvsim.core.chance import Chance
from kvsim.core.history import History, Recorder
from kvsim.core.host import Host
from kvsim.core.message import MILLISECOND, Envelope, Failure, Message, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import ERRORS, AnyOperation, Found, Perform, Put, Read, Remove, RequestId
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import DiskWork, Failed, InFlight, Pending, Sent, Stepper
from kvsim.strategies.catalogue import assemble, cluster_of, read_design

KEY = b"x"


class Client:
    """Asks one thing after the other."""

    def __init__(self, name: str, process: int) -> None:
        self.name, self.process = name, process
        self.number = 0
        self.open: AnyOperation | None = None
        self.coordinator: tuple[NodeId, int] = ("", 0)
        self.may_have_happened = False


class Schedule:
    """One run of a design over some nodes."""

    def __init__(self, seed: int, table: dict[str, Any], nodes: int, clients: int = 3) -> None:
        design = read_design({"topology": "peer_to_peer", "timeout": "200ms", **table}, "schedule", nodes)
        self.cluster = cluster_of(design, nodes)
        self.chance = Chance(seed, "schedule")
        self.recorder = Recorder()
        self.clients = [Client(f"c{number}", number) for number in range(clients)]

        def build(host: Host, scope: Scope) -> Node:
            return assemble(design, self.cluster, host, scope)

        self.world = Stepper(self.cluster.data, build, tuple(client.name for client in self.clients), seed)
        self.now = 0
        self.asked: dict[int, tuple[Client, RequestId]] = {}
        self.numbers = 0
        self.answered = 0

    def run(self, steps: int) -> History:
        """So many things that happen, and then the end: what is open stays unknown."""
        for _ in range(steps):
            self._something()
            self._look()
        return self.recorder.history

    def _something(self) -> None:
        chance, world, data = self.chance, self.world, self.cluster.data
        dice = chance.below(1_000)
        if dice >= 80 and dice < 125 and self.now // 100 % 2:
            dice = 1_000  # a calm after each storm, lest nothing be answered
        if dice < 80:
            self._client_acts(chance.pick(self.clients))
        elif dice < 95:
            node = chance.pick(data)
            if world.hosts[node].node is None:
                world.restart(node)
            else:
                world.crash(node)
        elif dice < 99:
            one, other = chance.pick(data), chance.pick(data)
            if one != other:
                world.cut(one, other)
                if chance.happens(0.5):
                    world.lose_peer(one, other)
        elif dice < 115:
            world.heal()
            for node, host in world.hosts.items():
                if host.node is None and chance.happens(0.7):
                    world.restart(node)
        elif dice < 125:
            world.advance(chance.between(1, 150) * MILLISECOND, [chance.pick(data)] if chance.happens(0.3) else ())
        else:
            self._one_choice()

    def _one_choice(self) -> None:
        choices = [choice for choice in self.world.choices() if not isinstance(choice, Pending)]
        if not choices:
            return
        choice = self.chance.pick(choices)
        if isinstance(choice, InFlight) and self.chance.happens(0.03):
            self.world.drop(choice)
            return
        if isinstance(choice, DiskWork) and self.chance.happens(0.7):
            return  # disks are slow, so that crashes find something to take
        self.world.run(choice)

    def _client_acts(self, client: Client) -> None:
        if client.open is None:
            client.number += 1
            self._begin(client)
        elif self.chance.happens(0.2):
            self._again_or_give_up(client)

    def _begin(self, client: Client) -> None:
        node = self.chance.pick(self.cluster.data)
        if self.world.hosts[node].node is None:
            return
        request = RequestId(client.name, client.number)
        kind = self.chance.pick((Put, Put, Read, Read, Read, Remove))
        token = f"{client.name}-{client.number}".encode()
        operation: AnyOperation = Put(request, KEY, token) if kind is Put else kind(request, KEY)
        name: Any = str(kind.__struct_config__.tag)
        self.recorder.invoke(client.process, self.now, name, KEY, token if kind is Put else None)
        client.open, client.may_have_happened = operation, False
        client.coordinator = (node, self.world.hosts[node].incarnation)
        self._ask(client, operation)

    def _again_or_give_up(self, client: Client) -> None:
        node, incarnation = client.coordinator
        host = self.world.hosts[node]
        if client.open is not None and host.node and host.incarnation == incarnation and self.chance.happens(0.5):
            client.may_have_happened = True
            self._ask(client, client.open)
        else:
            self._end(client, "info")

    def _ask(self, client: Client, operation: AnyOperation) -> None:
        self.numbers += 1
        self.asked[self.numbers] = (client, operation.request)
        self.world.perform(client.name, client.coordinator[0], Envelope(Perform(operation, 1), self.numbers))

    def _look(self) -> None:
        """Hand the clients their answers."""
        self.now += 1
        for happening in self.world.happened:
            if isinstance(happening, Failed):
                raise happening.error
            if isinstance(happening, Sent) and happening.answers in self.asked and happening.to in self.world.clients:
                client, request = self.asked.pop(happening.answers)
                if client.open is not None and client.open.request == request:
                    self._told(client, happening.message)
        self.world.happened.clear()

    def _told(self, client: Client, answer: Message) -> None:
        if not isinstance(answer, Failure):
            self.answered += 1
            self._end(client, "ok", answer.value if isinstance(answer, Found) else None)
        elif not ERRORS[answer.code].certain:
            self._end(client, "info")
        elif isinstance(client.open, Read) or not client.may_have_happened:
            self._end(client, "fail")
        else:
            self._end(client, "info")  # this attempt did nothing, and of the first one nobody knows

    def _end(self, client: Client, outcome: Any, value: bytes | None = None) -> None:
        self.recorder.complete(client.process, self.now, outcome, value)
        client.open = None
        if outcome == "info":
            client.process += len(self.clients)
