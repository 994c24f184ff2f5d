"""Random walks with priorities, for worlds too large to see whole: an order with few surprises is likely to be met.

Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs",
ASPLOS 2010, where a thread is here whatever delivers in order: a stream, a disk, a client. The lane of the highest
priority goes on; at a few moments drawn beforehand it falls behind all others. Faults happen at moments drawn, too.
"""

from __future__ import annotations

from collections.abc import Callable

from kvsim.core.chance import Chance
from kvsim.explore.action import BUDGET, Action
from kvsim.explore.search import Watch
from kvsim.explore.state import State
from kvsim.explore.world import World

SURPRISES = 4
"""Moments of a walk at which the priorities change, at most."""
FAULT_SHARE = 0.8
"""How likely each fault that the bounds allow is to be tried."""
SHORTEST = 12
"""Steps within which faults and surprises fall, at least; else as many as walks usually have."""


class Walks:
    """One walk after the other from one state; a seed's walks are always the same."""

    def __init__(self, world: World, watch: Watch, seed: int) -> None:
        self.world, self.watch, self.seed = world, watch, seed
        self._usual = SHORTEST

    def run(self, state: State, go_on: Callable[[], bool]) -> None:
        """Walk until something is found, or `go_on` says no."""
        while go_on():
            if self._walk(state, Chance(self.seed, f"walk/{self.watch.counts.schedules}")):
                return

    def _walk(self, state: State, chance: Chance) -> bool:
        """One schedule to its end; whether something was wrong."""
        path: list[Action] = []
        priorities: dict[Action, float] = {}
        surprises = {chance.below(self._usual) for _ in range(chance.below(SURPRISES + 1))}
        faults = self._faults(state, chance)
        while enabled := self.world.enabled(state):
            action = self._next(enabled, faults, len(path), chance, priorities)
            if action is None:
                break
            if len(path) in surprises:
                priorities[action[:3]] = -chance.uniform01()
            path.append(action)
            outcome = self.world.act(state, action)
            if self.watch.look(state, outcome, lambda: tuple(path)):
                return True
            state = outcome.state
        counts = self.watch.counts
        counts.schedules += 1
        counts.deepest = max(counts.deepest, len(path))
        self._usual = max(SHORTEST, (7 * self._usual + len(path)) // 8)
        return False

    def _faults(self, state: State, chance: Chance) -> list[tuple[int, int]]:
        """When to try what: moments and kinds of budget, the earliest last."""
        kinds = sorted(set(BUDGET.values()))
        drawn = [
            (chance.below(self._usual), kind)
            for kind in kinds
            for _ in range(state.left[kind])
            if chance.happens(FAULT_SHARE)
        ]
        return sorted(drawn, reverse=True)

    def _next(
        self,
        enabled: list[Action],
        faults: list[tuple[int, int]],
        step: int,
        chance: Chance,
        priorities: dict[Action, float],
    ) -> Action | None:
        calm = [action for action in enabled if action[0] not in BUDGET]
        while faults and (faults[-1][0] <= step or not calm):
            _, kind = faults.pop()
            possible = [action for action in enabled if BUDGET.get(action[0]) == kind]
            if possible:
                return chance.pick(possible)
        if not calm:
            return None
        for action in calm:
            if action[:3] not in priorities:
                priorities[action[:3]] = chance.uniform01()
        return max(calm, key=lambda action: priorities[action[:3]])
