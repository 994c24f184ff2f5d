"""Leaders: how long elections take, how many message delays an operation takes, and when a majority is there."""

from __future__ import annotations

from functools import partial
from itertools import product
from statistics import fmean

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.journal import framed
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.operation import Found, Written
from kvsim.core.trace import Event
from kvsim.lab.experiment import Setup
from kvsim.lab.published.trial import PATIENCE_NS, Asker, Measured, quantile, world_of
from kvsim.sim.disk import StoredFile
from kvsim.sim.distributions import Constant
from kvsim.sim.events import Delivered
from kvsim.sim.world import World
from kvsim.strategies.replication.raft.log import LOG_FILE
from kvsim.strategies.replication.raft.messages import Elected, Entries, HardState, LogEntry

TOO_LONG_NS = 10 * SECOND
CRASH_WITHIN_NS = 75 * MILLISECOND
"""The old leader crashed within so long after its last heartbeat, which is the time between two of them."""
AVAILABILITY = 0.9
"""With this probability a node is up."""


def elections(setup: Setup, trials: int, seed: int) -> Measured:
    """From a start without a leader, the last node down, until a candidate holds the votes of a majority."""
    times: list[Nanoseconds] = []
    split = 0
    for trial in range(trials):
        world = world_of(setup, seed * 1_000_000 + trial)
        won: list[tuple[Nanoseconds, int]] = []

        def elected(node: NodeId, time_ns: Nanoseconds, event: Event, won: list[tuple[Nanoseconds, int]] = won) -> None:
            assert isinstance(event, Elected), "nothing else was asked for"
            won.append((time_ns, event.term))

        world.listen(elected, Elected)
        world.start(down=setup.cluster.data[-1:])
        world.run_until(lambda won=won: bool(won), PATIENCE_NS)  # type: ignore[misc]
        [(time_ns, term)] = won
        times.append(time_ns)
        split += term > 1
    ordered = sorted(times)
    metrics = {
        "election_mean_ms": fmean(times) / MILLISECOND,
        "election_median_ms": quantile(ordered, 0.5) / MILLISECOND,
        "election_p90_ms": quantile(ordered, 0.9) / MILLISECOND,
        "first_term_split_share": split / trials,
    }
    return Measured(metrics, {"time without a leader (ms)": [time_ns / MILLISECOND for time_ns in times]})


def downtime(setup: Setup, trials: int, seed: int) -> Measured:
    """From the old leader's crash until the last live server has heard of a new one.

    Ongaro and Ousterhout 2014, section 9.3: the servers start as if the old leader's last heartbeat had just reached
    them all; it crashed a time after that, which is drawn and subtracted. Their logs differ in length.
    """
    times: list[Nanoseconds] = []
    crash = Chance(seed, "published/crash")
    *live, old = setup.cluster.data
    for trial in range(trials):
        world = world_of(setup, seed * 1_000_000 + trial)
        told: dict[NodeId, Nanoseconds] = {}
        leader: list[NodeId] = []
        world.listen(partial(_note_leader, told, leader), Elected, Delivered)
        for number, node in enumerate(live, 1):
            world.hosts[node].storage.files[LOG_FILE] = StoredFile(_log_of(number))
        world.start(down=[old])
        world.run_until(lambda told=told: len(told) == len(live), TOO_LONG_NS + CRASH_WITHIN_NS)  # type: ignore[misc]
        crashed_ns = round(crash.uniform(0, CRASH_WITHIN_NS))
        times.append(min(TOO_LONG_NS + 1, world.now() - crashed_ns))
    ordered = sorted(times)
    metrics = {
        "downtime_median_ms": quantile(ordered, 0.5) / MILLISECOND,
        "downtime_mean_ms": fmean(times) / MILLISECOND,
        "share_within_240_ms": sum(time_ns < 240 * MILLISECOND for time_ns in times) / trials,
        "share_of_trials_over_10_s": sum(time_ns > TOO_LONG_NS for time_ns in times) / trials,
    }
    return Measured(metrics, {"time without a leader (ms)": [time_ns / MILLISECOND for time_ns in times]})


