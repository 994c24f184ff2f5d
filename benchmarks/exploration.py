"""How fast the explored world is: schedules a second of a core on three nodes with a quorum and one write.

Run it by `python -m benchmarks.exploration`; it prints medians of three rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kvsim.explore.beginning import begin
from kvsim.explore.scenario import Scenario, read_scenario
from kvsim.explore.search import Search, Watch
from kvsim.explore.walks import Walks
from kvsim.explore.world import World

ROUNDS = 3
WALKS = 2_000
MOST_STEPS = 100_000
"""Without a reduction the whole is far beyond what anybody would wait for."""


class Rate(NamedTuple):
    """What one search came to."""

    schedules: int
    steps: int
    seconds: float
    is_complete: bool


def one_write(**bounds: int) -> Scenario:
    """Three nodes, N=3 R=2 W=2, one client that writes once."""
    table: dict[str, Any] = {
        "design": {
            "topology": "peer_to_peer",
            "partitioning": "modulo",
            "replication": {"strategy": "quorum", "n": 3, "r": 2, "w": 2},
        },
        "explore": {"operations": ["c1: put x=1 at node-1"], "bounds": bounds},
    }
    return read_scenario(table, "one-write.toml")


def everything(scenario: Scenario, *, reduce: bool, cut: bool) -> Rate:
    """Depth first, the starting of nodes included."""
    begun_s = time.process_time()
    world, watch = World(scenario), Watch(scenario)
    search = Search(world, watch, begin(world).state, reduce=reduce, cut=cut)
    search.run(lambda: watch.counts.steps < MOST_STEPS)
    assert watch.finding is None, watch.finding
    return Rate(watch.counts.schedules, watch.counts.steps, time.process_time() - begun_s, search.is_complete)


def walks(scenario: Scenario) -> Rate:
    """So many random walks."""
    begun_s = time.process_time()
    world, watch = World(scenario, merge=False), Watch(scenario)
    Walks(world, watch, 0).run(begin(world).state, lambda: watch.counts.schedules < WALKS)
    return Rate(watch.counts.schedules, watch.counts.steps, time.process_time() - begun_s, is_complete=False)


RUNS: dict[str, Callable[[], Rate]] = {
    "depth first without reductions, a crash and a broken stream": lambda: everything(
        one_write(crashes=1, losses=1), reduce=False, cut=False
    ),
    "the same, states seen before cut": lambda: everything(one_write(crashes=1, losses=1), reduce=False, cut=True),
    "the same, sleep sets as well": lambda: everything(one_write(crashes=1, losses=1), reduce=True, cut=True),
    "random walks with two crashes": lambda: walks(one_write(crashes=2)),
}


def main() -> None:
    """Print schedules and rates."""
    for name, run in RUNS.items():
        found = [run() for _ in range(ROUNDS)]
        rate = statistics.median(each.schedules / each.seconds for each in found)
        steps = statistics.median(each.steps / each.seconds for each in found)
        whole = "all of " if found[0].is_complete else ""
        print(f"{name}: {rate:,.0f} schedules a second ({whole}{found[0].schedules:,}), {steps:,.0f} steps a second")


if __name__ == "__main__":
    main()
