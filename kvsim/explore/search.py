"""The search: depth first through all that may happen, each order once of those that lead to the same.

Two reductions, each of which can be switched off. Sleep sets (Godefroid, "Partial-order methods for the verification of
concurrent systems", LNCS 1032, 1996) leave out orders that differ only in steps of different nodes. States seen before
are cut; since what slept there may be awake now, a state is cut only as far as the earlier visit went.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kvsim.explore.action import Action, Footprint, independent
from kvsim.explore.always import Always, Sometimes
from kvsim.explore.scenario import Scenario
from kvsim.explore.state import Outcome, State
from kvsim.explore.world import World

LOOK_AT_THE_CLOCK_EVERY = 256
"""Steps."""
COLLECT_EVERY = 50_000
"""Objects made between two searches for cyclic garbage."""
STATES_KEPT = 5_000_000
"""States remembered; beyond, new ones are explored but not remembered."""


class Finding(NamedTuple):
    """A schedule that breaks what must always hold."""

    sentence: str
    path: tuple[Action, ...]


class Counts:
    """How far a search has come."""

    def __init__(self) -> None:
        self.schedules = 0
        """Schedules followed to their end, or to a state seen before."""
        self.steps = 0
        self.states = 0
        self.deepest = 0


class Watch:
    """Looks at every step: what must always hold, and what must happen in some schedule."""

    def __init__(self, scenario: Scenario) -> None:
        self.always, self.sometimes = Always(scenario), Sometimes(scenario)
        self.counts = Counts()
        self.finding: Finding | None = None

    def look(self, before: State, outcome: Outcome, path: Callable[[], tuple[Action, ...]]) -> bool:
        """Look at one step; whether something is wrong."""
        self.counts.steps += 1
        state, sentence = outcome.state, outcome.wrong
        if not sentence:
            if not self.sometimes.is_met:
                self.sometimes.look(state, outcome, path)
            if state.seen is before.seen:
                return False
            sentence = self.always.refutes(state.seen)
        if sentence:
            self.finding = Finding(sentence, path())
        return bool(sentence)


@contextmanager
def few_collections() -> Iterator[None]:
    """A search keeps millions of objects, and hardly one of its own lies in a cycle: look for such seldom."""
    thresholds = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, 10, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class _Frame:
    __slots__ = ("action", "sleep", "state", "todo", "tried")

    def __init__(self, state: State, todo: list[Action], sleep: dict[Action, Footprint]) -> None:
        self.state, self.todo, self.sleep = state, todo, sleep
        self.tried = 0
        self.action: Action = ()


class Search:
    """One search of a world, from one state."""

    def __init__(self, world: World, watch: Watch, state: State, *, reduce: bool = True, cut: bool = True) -> None:
        self.world, self.watch = world, watch
        self.reduce, self.cut = reduce, cut
        self.is_complete = False
        self._visited: dict[int, frozenset[Action]] = {}
        self._stack: list[_Frame] = []
        self._enter(state, {})

    def run(self, go_on: Callable[[], bool]) -> None:
        """Search until all was seen, something is found, or `go_on` says no; called again, it goes on from there."""
        with few_collections():
            self._run(go_on)

    def _run(self, go_on: Callable[[], bool]) -> None:
        stack, watch = self._stack, self.watch
        while stack:
            frame = stack[-1]
            if not frame.todo:
                stack.pop()
                continue
            action = frame.action = frame.todo.pop()
            frame.tried += 1
            outcome = self.world.act(frame.state, action)
            if watch.look(frame.state, outcome, self.path):
                return
            sleep = self._asleep_after(frame, outcome.footprint) if self.reduce else {}
            frame.sleep[action] = outcome.footprint
            self._enter(outcome.state, sleep)
            if watch.counts.steps % LOOK_AT_THE_CLOCK_EVERY == 0 and not go_on():
                return
        self.is_complete = True

    def _enter(self, state: State, sleep: dict[Action, Footprint]) -> None:
        """Go on from a state, except for what sleeps and what was explored from it before."""
        counts = self.watch.counts
        enabled = self.world.enabled(state)
        todo = [action for action in enabled if action not in sleep] if sleep else enabled
        before = None
        if self.cut:
            key = state.key()
            before = self._visited.get(key)
            if before is not None:
                todo = [action for action in todo if action in before]
                if todo:
                    self._visited[key] = before.intersection(sleep)
            elif len(self._visited) < STATES_KEPT:
                self._visited[key] = frozenset(sleep)
        if not enabled or (not todo and self.cut and before is not None):
            counts.schedules += 1
            counts.deepest = max(counts.deepest, len(self._stack))
        if todo:
            counts.states += 1
            todo.reverse()
            self._stack.append(_Frame(state, todo, sleep))

    def _asleep_after(self, frame: _Frame, done: Footprint) -> dict[Action, Footprint]:
        return {action: other for action, other in frame.sleep.items() if independent(done, other)}

    def path(self) -> tuple[Action, ...]:
        """What has happened up to now."""
        return tuple(frame.action for frame in self._stack)

    @property
    def share(self) -> float:
        """Which share of all is done, if each branch holds as much as its neighbours; between 0 and 1."""
        share, weight = 0.0, 1.0
        for frame in self._stack:
            branches = frame.tried + len(frame.todo)
            share += weight * max(0, frame.tried - 1) / branches
            weight /= branches
        return share if self._stack else 1.0


def with_faults(state: State, faults: int) -> State:
    """The same moment, from which on so many faults may happen at most."""
    return state._replace(left=(*state.left[:-1], faults))
