"""Random schedules: clients, losses, crashes and clocks on a world that is stepped by hand, until in the end all heals.

One seed is one schedule. Everything that may happen next is a choice, so orders come up that no timing would produce.
"""

from __future__ import annotations

from kvsim.core.chance import Chance
from kvsim.core.history import History, Recorder
from kvsim.core.host import Host
from kvsim.core.message import MILLISECOND, Envelope, Failure, Message, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import (
    ERRORS,
    AnyOperation,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Perform,
    Put,
    Read,
    Remove,
    RequestId,
    Update,
)
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import DiskWork, Failed, InFlight, Pending, Sent, Stepper
from kvsim.strategies.catalogue import assemble, cluster_of, read_design
from tests.strategies.raft.invariants import Invariants, raft_of

KEYS = (b"x", b"y")


class Client:
    """Asks one thing after the other, of any server; what stays unanswered it may ask again under the same number."""

    def __init__(self, name: str, process: int, chance: Chance, recorder: Recorder) -> None:
        self.name, self.process, self.chance, self.recorder = name, process, chance, recorder
        self.number = 0
        self.open: AnyOperation | None = None
        self.is_waiting = False
        self.may_have_happened = False
        self.seen: dict[bytes, bytes | None] = {}

    def next(self, now_ns: int) -> AnyOperation:
        """Begin something new."""
        chance, key = self.chance, self.chance.pick(KEYS)
        self.number += 1
        request = RequestId(self.name, self.number)
        token = f"{self.name}-{self.number}".encode()
        kind = chance.pick((Put, Put, Read, Read, Create, Update, Delete, Remove, CompareAndSet))
        expected = self.seen.get(key)
        operation: AnyOperation
        if kind is CompareAndSet:
            operation = CompareAndSet(request, key, token, expected)
        elif kind in (Put, Create, Update):
            operation = kind(request, key, token)
        else:
            operation = kind(request, key)
        name = str(kind.__struct_config__.tag)
        self.recorder.invoke(
            self.process,
            now_ns,
            name,
            key,
            getattr(operation, "value", None),
            expected if name == "cas" else None,  # type: ignore[arg-type]
        )
        self.open, self.may_have_happened = operation, False
        return operation

    def told(self, answer: Message, now_ns: int) -> None:
        """An answer came."""
        assert self.open is not None
        self.is_waiting = False
        if isinstance(answer, Failure):
            if not ERRORS[answer.code].certain:
                self.may_have_happened = True
            elif not (ERRORS[answer.code].retryable and self.may_have_happened):
                self._end("fail", now_ns)
            return
        if isinstance(self.open, Read):
            value = answer.value if isinstance(answer, Found) else None
            self.seen[self.open.key] = value
            self._end("ok", now_ns, value)
        else:
            self._end("ok", now_ns)

    def give_up(self, now_ns: int, processes: int) -> None:
        """Nobody will ever know; the client goes on as another process."""
        self._end("info", now_ns)
        self.process += processes

    def _end(self, outcome: str, now_ns: int, value: bytes | None = None) -> None:
        self.recorder.complete(self.process, now_ns, outcome, value)  # type: ignore[arg-type]
        self.open, self.is_waiting = None, False


