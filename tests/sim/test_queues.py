"""The simulator's CPU is the queue that theory describes: mean waits of M/M/1, M/D/1, M/G/1 and M/M/c.

Kleinrock, "Queueing Systems", volume 1, 1975. Each mean is over independent replications, and must lie within four
standard errors of the formula; the errors are small enough for a queue that is wrong by a tenth to fail.
"""

from __future__ import annotations

import math
import statistics

import pytest

from kvsim.core.chance import Chance
from kvsim.core.message import Envelope
from kvsim.sim.distributions import Distribution, Exponential, Lognormal
from kvsim.sim.settings import MachineSettings
from tests.sim.probes import MS, US, Probes, S, Work

SEED = 4
REPLICATIONS, MESSAGES, WARM_UP = 32, 4_000, 500
SERVICE_NS = 100 * US
LOAD = 0.7
SIGMA = 0.8
"""Of the logarithm of M/G/1's service times."""


def waits(service: str | Distribution, cores: int, replication: int) -> list[int]:
    """How long each message waits before the CPU takes it up."""
    chance = Chance(SEED, "queue").stream(str(replication))
    machines = MachineSettings(cpu={"default": service}, cores=cores, inbox=100_000)
    world = Probes(("a",), machines=machines, seed=SEED * 1_000 + replication)
    port = world.client("client", lambda sender, envelope: None)
    arrivals: list[int] = []
    at = 0
    for number in range(MESSAGES):
        at += round(chance.exponential(SERVICE_NS / (LOAD * cores)))
        world.at(at, lambda number=number: port.send("a", Envelope(Work(number))))
        arrivals.append(at + MS)
    world.run(at + S)
    assert [number for _, number in world["a"].got] == list(range(MESSAGES))
    return [begun - arrived for begun, arrived in zip(world["a"].times, arrivals, strict=True)]


def erlang_c(cores: int, offered: float) -> float:
    """The probability that an arrival must wait."""
    waiting = offered**cores / math.factorial(cores) / (1 - offered / cores)
    return waiting / (sum(offered**n / math.factorial(n) for n in range(cores)) + waiting)


def lognormal_of_mean(mean_ns: int) -> Lognormal:
    return Lognormal(median_ns=round(mean_ns / math.exp(SIGMA**2 / 2)), sigma=SIGMA)


QUEUES: dict[str, tuple[str | Distribution, int, float]] = {
    "M/M/1": (Exponential(SERVICE_NS), 1, LOAD / (1 - LOAD)),
    "M/D/1": ("100us", 1, LOAD / (2 * (1 - LOAD))),
    # Pollaczek and Khinchine: the mean of the squared service time is exp(sigma²) times the square of the mean.
    "M/G/1": (lognormal_of_mean(SERVICE_NS), 1, LOAD * math.exp(SIGMA**2) / (2 * (1 - LOAD))),
    "M/M/3": (Exponential(SERVICE_NS), 3, erlang_c(3, 3 * LOAD) / (3 * (1 - LOAD))),
}
"""Service times, cores, and the mean wait in mean service times."""


@pytest.mark.parametrize("queue", QUEUES)
def test_the_mean_wait_is_what_theory_says(queue: str) -> None:
    service, cores, expected = QUEUES[queue]
    means = [
        statistics.fmean(waits(service, cores, replication)[WARM_UP:]) / SERVICE_NS
        for replication in range(REPLICATIONS)
    ]
    error = statistics.stdev(means) / math.sqrt(REPLICATIONS)
    assert 4 * error < 0.2 * expected, "a wrong queue would be seen"
    assert abs(statistics.fmean(means) - expected) < 4 * error