def _note_leader(
    told: dict[NodeId, Nanoseconds], leader: list[NodeId], node: NodeId, time_ns: Nanoseconds, event: Event
) -> None:
    """Note who has heard of the newest leader, that one itself included."""
    if isinstance(event, Elected):
        leader[:] = [node]
        told.clear()
        told[node] = time_ns
    elif isinstance(event, Delivered) and event.kind == "raft.append_entries" and leader == [event.sender]:
        told.setdefault(node, time_ns)


def _log_of(entries: int) -> bytes:
    """A server's disk that holds a first term and so many entries of it."""
    records: tuple[HardState | Entries, ...] = (HardState(1, None), Entries(1, (LogEntry(1),) * entries))
    return b"".join(framed(msgspec.msgpack.encode(record)) for record in records)


def message_delays(setup: Setup, trials: int, seed: int) -> Measured:
    """How long an operation takes in one-way delays of a link, once the cluster is settled."""
    world = world_of(setup, seed)
    world.start()
    world.run(5 * SECOND)
    assert setup.world is not None, "it was read for the simulated world"
    link = setup.world.network.latency
    assert isinstance(link, Constant), "delays are counted in a constant one"
    coordinator = world.role("leader") or world.role("primary") or setup.cluster.data[0]
    asker = Asker(world)
    times: dict[str, list[float]] = {"write": [], "read": []}
    for number in range(trials):
        answer, time_ns = asker.wait_for(
            lambda answered, number=number: asker.put(coordinator, b"%d" % number, answered)  # type: ignore[misc]
        )
        assert isinstance(answer, Written), f"a write was answered with {answer}"
        times["write"].append(time_ns / link.value_ns)
        world.run(world.now() + 10 * MILLISECOND)
        answer, time_ns = asker.wait_for(lambda answered: asker.read(coordinator, answered))
        assert isinstance(answer, Found) and answer.value == b"%d" % number, f"a read was answered with {answer}"
        times["read"].append(time_ns / link.value_ns)
        world.run(world.now() + 10 * MILLISECOND)
    return Measured({f"{name}_message_delays": fmean(found) for name, found in times.items()}, {})


def regions(setup: Setup, trials: int, seed: int) -> Measured:
    """Latency of writes by clients in each region, the leader being in the first."""
    world = _led_by(setup, setup.cluster.data[0], seed)
    leader = setup.cluster.data[0]
    means = []
    for number, _ in enumerate(setup.cluster.data, 1):
        asker = Asker(world, f"client-{number}")
        times = []
        for trial in range(trials):
            answer, time_ns = asker.wait_for(
                lambda answered, trial=trial: asker.put(leader, b"%d" % trial, answered)  # type: ignore[misc]  # noqa: B023
            )
            assert isinstance(answer, Written), f"a write was answered with {answer}"
            times.append(time_ns / MILLISECOND)
            world.run(world.now() + SECOND)
        means.append(fmean(times))
    return Measured({"write_latency_at_leader_ms": means[0], "write_latency_mean_over_regions_ms": fmean(means)}, {})


def _led_by(setup: Setup, leader: NodeId, seed: int) -> World:
    """A settled world that this node leads: of the worlds from this seed on, the first in which it won."""
    for further in range(100):
        world = world_of(setup, seed + further)
        world.start()
        world.run(5 * SECOND)
        if world.role("leader") == leader:
            return world
    raise AssertionError(f"{leader} never led in a hundred worlds")


def majorities(setup: Setup, trials: int, seed: int) -> Measured:
    """Over all patterns of nodes up and down, weighted: whether a client that tries every node gets a write done."""
    nodes = setup.cluster.data
    available = 0.0
    for pattern in product((True, False), repeat=len(nodes)):
        world = world_of(setup, seed)
        world.start()
        world.run(2 * SECOND)
        for node, up in zip(nodes, pattern, strict=True):
            if not up:
                world.hosts[node].crash()
        world.run(world.now() + 5 * SECOND)
        asker = Asker(world)
        answers: list[object] = []
        for node in nodes:
            asker.put(node, b"value", answers.append)
            world.run(world.now() + 5 * SECOND)
        if any(isinstance(answer, Written) for answer in answers):
            up_count = sum(pattern)
            available += AVAILABILITY**up_count * (1 - AVAILABILITY) ** (len(nodes) - up_count)
    return Measured({"write_availability": available, "write_unavailability": 1 - available}, {})
