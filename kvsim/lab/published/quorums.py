"""Quorums: probabilistically bounded staleness, order statistics, and the tail of a wide read."""

from __future__ import annotations

from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.operation import Found, Written
from kvsim.core.trace import Event
from kvsim.lab.experiment import Setup
from kvsim.lab.published.trial import Asker, Measured, quantile, world_of
from kvsim.sim.events import Delivered


class _Wars:
    """One write and one read after it, again and again; a write begins when all messages of the trial before are in.

    Bailis et al., "Probabilistically Bounded Staleness for Practical Partial Quorums", VLDB 2012, section 4.
    """

    def __init__(self, setup: Setup, seed: int, reads_after_ns: Nanoseconds | None) -> None:
        self.world = world_of(setup, seed)
        [self.coordinator] = setup.cluster.frontends
        self.settings = setup.design["replication"].settings
        self.asker = Asker(self.world)
        self.reads_after_ns = reads_after_ns
        """None: writes only."""
        self.trials = 0
        self.write_ns: list[Nanoseconds] = []
        self.read_ns: list[Nanoseconds] = []
        self.visible_ns: list[Nanoseconds] = []
        self.consistent = 0
        self.world.listen(self._delivered, Delivered)
        self.world.start()

    def run(self, trials: int) -> None:
        """Do so many trials."""
        while self.trials < trials:
            self._begin()
            done = self.world.run_until(self._over, 3_600 * SECOND)
            assert done, "every message of a trial arrives"
            self._note()

    def _begin(self) -> None:
        self.trials += 1
        self.arrived: dict[str, dict[NodeId, Nanoseconds]] = {
            kind: {} for kind in ("quorum.store", "quorum.fetch", "quorum.stored", "quorum.held")
        }
        self.read_value: bytes | None = None
        self.read_over = self.reads_after_ns is None
        self.began_ns = self.world.now()
        self.asker.put(self.coordinator, self._value(), self._written)

    def _value(self) -> bytes:
        return b"%d" % self.trials

    def _written(self, answer: object) -> None:
        assert isinstance(answer, Written), f"a write was answered with {answer}"
        self.write_ns.append(self.world.now() - self.began_ns)
        if self.reads_after_ns is not None:
            self.world.at(self.world.now() + self.reads_after_ns, self._begin_read)

    def _begin_read(self) -> None:
        self.read_began_ns = self.world.now()
        self.asker.read(self.coordinator, self._read)

    def _read(self, answer: object) -> None:
        self.read_ns.append(self.world.now() - self.read_began_ns)
        self.read_value = answer.value if isinstance(answer, Found) else None
        self.read_over = True

    def _delivered(self, node: NodeId, time_ns: Nanoseconds, event: Event) -> None:
        assert isinstance(event, Delivered), "nothing else was asked for"
        arrived = self.arrived.get(event.kind)
        if arrived is not None:
            arrived[event.sender if node == self.coordinator else node] = time_ns

    def _over(self) -> bool:
        kinds = self.arrived if self.reads_after_ns is not None else ("quorum.store", "quorum.stored")
        return self.read_over and all(len(self.arrived[kind]) == self.settings.n for kind in kinds)

    def _note(self) -> None:
        if self.reads_after_ns is None:
            return
        self.consistent += self.read_value == self._value()
        store, fetch = self.arrived["quorum.store"], self.arrived["quorum.fetch"]
        first = list(self.arrived["quorum.held"])[: self.settings.r]  # in the order in which they answered
        self.visible_ns.append(max(0, min(store[replica] - fetch[replica] for replica in first)))


def staleness(setup: Setup, trials: int, seed: int) -> Measured:
    """Latencies, t-visibility and the share of reads that see the write before them."""
    at_once = _Wars(setup, seed, 0)
    at_once.run(trials)
    metrics = {
        "read_latency_p999_ms": quantile(sorted(at_once.read_ns), 0.999) / MILLISECOND,
        "write_latency_p999_ms": quantile(sorted(at_once.write_ns), 0.999) / MILLISECOND,
        "t_visibility_p999_ms": quantile(sorted(at_once.visible_ns), 0.999) / MILLISECOND,
        "consistent_immediately_share": at_once.consistent / trials,
    }
    return Measured(metrics, {"t-visibility (ms)": [time_ns / MILLISECOND for time_ns in at_once.visible_ns]})


def staleness_later(setup: Setup, trials: int, seed: int) -> Measured:
    """The same, and the share of reads begun 10 ms after the write that see it."""
    found = staleness(setup, trials, seed)
    later = _Wars(setup, seed, 10 * MILLISECOND)
    later.run(trials)
    found.metrics["consistent_after_10ms_share"] = later.consistent / trials
    return found


def order_statistics(setup: Setup, trials: int, seed: int) -> Measured:
    """The mean time until W of N replicas have answered."""
    writes = _Wars(setup, seed, None)
    writes.run(trials)
    return Measured({"mean_write_latency_ms": sum(writes.write_ns) / trials / MILLISECOND}, {})


def fan_out(setup: Setup, trials: int, seed: int) -> Measured:
    """The share of reads of all replicas that at least one slow replica makes slow."""
    world = world_of(setup, seed)
    world.start()
    asker = Asker(world)
    slow = 0
    for _ in range(trials):
        answer, time_ns = asker.wait_for(lambda answered: asker.read(setup.cluster.frontends[0], answered))
        assert answer is not None, "every read is answered"
        slow += time_ns > 50 * MILLISECOND
    return Measured({"slow_requests_share": slow / trials}, {})