class Schedule:
    """One run: `steps` choices with faults, then peace."""

    def __init__(self, seed: int, servers: int = 3, clients: int = 3, **settings: object) -> None:
        table = {"topology": "peer_to_peer", "replication": {"strategy": "raft", **settings}}
        design = read_design(table, "schedule", servers)
        self.cluster = cluster_of(design, servers)
        self.chance = Chance(seed, "schedule")
        self.recorder = Recorder()
        self.clients = [
            Client(f"c{number}", number, self.chance.stream(f"c{number}"), self.recorder) for number in range(clients)
        ]

        def build(host: Host, scope: Scope) -> Node:
            return assemble(design, self.cluster, host, scope)

        names = tuple(client.name for client in self.clients)
        self.world = Stepper(self.cluster.data, build, clients=names, seed=seed)
        self.invariants = Invariants(servers)
        self.now = 0
        self.asked: dict[int, tuple[Client, RequestId]] = {}
        self.numbers = 0

    def run(self, steps: int) -> History:
        """All of it; raises AssertionError where a property breaks."""
        for _ in range(steps):
            self._something()
            self._look()
        self._heal()
        return self.recorder.history

    # ---- With faults

    def _something(self) -> None:
        chance, world = self.chance, self.world
        dice = chance.below(1000)
        if dice < 40:
            for _ in range(chance.pick((1, 1, 3))):
                self._client_acts(chance.pick(self.clients))
        elif dice < 46:
            self._crash_or_restart()
        elif dice < 52:
            one, other = chance.pick(self.cluster.data), chance.pick(self.cluster.data)
            if one != other:
                world.cut(one, other)
                if chance.happens(0.3):
                    world.lose_peer(one, other)
        elif dice < 60:
            world.heal()
        elif dice < 66:
            leading = self._leading()
            self._one_is_cut_off(chance.pick(leading if leading and chance.happens(0.7) else self.cluster.data))
        elif dice < 100:
            node = chance.pick(self.cluster.data)
            world.advance(chance.between(1, 120) * MILLISECOND, [node] if chance.happens(0.3) else ())
        else:
            self._one_choice()

    def _one_choice(self) -> None:
        choices = [choice for choice in self.world.choices() if not isinstance(choice, Pending)]
        if not choices:
            self.world.advance(10 * MILLISECOND)
            return
        choice = choices[0] if self.chance.happens(0.5) else self.chance.pick(choices)
        if isinstance(choice, InFlight) and self.chance.happens(0.02):
            self.world.drop(choice)
        elif isinstance(choice, (InFlight, DiskWork)):
            if isinstance(choice, DiskWork):  # a disk keeps the order of issue
                choice = next(w for w in self.world.works.values() if w.node == choice.node)
            self.world.run(choice)

    def _crash_or_restart(self) -> None:
        node = self.chance.pick(self.cluster.data)
        if self.world.hosts[node].node is None:
            self.world.restart(node)
        else:
            self.world.crash(node)

    def _one_is_cut_off(self, node: NodeId) -> None:
        for other in self.cluster.data:
            if other != node:
                self.world.cut(node, other)

    # ---- Clients

    def _client_acts(self, client: Client) -> None:
        if client.is_waiting:
            if self.chance.happens(0.9):
                return
            client.is_waiting, client.may_have_happened = False, True  # its patience is at an end
        if client.open is not None and self.chance.happens(0.2):
            client.give_up(self.now, len(self.clients))
            return
        operation = client.open or client.next(self.now)
        leading = self._leading()
        self._ask(
            client, operation, self.chance.pick(leading if leading and self.chance.happens(0.7) else self.cluster.data)
        )

    def _leading(self) -> list[NodeId]:
        hosts = self.world.hosts.items()
        return [name for name, host in hosts if host.node is not None and raft_of(host.node).state.role == "leader"]

    def _ask(self, client: Client, operation: AnyOperation, node: NodeId) -> None:
        if self.world.hosts[node].node is None:
            return
        self.numbers += 1
        number = self.numbers
        self.asked[number] = (client, operation.request)
        client.is_waiting = True
        # One hop behind it: the server that is asked answers for itself, and does not pass the request on.
        self.world.perform(client.name, node, Envelope(Perform(operation, 1), number))
        self._look()

    def _look(self) -> None:
        """Hand the clients their answers, and check that everything is as it must be."""
        self.now += 1
        for happening in self.world.happened:
            if isinstance(happening, Failed):
                raise happening.error
            if isinstance(happening, Sent) and happening.answers in self.asked and happening.to in self.world.clients:
                client, request = self.asked.pop(happening.answers)
                if client.open is not None and client.open.request == request:
                    client.told(happening.message, self.now)
        self.world.happened.clear()
        nodes = {name: host.node for name, host in self.world.hosts.items()}
        self.invariants.check(nodes, {name: host.step_disk.durable for name, host in self.world.hosts.items()})

    # ---- Peace

    def _heal(self) -> None:
        """All links and servers are well: a leader must come, and every key be read and written."""
        self.world.heal()
        for node, host in self.world.hosts.items():
            if host.node is None:
                self.world.restart(node)
        for client in self.clients:
            if client.open is not None:
                client.give_up(self.now, len(self.clients))
        client = self.clients[0]
        left = [Read(RequestId("last", n), key) for n, key in enumerate(KEYS, 1)]
        for _ in range(400):
            self._peaceful_moment()
            if client.open is None and left:
                self.recorder.invoke(client.process, self.now, "read", left[0].key)
                client.open = left.pop(0)
            elif client.open is not None and not client.is_waiting:
                if leading := self._leading():
                    self._ask(client, client.open, leading[-1])
            elif client.open is None:
                break
        assert client.open is None, "progress: all is well again, and yet a read is not answered"
        for _ in range(40):
            self._peaceful_moment()
        digests = {name: raft_of(host.node).replica.digest() for name, host in self.world.hosts.items() if host.node}
        assert len({*digests.values()}) == 1, f"all is well again, and yet the replicas differ: {digests}"

    def _peaceful_moment(self) -> None:
        for _ in range(500):
            choice = next((c for c in self.world.choices() if not isinstance(c, Pending)), None)
            if choice is None:
                break
            self.world.run(choice)
            self._look()
        self.world.advance(10 * MILLISECOND)
        self._look()
