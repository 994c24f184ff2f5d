"""How fast the simulated world is, beside SimPy itself: messages delivered a second, as ratios within one run.

Run it by `python -m benchmarks.simulation`; it prints medians of five rounds.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import simpy

from kvsim.core.history import Recorder
from kvsim.core.message import SECOND, Envelope, Failure, NodeId
from kvsim.core.operation import Found, Perform, Put, Read, RequestId
from kvsim.core.trace import Entry
from kvsim.sim.faults import Loss, install
from kvsim.sim.settings import WorldSettings
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design

ROUNDS = 5
TIMEOUTS = 1_000_000
PENDING = 100
"""Timeouts in the queue at once: about as many as a simulated cluster has."""
EXAMPLE_MESSAGES = 50_000
MESSAGES = 150_000
QUORUM = {"strategy": "quorum", "n": 3, "r": 2, "w": 2}
TOPOLOGY = {"strategy": "client_server", "coordinator": "frontend"}
FRONTENDS, CLIENTS, KEYS, VALUE_BYTES = 3, 5, 1_000, 100


def bare_timeouts() -> float:
    """Timeouts a second that stock SimPy gets through, each with one callback, which sets the next."""
    env = simpy.Environment()
    left = TIMEOUTS

    def happened(_: simpy.Event) -> None:
        nonlocal left
        left -= 1
        if left >= PENDING:
            env.timeout(1 + left % 7).callbacks.append(happened)

    begun = time.perf_counter()
    for number in range(PENDING):
        env.timeout(number).callbacks.append(happened)
    env.run()
    assert left == 0
    return TIMEOUTS / (time.perf_counter() - begun)


class Cable:
    """SimPy's own example of a latency between processes (its documentation, "Event Latency")."""

    def __init__(self, env: simpy.Environment, delay: float) -> None:
        self.env = env
        self.delay = delay
        self.store: simpy.Store = simpy.Store(env)

    def latency(self, value: str) -> Iterator[simpy.Event]:
        """One message on its way: a process of its own."""
        yield self.env.timeout(self.delay)
        self.store.put(value)

    def put(self, value: str) -> None:
        """Send."""
        self.env.process(self.latency(value))  # type: ignore[arg-type]

    def get(self) -> Any:
        """Receive."""
        return self.store.get()


def latency_example() -> float:
    """Messages a second that SimPy's latency example delivers."""
    env = simpy.Environment()
    cable = Cable(env, 10)
    got = 0

    def sender() -> Iterator[simpy.Event]:
        for _ in range(EXAMPLE_MESSAGES):
            yield env.timeout(5)
            cable.put(f"Sender sent this at {env.now}")

    def receiver() -> Iterator[simpy.Event]:
        nonlocal got
        while True:
            yield cable.get()
            got += 1

    env.process(sender())  # type: ignore[arg-type]
    env.process(receiver())  # type: ignore[arg-type]
    begun = time.perf_counter()
    env.run()
    assert got == EXAMPLE_MESSAGES
    return got / (time.perf_counter() - begun)


class Client:
    """A closed-loop client: half reads, half puts, each in the history. It asks again when it was answered."""

    def __init__(self, world: World, recorder: Recorder, number: int) -> None:
        self.world, self.recorder, self.number = world, recorder, number
        self.name = f"client-{number}"
        self.port = world.client(self.name, self.answered)
        self.doors = world.cluster.doors()
        self.chance = world.chance.stream(f"workload/{self.name}")
        self.asked = 0

    def ask(self) -> None:
        """Begin an operation."""
        self.asked = asked = self.asked + 1
        key = b"key-%d" % int(self.chance.uniform01() * KEYS)
        request = RequestId(self.name, asked)
        operation: Put | Read
        if asked % 2:
            value = b"%d-%d" % (self.number, asked)
            operation = Put(request, key, value.ljust(VALUE_BYTES, b"."))
            self.recorder.invoke(self.number, self.world.now(), "put", key, value)
        else:
            operation = Read(request, key)
            self.recorder.invoke(self.number, self.world.now(), "read", key)
        self.port.send(self.doors[asked % len(self.doors)], Envelope(Perform(operation), asked))

    def answered(self, door: NodeId, envelope: Envelope[Any]) -> None:
        """End it, and begin the next."""
        result = envelope.message
        value = result.value.partition(b".")[0] if isinstance(result, Found) else None
        self.recorder.complete(self.number, self.world.now(), "fail" if isinstance(result, Failure) else "ok", value)
        self.ask()


def quorum_run(
    *, durability: str = "memory", fault: bool = False, traced: bool = False, trace: IO[bytes] | None = None
) -> float:
    """Messages a second that the simulated quorum delivers between two addresses: what a node sends to itself is not
    counted. CPU time, fault hooks and history are on; with a fault in force each message is judged by it."""
    table = {"replication": QUORUM, "consistency": "eventual", "durability": durability, "topology": TOPOLOGY}
    design = read_design(table, "benchmark", 5)
    world = World(design, cluster_of(design, 5, FRONTENDS), WorldSettings(), seed=1)
    recorder = Recorder()
    if traced:
        world.trace_to(Entry.line)
    if trace is not None:
        world.observer.trace_lines_to(trace.write)
    world.start()
    install(world, [Loss(at_ns=0, share=0.0, lasts_ns=10_000 * SECOND)] if fault else [])
    for number in range(CLIENTS):
        client = Client(world, recorder, number)
        world.at(0, client.ask)
    world.run(SECOND // 10)
    before = world.counts.messages_delivered
    begun = time.perf_counter()
    while world.counts.messages_delivered - before < MESSAGES:
        world.run(world.now() + SECOND // 10)
    elapsed = time.perf_counter() - begun
    assert not world.failures, world.failures
    assert len(recorder.history) > 2 * MESSAGES // 10, (
        "every operation is in the history, and takes some eight messages"
    )
    assert all(event.type in ("invoke", "ok") for event in recorder.history.events)
    return (world.counts.messages_delivered - before) / elapsed


Run = Callable[[], float]
RUNS: dict[str, Run] = {
    "quorum N=3 R=2 W=2, 5 nodes, in memory": quorum_run,
    "the same, on disks": lambda: quorum_run(durability="disk"),
    "the same in memory, a fault judging each message": lambda: quorum_run(fault=True),
    "the same in memory, every event traced": lambda: quorum_run(traced=True),
}
YARDSTICKS: dict[str, Run] = {"bare SimPy timeouts": bare_timeouts, "SimPy's latency example": latency_example}
GOALS = {"bare SimPy timeouts": 0.15, "SimPy's latency example": 1.5}


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """The median rate of each run and yardstick, in messages or timeouts a second; they take turns in every round."""
    rates: dict[str, list[float]] = {name: [] for name in (*YARDSTICKS, *RUNS)}
    for _ in range(rounds):
        for name, run in (YARDSTICKS | RUNS).items():
            gc.collect()
            rates[name].append(run())
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> None:
    """Print rates and ratios."""
    rates = measure()
    for name in YARDSTICKS:
        print(f"{name}: {rates[name]:,.0f} a second")
    for name in RUNS:
        print(f"{name}: {rates[name]:,.0f} messages a second")
        for yardstick in YARDSTICKS:
            print(f"    {rates[name] / rates[yardstick]:.3f} × {yardstick} (goal {GOALS[yardstick]:g})")


if __name__ == "__main__":
    main()
