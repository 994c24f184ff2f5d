"""What a topology and a routing promise: any door takes any request, and it gets to a node that can serve it."""

from __future__ import annotations

from typing import cast

from kvsim.core.axes import Routing, Topology
from kvsim.core.message import Failure, NodeId
from kvsim.core.operation import AnyOperation, Found, Put, Read, Scan, Written
from kvsim.testing.by_hand import ByHand
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

NODES = 5
KEYS = tuple(b"key-%d" % number for number in range(10))


def _world(subject: Subject, frontends: int = 2) -> ByHand:
    return ByHand(subject.design(NODES), NODES, frontends)


def each_door_serves_each_key(subject: Subject) -> None:
    """A key written through one door is read through every other."""
    world = _world(subject)
    doors = world.cluster.doors()
    for number, key in enumerate(KEYS):
        door = doors[number % len(doors)]
        written = world.insist(Put, key, b"v", door=door)
        if not isinstance(written, Written):
            refuse(f"a put of {key.decode()} at {door} ends with {written}", "pass it on to a node that holds the key")
        for other in doors:
            found = world.value_of(key, b"v", other, in_a_row=3)
            if found != b"v":
                refuse(f"what was put at {door} reads {found!r} at {other}", "look for the key where it was put")


def frontends_are_counted(subject: Subject) -> None:
    """It says how many ServerFrontends there are when so many are asked for; without any, all nodes are doors."""
    for asked in (1, 2, 3):
        count: object = cast(type[Topology], subject.strategy).frontends(asked)
        if type(count) is not int or not 0 <= count <= asked:
            refuse(f"frontends({asked}) is {count!r}", "return a whole number from 0 to what was asked for")


def what_is_too_large_is_refused_at_the_door(subject: Subject) -> None:
    """A key or value beyond the design's limits is refused as too large, at every door, and nothing is stored."""
    world = _world(subject)
    limits = world.design.limits
    for door in world.cluster.doors():
        for key, value in ((b"k" * (limits.key_bytes + 1), b"v"), (b"k", b"v" * (limits.value_bytes + 1))):
            answer = world.ask(Put, key, value, door=door)
            if not (isinstance(answer, Failure) and answer.code == "too_large"):
                shown = answer if len(str(answer)) < 200 else type(answer).__name__
                refuse(
                    f"{door} answers {shown} to a key of {len(key):,} and a value of {len(value):,} bytes",
                    "self.site.design.limits.check(m.operation) comes first in a door",
                )


def doors_answer_when_nodes_are_down(subject: Subject) -> None:
    """While any one node is down reads find another replica, and when all that store are down every operation still
    ends."""
    for dead in _world(subject).cluster.data:
        world = _world(subject)
        for key in KEYS:
            world.insist(Put, key, b"v")
        world.crash(dead)
        for key in KEYS:
            found = world.ask(Read, key)
            if not isinstance(found, Found):
                refuse(f"while {dead} is down, a read of {key.decode()} ends with {found}", "try the next node found")
    _all_down(_world(subject))


def _all_down(world: ByHand) -> None:
    """Every node that stores is down but the doors that are among them."""
    doors = world.cluster.doors()
    world.crash(*(node for node in world.cluster.data if node != doors[0]))
    for key in KEYS[:3]:
        for kind, *fields in ((Put, key, b"v"), (Read, key)):
            answer = world.ask(kind, *fields, door=doors[0])
            if kind is Put and isinstance(answer, Written):
                refuse("a put is acknowledged while all but the door are down", "answer what a replica answered")


def routes_lead_to_members(subject: Subject) -> None:
    """It finds different members for every operation, the same ones whenever it is asked."""
    world = _world(subject)
    members = world.cluster.data
    for door in world.cluster.doors():
        for number, key in enumerate(KEYS):
            for operation in (world.operation(Put, key, b"v"), world.operation(Read, key), world.operation(Scan, key)):
                found: object = _found(world, door, operation)
                where = f"at {door} find({type(operation).__name__.lower()} {key.decode()}) is {found!r}"
                if not isinstance(found, tuple) or not found:
                    refuse(where, "return a tuple with at least one node")
                if len(set(found)) < len(found) or any(node not in members for node in found):
                    refuse(f"{where}, which are not different members", "choose among self.site.placement.members")
                if number < 2 and _found(world, door, operation) != found:
                    refuse(f"{where}, and other nodes the next time", "compute it from the operation and the members")


def the_first_found_can_coordinate_writes(subject: Subject) -> None:
    """The first node that it finds for a write holds the key, in a design where replicas coordinate."""
    world = _world(subject)
    for door in world.cluster.doors():
        site = _router(world, door).site
        for key in KEYS:
            found = _found(world, door, world.operation(Put, key, b"v"))
            replicas = site.placement.replicas(key)
            if found[0] not in replicas:
                refuse(
                    f"at {door} a write of {key.decode()} is sent to {found[0]} first; its replicas are {replicas}",
                    "begin with the replicas: self.site.placement.replicas(op.key)",
                )


def _router(world: ByHand, door: NodeId) -> Routing:
    """The door's routing, which topologies keep under this name."""
    for component in world.node(door).components:
        routing = getattr(component, "routing", None)
        if isinstance(routing, Routing):
            return routing
    return refuse(f"{door} has no component with a routing", "keep the routing that door() is given")


def _found(world: ByHand, door: NodeId, operation: AnyOperation) -> tuple[NodeId, ...]:
    """What the door's routing finds, however long it takes."""
    task = world.world.hosts[door].spawn(_router(world, door).find(operation))
    for _ in range(100):
        if task.done:
            break
        world.wait(10)
    if not task.done:
        refuse(f"at {door} find() does not end", "end every wait at a deadline")
    if task.error is not None:
        raise task.error
    return cast(tuple[NodeId, ...], task.value)
