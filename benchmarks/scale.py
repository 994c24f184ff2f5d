"""How the simulated world bears many nodes: the memory and time of 10,000, and what a message takes as nodes grow.

Run it by `python -m benchmarks.scale`. Times are those of the CPU.
"""

from __future__ import annotations

import gc
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.simulation import Client
from kvsim.core.history import Recorder
from kvsim.core.message import SECOND, Envelope, Failure, NodeId
from kvsim.core.operation import Perform, Put, RequestId
from kvsim.sim.settings import WorldSettings
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design

NODES, KEYS, VALUE_BYTES, CLIENTS = 10_000, 100_000, 100, 10
COORDINATORS = ("data", "frontend")
GOAL_MIB = 2_048
SIZES, MESSAGES, ROUNDS = (10, 100, 1_000), 150_000, 5
GOAL_GROWTH = 1.5


class Loaded(msgspec.Struct):
    """What a large world took."""

    peak_mib: float
    build_s: float
    start_s: float
    write_s: float
    messages: int
    links: int
    keys: int
    """Keys on all nodes together."""


def world_of(nodes: int, coordinator: str = "data") -> World:
    """A world with the usual network, CPUs and disks, one frontend and so many data nodes."""
    table = {
        "membership": "fixed",
        "partitioning": "consistent_hashing",
        "replication": {"strategy": "quorum", "n": 3, "r": 2, "w": 2},
        "topology": {"strategy": "client_server", "coordinator": coordinator},
    }
    design = read_design(table, "benchmark", nodes)
    return World(design, cluster_of(design, nodes), WorldSettings(), seed=1)


class Loader:
    """A client that writes one key after another: its share of all."""

    def __init__(self, world: World, number: int) -> None:
        self.left = iter(range(number, KEYS, CLIENTS))
        self.port = world.client(f"client-{number}", self.answered)
        self.door = world.cluster.doors()[0]
        self.written = 0

    def write(self) -> None:
        """Write the next key, if there is one."""
        key = next(self.left, None)
        if key is not None:
            put = Put(RequestId(self.port.id, key + 1), b"key-%d" % key, (b"%d" % key).ljust(VALUE_BYTES, b"."))
            self.port.send(self.door, Envelope(Perform(put), key + 1))

    def answered(self, door: NodeId, envelope: Envelope[Any]) -> None:
        """Go on."""
        assert not isinstance(envelope.message, Failure), envelope.message
        self.written += 1
        self.write()


def load(coordinator: str) -> Loaded:
    """Write all keys into the large world, through the protocol; in a process of its own, since memory counts."""
    begun = time.process_time()
    world = world_of(NODES, coordinator)
    built = time.process_time()
    world.start()
    started = time.process_time()
    loaders = [Loader(world, number) for number in range(CLIENTS)]
    for loader in loaders:
        world.at(0, loader.write)
    while sum(loader.written for loader in loaders) < KEYS:
        world.run(world.now() + SECOND // 10)
    world.run(world.now() + SECOND)  # W of the N have answered; the others' part of the work comes too
    ended = time.process_time()
    assert not world.failures, world.failures
    kept = sum(b"key-" in bytes(file.content) for host in world.hosts.values() for file in host.storage.files.values())
    assert kept > 0, "the keys are on disks"
    return Loaded(
        peak_mib(),
        built - begun,
        started - built,
        ended - started,
        world.counts.messages_delivered,
        sum(1 for _ in world.network.all_links()),
        sum(len(replica_of(world, node).records) for node in world.storing),
    )


def replica_of(world: World, node: NodeId) -> Any:
    """A node's data."""
    components = world.hosts[node].node.components  # type: ignore[union-attr]
    return next(component.replica for component in components if hasattr(component, "replica"))


def peak_mib() -> float:
    """The most memory that this process has had. Linux's `ru_maxrss` would count the parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_048_576


def growth_run(nodes: int) -> tuple[float, float]:
    """Seconds of CPU a delivered message while all keys are read and written for the first time, when links are made,
    and afterwards; half reads, half puts of 1,000 keys."""
    world = world_of(nodes)
    recorder = Recorder()
    world.start()
    gc.collect()
    for number in range(CLIENTS):
        world.at(0, Client(world, recorder, number).ask)
    first = _time_of(world, MESSAGES // 4)
    then = _time_of(world, MESSAGES)
    assert not world.failures, world.failures
    assert all(event.type in ("invoke", "ok") for event in recorder.history.events)
    return first, then


def _time_of(world: World, messages: int) -> float:
    """Seconds of CPU a message, over this many and the rest of a tenth of a second."""
    before, begun = world.counts.messages_delivered, time.process_time()
    while (delivered := world.counts.messages_delivered - before) < messages:
        world.run(world.now() + SECOND // 10)
    return (time.process_time() - begun) / delivered


def growth() -> dict[int, list[tuple[float, float]]]:
    """The times of a message by number of nodes; the sizes take turns in every round."""
    times: dict[int, list[tuple[float, float]]] = {nodes: [] for nodes in SIZES}
    for _ in range(ROUNDS):
        for nodes, found in times.items():
            found.append(growth_run(nodes))
    return times


def main() -> None:
    """Print both."""
    for coordinator in COORDINATORS:
        command = [sys.executable, "-m", "benchmarks.scale", coordinator]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found = msgspec.json.decode(done.stdout, type=Loaded)
        print(f"{NODES:,} data nodes, {KEYS:,} keys, N=3, coordinator = {coordinator!r}:")
        print(f"    peak memory {found.peak_mib:,.0f} MiB (goal less than {GOAL_MIB:,})")
        print(
            f"    to build {found.build_s:.1f} s, to start {found.start_s:.1f} s, to write {found.write_s:.1f} s: "
            f"{found.messages:,} messages over {found.links:,} links, {found.keys:,} copies"
        )
    times = growth()
    smallest = times[SIZES[0]]
    for nodes, rounds in times.items():
        first_us, then_us = (statistics.median(part) * 1e6 for part in zip(*rounds, strict=True))
        ratio = statistics.median(mine[1] / least[1] for mine, least in zip(rounds, smallest, strict=True))
        goal = f", goal less than {GOAL_GROWTH:g}" if nodes == SIZES[-1] else ""
        print(
            f"{nodes:,} nodes: {then_us:.1f} us a message ({ratio:.2f} x that of {SIZES[0]}{goal}), "
            f"{first_us:.1f} us while links are made"
        )


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.stdout.buffer.write(msgspec.json.encode(load(sys.argv[1])))
    else:
        main()
