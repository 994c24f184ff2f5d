"""A Raft group on a world that is stepped by hand, in the words of the paper's sentences."""

from __future__ import annotations

from typing import Any

from kvsim.core.design import Cluster
from kvsim.core.host import Host
from kvsim.core.message import MILLISECOND, Envelope, Message, NodeId
from kvsim.core.node import Node
from kvsim.core.operation import AnyOperation, Perform, Put, Read, RequestId
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Failed, InFlight, Sent, Stepper
from kvsim.strategies.catalogue import assemble, read_design
from kvsim.strategies.replication.raft.messages import GROUP, AppendEntries, LogEntry, RequestVote
from kvsim.strategies.replication.raft.raft import Raft
from kvsim.strategies.replication.raft.state import RaftState
from tests.strategies.raft.invariants import raft_of

CLIENT = "client"


class Group:
    """Servers, one client that may ask many things at once, and outsiders that speak Raft by hand."""

    def __init__(
        self, nodes: str = "a b c", *, pre_vote: bool = False, outsiders: tuple[NodeId, ...] = (), **settings: Any
    ) -> None:
        # Pre-votes are off but where they matter: the paper's elections are shorter to tell.
        names = tuple(nodes.split())
        axes = {axis: settings.pop(axis) for axis in ("consistency", "storage") if axis in settings}
        replication = {"strategy": "raft", "pre_vote": pre_vote, **settings}
        table = {"topology": "peer_to_peer", "replication": replication, **axes}
        design = read_design(table, "group", len(names))

        def build(host: Host, scope: Scope) -> Node:
            return assemble(design, Cluster(data=names), host, scope)

        real = tuple(name for name in names if name not in outsiders)
        self.world = Stepper(real, build, clients=(CLIENT, *outsiders))
        self.sent: list[Sent] = []
        self._number = 0

    # ---- What one sees

    def raft(self, node: NodeId) -> Raft:
        """The component."""
        program = self.world.hosts[node].node
        assert program is not None, f"{node} is down"
        return raft_of(program)

    def state(self, node: NodeId) -> RaftState:
        """The state of figure 2."""
        return self.raft(node).state

    def log(self, node: NodeId) -> list[tuple[int, bytes | None]]:
        """Term and value of each entry; no value: nothing is done."""
        return [(e.term, getattr(e.operation, "value", None)) for e in self.state(node).log]

    def leads(self, node: NodeId) -> bool:
        """Whether it leads."""
        return self.state(node).role == "leader"

    def note(self) -> None:
        """Remember what was sent; a node that failed fails the test."""
        for happening in self.world.happened:
            if isinstance(happening, Failed):
                raise happening.error
            if isinstance(happening, Sent):
                self.sent.append(happening)
        self.world.happened.clear()

    def answer(self, number: int, to: NodeId = CLIENT) -> Message | None:
        """What was answered to this question, if it was."""
        self.note()
        return next((s.message for s in self.sent if s.to == to and s.answers == number), None)

    def messages(self, kind: type[Message], sender: NodeId, to: NodeId) -> list[Any]:
        """All that one sent to another of this kind."""
        self.note()
        return [s.message for s in self.sent if (s.sender, s.to) == (sender, to) and isinstance(s.message, kind)]

    # ---- What one does

    def ask(self, node: NodeId, operation: AnyOperation) -> int:
        """A request that this server answers itself; gives the number of its answer."""
        return self.say(node, CLIENT, Perform(operation, 1))

    def put(self, node: NodeId, value: bytes, request: int = 0) -> int:
        """Write the key x."""
        return self.ask(node, Put(RequestId("c", request or self._number + 1), b"x", value))

    def get(self, node: NodeId) -> int:
        """Read the key x."""
        return self.ask(node, Read(RequestId("c", self._number + 1), b"x"))

    def say(self, node: NodeId, sender: NodeId, message: Message) -> int:
        """A message from outside arrives; gives the number of its answer."""
        self._number += 1
        self.world.perform(sender, node, Envelope(message, self._number))
        return self._number

    def append(
        self, node: NodeId, leader: NodeId, term: int, prev: tuple[int, int], *entries: LogEntry, commit: int = 0
    ) -> int:
        """An outsider that leads sends AppendEntries."""
        return self.say(node, leader, AppendEntries(GROUP, term, *prev, entries, commit))

    def request_vote(self, node: NodeId, candidate: NodeId, term: int, last: tuple[int, int] = (0, 0)) -> int:
        """An outsider that stands asks for a vote; `last` is index and term of its last entry."""
        return self.say(node, candidate, RequestVote(GROUP, term, *last))

    def stand(self, node: NodeId) -> None:
        """Let time pass on this node alone until it stands for election."""
        term = self.state(node).current_term
        for _ in range(2_000):
            if self.state(node).role == "pre_candidate" or self.state(node).current_term > term:
                return
            self.world.advance(MILLISECOND, [node])
        raise AssertionError(f"{node} does not stand")

    def elect(self, node: NodeId, *among: NodeId) -> None:
        """Let it stand and win among these (all)."""
        for _ in range(5):
            self.stand(node)
            self.settle(*(among or tuple(self.world.hosts)))
            if self.leads(node):
                return
        raise AssertionError(f"{node} is not elected")

    def elect_quietly(self, node: NodeId, *voters: NodeId) -> None:
        """Let it stand and win by these votes; what it then sends is still on its way."""
        self.stand(node)
        self.sync(node)
        for voter in voters:
            self.deliver(node, voter)
            self.sync(voter)
        for voter in voters:
            self.deliver(voter, node)
        assert self.leads(node), f"{node} is not elected"

    def settle(self, *nodes: NodeId) -> None:
        """Deliver to them and let their disks work until nothing is left."""
        among = nodes or tuple(self.world.hosts)
        while True:
            flights = [f for f in self.world.flights.values() if f.to in among]
            works = [w for w in self.world.works.values() if w.node in among]
            if not flights and not works:
                self.note()
                return
            self.world.run(min([*flights, *works], key=lambda choice: choice.number))

    def deliver(self, sender: NodeId, to: NodeId) -> None:
        """What is on its way from one to the other arrives."""
        for flight in self._flights(sender, to):
            self.world.run(flight)
        self.note()

    def lose(self, sender: NodeId, *receivers: NodeId) -> None:
        """What is on its way from one to the others is lost."""
        for to in receivers:
            for flight in self._flights(sender, to):
                self.world.drop(flight)

    def sync(self, node: NodeId) -> None:
        """Its disk does all that it has begun, and what that leads to."""
        while works := [w for w in self.world.works.values() if w.node == node]:
            self.world.run(works[0])
        self.note()

    def heartbeat(self, leader: NodeId) -> None:
        """Let time pass on this leader alone until it has sent heartbeats."""
        self.world.advance(self.raft(leader).settings.heartbeat_ns, [leader])

    def _flights(self, sender: NodeId, to: NodeId) -> list[InFlight]:
        return [f for f in self.world.flights.values() if (f.sender, f.to) == (sender, to)]
