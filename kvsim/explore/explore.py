"""Explore a scenario: choose how to search, tell how far it came, and make what is found as short as can be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from kvsim.core.message import SECOND, Nanoseconds
from kvsim.explore.always import Goal
from kvsim.explore.beginning import Beginning, begin
from kvsim.explore.scenario import BUDGETS, Scenario
from kvsim.explore.search import Counts, Finding, Search, Watch, with_faults
from kvsim.explore.shortest import replay, shortest, without_unasked
from kvsim.explore.walks import Walks
from kvsim.explore.world import World

Mode = Literal["auto", "dfs", "bfs", "pct"]
"""`dfs`: depth first through everything; `bfs`: all schedules without a fault, then with one, with two …; `pct`: random
walks with priorities; `auto`: depth first and walks by turns."""
FIRST_TURN_S = 1.0
SHORTEN_FOR_S = 10.0
LEAST_SHARE = 1e-6
"""Of the whole: from less nothing can be told about the rest."""


class Progress(NamedTuple):
    """How far a search has come."""

    counts: Counts
    share: float | None
    """Of the whole, as far as it can be told."""
    faults: int | None
    """Which number of faults is being looked at; None when all at once are."""
    seconds: float


class Exploration(NamedTuple):
    """What came of it."""

    scenario: Scenario
    mode: Mode
    seed: int
    seconds: float
    is_complete: bool
    """Whether every schedule within the bounds was seen."""
    share: float | None
    whole_s: float | None
    """How long all of it would take, as far as can be told; None where nothing can be, or all was seen."""
    complete_to_faults: int | None
    """Up to how many faults every schedule was seen; None if not even without any."""
    finding: Finding | None
    """As it was met."""
    story: Finding | None
    """As short as it could be made."""
    counts: Counts
    histories: int
    goals: list[Goal]
    undecided: list[str]
    world: World
    beginning: Beginning

    @property
    def verdict(self) -> str:
        """`refuted`, `not_refuted` or `unknown`: a part was not seen, a judge gave up, or a goal was never reached."""
        if self.finding is not None:
            return "refuted"
        is_whole = self.is_complete and not self.undecided and all(goal.reached for goal in self.goals)
        return "not_refuted" if is_whole else "unknown"


class _Run:
    """One exploration on its way."""

    def __init__(
        self,
        world: World,
        limit_ns: Nanoseconds,
        seed: int,
        told: Callable[[Progress], None],
        clock: Callable[[], float],
    ) -> None:
        self.world, self.seed, self.told, self.clock = world, seed, told, clock
        self.limit_s = limit_ns / SECOND
        self.begun_s = clock()
        self.beginning = begin(world)
        self.watch = Watch(world.scenario)
        self.walked: World | None = None
        self.search: Search | None = None
        self.searched_s = 0.0
        """Spent on depth first."""
        self.faults: int | None = None
        self.is_complete = False
        self.complete_to: int | None = None

    @property
    def seconds(self) -> float:
        return self.clock() - self.begun_s

    def go_on(self, until_s: float) -> Callable[[], bool]:
        def ask() -> bool:
            share = self.search.share if self.search is not None else None
            self.told(Progress(self.watch.counts, share, self.faults, self.seconds))
            return self.seconds < until_s

        return ask

    def everything(self, until_s: float) -> None:
        """Depth first; called again, it goes on."""
        if self.search is None:
            self.search = Search(self.world, self.watch, self.beginning.state)
        begun_s = self.seconds
        self.search.run(self.go_on(until_s))
        self.searched_s += self.seconds - begun_s
        self.is_complete = self.search.is_complete

    @property
    def whole_s(self) -> float | None:
        """How long depth first would take for everything, if the rest is as what it has seen."""
        share = self.search.share if self.search is not None else 0.0
        return self.searched_s / share if self.searched_s and share > LEAST_SHARE and not self.is_complete else None

    def by_faults(self, until_s: float) -> None:
        """All schedules with no fault, with one at most, with two …"""
        state = self.beginning.state
        most = min(sum(state.left[: len(BUDGETS)]), state.left[-1])
        for faults in range(most + 1):
            self.faults = faults
            self.search = Search(self.world, self.watch, with_faults(state, faults))
            self.search.run(self.go_on(until_s))
            if not self.search.is_complete:
                return
            self.complete_to = faults
        self.is_complete = True

    def in_turns(self, until_s: float) -> None:
        """Depth first and random walks by turns, until the first has seen everything."""
        turn_s = FIRST_TURN_S
        while self.seconds < until_s and not self._is_decided:
            self.everything(min(until_s, self.seconds + turn_s))
            if not self._is_decided:
                self.walk(min(until_s, self.seconds + turn_s))
            turn_s *= 2

    @property
    def _is_decided(self) -> bool:
        return self.is_complete or self.watch.finding is not None

    def walk(self, until_s: float) -> None:
        """At random; called again, it goes on."""
        if self.walked is None:
            # A walk seldom comes by the same moment twice, so looking for equal ones would not pay.
            self.walked = World(self.world.scenario, self.seed, merge=False)
        Walks(self.walked, self.watch, self.seed).run(begin(self.walked).state, self.go_on(until_s))


def explore(
    scenario: Scenario,
    limit_ns: Nanoseconds = 60 * SECOND,
    mode: Mode = "auto",
    seed: int = 0,
    told: Callable[[Progress], None] = lambda progress: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Exploration:
    """Explore for at most so long, as this clock has it. Raises `SettingsError` where the beginning makes no sense."""
    run = _Run(World(scenario, seed), limit_ns, seed, told, clock)
    {"auto": run.in_turns, "dfs": run.everything, "bfs": run.by_faults, "pct": run.walk}[mode](run.limit_s)
    share = run.search.share if run.search is not None else None
    seconds = run.seconds
    found = run.watch.finding
    story, world, beginning = None, run.world, run.beginning
    if found is not None:
        story, world, beginning = _shortened(run, found)
    return Exploration(
        world.scenario, mode, seed, seconds, run.is_complete, share, run.whole_s, run.complete_to, found, story,
        run.watch.counts, run.watch.always.histories, run.watch.sometimes.goals(), list(run.watch.always.undecided),
        world, beginning,
    )  # fmt: skip


def _shortened(run: _Run, found: Finding) -> tuple[Finding, World, Beginning]:
    """The finding made short, and the world in which it is told: one where nothing else is asked."""
    until_s = run.seconds + SHORTEN_FOR_S
    story = shortest(run.world, run.beginning.state, found, run.seed, lambda: run.seconds < until_s)
    if run.world.scenario.past is not None or any(action[0] == 0 for action in run.beginning.path):
        return story, run.world, run.beginning  # something has been asked before
    scenario, path = without_unasked(run.world.scenario, story.path)
    world = World(scenario, run.seed)
    beginning = begin(world)
    again = replay(world, beginning.state, path)
    if again is None or again.path != path:
        return story, run.world, run.beginning
    return again, world, beginning
