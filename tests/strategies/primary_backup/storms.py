"""Storms: a simulated primary-backup cluster under crashes, cuts and losses, with clients at every node."""

from __future__ import annotations

from typing import Any

from kvsim.core.chance import Chance
from kvsim.core.history import History, Recorder
from kvsim.core.message import MILLISECOND, SECOND, Failure
from kvsim.core.operation import (
    ERRORS,
    AnyOperation,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Put,
    Read,
    Remove,
    RequestId,
    Update,
)
from kvsim.lab.sim_driver import SimDriver
from kvsim.sim.faults import Crash, Fault, Loss, Partition, install
from kvsim.sim.settings import read_world
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design

KEYS = (b"x", b"y", b"z")
STORM_NS = 3 * SECOND
CALM_NS = 3 * SECOND
TIMEOUT_NS = 1_500 * MILLISECOND
WRITES = (Create, Update, Put, Put, Delete, Remove, CompareAndSet)


def storm(
    seed: int, replication: dict[str, Any], nodes: int = 3, clients: int = 6, wire: bool = False, **design: Any
) -> tuple[World, History]:
    """Run a storm and then a calm, in which every key is read; the world as it ended, and the history."""
    table = {
        "topology": "peer_to_peer",
        "replication": {"strategy": "primary_backup", **replication},
        "timeout": "1s",
        **design,
    }
    read = read_design(table, "storm", nodes)
    cluster = cluster_of(read, nodes)
    chance = Chance(seed, "storm")
    world = World(
        read, cluster, read_world(_world(chance.stream("world"), cluster.everyone()), "storm"), seed, wire=wire
    )
    world.start()
    install(world, _faults(chance.stream("faults"), cluster.data), 300 * MILLISECOND)
    recorder = Recorder()
    crowd = Crowd(world, recorder, chance.stream("clients"))
    for number in range(clients):
        world.at(0, lambda number=number: crowd.go_on(number))
    world.run(STORM_NS + CALM_NS)
    crowd.read_all()
    world.run(STORM_NS + CALM_NS + 2 * TIMEOUT_NS)
    assert world.failures == [], f"a node broke: {world.failures}"
    return world, recorder.history


class Crowd:
    """Clients that each do one operation after the other, at one node after the other, until the storm is over."""

    def __init__(self, world: World, recorder: Recorder, chance: Chance) -> None:
        self.world, self.recorder, self.chance = world, recorder, chance
        self.driver = SimDriver(world)
        self.processes = 0
        self.numbers = 0
        self.final_reads = 0

    def go_on(self, client: int, process: int = -1) -> None:
        """The next operation of a client."""
        if self.world.now() >= STORM_NS + CALM_NS // 2:
            return
        key = self.chance.pick(KEYS)
        self.numbers += 1
        request = RequestId(f"client-{client}", self.numbers)
        operation: AnyOperation = Read(request, key) if self.chance.happens(0.5) else self._write(request, key)
        if process < 0:
            process = self._new_process()
        pause_ns = round(self.chance.exponential(8 * MILLISECOND))

        def ended(outcome: str) -> None:
            following = -1 if outcome == "info" else process
            self.driver.after(pause_ns, lambda: self.go_on(client, following))

        self._perform(f"client-{client}", process, operation, ended)

    def read_all(self) -> None:
        """Read every key once."""
        for key in KEYS:
            self.numbers += 1
            reader = f"reader-{key.decode()}"

            def ended(outcome: str) -> None:
                self.final_reads += outcome == "ok"

            self._perform(reader, self._new_process(), Read(RequestId(reader, self.numbers), key), ended)

    def _write(self, request: RequestId, key: bytes) -> AnyOperation:
        kind = self.chance.pick(WRITES)
        value = f"v{request.number}".encode()
        if kind is CompareAndSet:
            return CompareAndSet(request, key, value, expected=None)
        return kind(request, key) if kind in (Delete, Remove) else kind(request, key, value)

    def _perform(self, client: str, process: int, operation: AnyOperation, ended: Any) -> None:
        tag = str(operation.__struct_config__.tag)
        value, expected = getattr(operation, "value", None), getattr(operation, "expected", None)
        self.recorder.invoke(process, self.driver.now(), tag, operation.key, value, expected)

        def finish(outcome: str, result: Any) -> None:
            deadline.cancel()
            answer = result.value if isinstance(result, Found) else None
            self.recorder.complete(process, self.driver.now(), outcome, answer)
            ended(outcome)

        def answered(answer: Any) -> None:
            if isinstance(answer, Failure):
                finish("fail" if ERRORS[answer.code].certain else "info", None)
            else:
                finish("ok", answer)

        def late() -> None:
            forget()
            finish("info", None)

        door = self.chance.pick(self.driver.doors())
        deadline = self.driver.after(TIMEOUT_NS, late)
        forget = self.driver.perform(client, door, operation, answered)

    def _new_process(self) -> int:
        self.processes += 1
        return self.processes


def _world(chance: Chance, nodes: tuple[str, ...]) -> dict[str, Any]:
    """Clocks as wrong as the design's bound allows, slow disks, and in some worlds streams without an order."""
    return {
        "network": {"order": "none" if chance.happens(0.3) else "fifo", "loss": chance.pick([0.0, 0.01])},
        "machines": {
            "disk": {"sync": chance.pick(["200us", "5ms"]), "torn": True},
            "clocks": [{"node": node, "drift_ppm": chance.between(-10_000, 10_000)} for node in nodes],
        },
    }


def _faults(chance: Chance, data: tuple[str, ...]) -> list[Fault]:
    """Crashes one after the other, and beside them cuts and losses one after the other."""
    faults: list[Fault] = []
    at_ns = 0
    while at_ns < STORM_NS - SECOND:
        lasts_ns = chance.between(20, 500) * MILLISECOND
        node = chance.pick(["primary", "primary", chance.pick(data), "view-1"])
        faults.append(Crash(at_ns=at_ns, node=node, lasts_ns=lasts_ns))
        at_ns += lasts_ns + chance.between(0, 600) * MILLISECOND
    at_ns = 0
    while at_ns < STORM_NS - SECOND:
        lasts_ns = chance.between(50, 800) * MILLISECOND
        faults.append(_network_fault(chance, data, at_ns, lasts_ns))
        at_ns += lasts_ns + chance.between(0, 400) * MILLISECOND
    return faults


def _network_fault(chance: Chance, data: tuple[str, ...], at_ns: int, lasts_ns: int) -> Fault:
    if chance.happens(0.2):
        return Loss(at_ns=at_ns, lasts_ns=lasts_ns, share=0.3)
    if chance.happens(0.2):
        one, other = chance.pick(data), chance.pick((*data, "view-1"))
        if one != other:
            return Partition(at_ns=at_ns, lasts_ns=lasts_ns, sides=((one,), (other,)))
    if chance.happens(0.5):
        return Partition(at_ns=at_ns, lasts_ns=lasts_ns, sides=(("primary",),))
    sides = list(data)
    chance.shuffle(sides)
    cut = chance.between(1, len(sides) - 1)
    with_service = ("view-1", *sides[cut:])
    return Partition(at_ns=at_ns, lasts_ns=lasts_ns, sides=(tuple(sides[:cut]), with_service))
