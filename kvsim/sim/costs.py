"""What the CPU's work on a message takes, by the kind of message: the same each time, or drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from kvsim.core.chance import Chance
from kvsim.core.message import Message, Nanoseconds, tag_of
from kvsim.sim.distributions import Distribution, drawing


class Costs(dict[type[Message], Nanoseconds]):
    """Constant times, looked up once a kind."""

    def __init__(self, times: Mapping[str, Nanoseconds]) -> None:
        super().__init__()
        self._times = times

    def __missing__(self, kind: type[Message]) -> Nanoseconds:
        self[kind] = cost_ns = self._times.get(tag_of(kind), self._times["default"])
        return cost_ns


class DrawnCosts(dict[type[Message], Nanoseconds]):
    """Times of which some are drawn, each kind's from a stream of its own; or all that take some times as long."""

    def __init__(self, times: Mapping[str, Nanoseconds | Distribution], chance: Chance, factor: float) -> None:
        super().__init__()
        self._draws: dict[str, Callable[[], Nanoseconds]] = {
            kind: drawing(time, chance.stream(kind)) for kind, time in times.items()
        }
        self._of: dict[type[Message], Callable[[], Nanoseconds]] = {}
        self.factor = factor
        """How many times as long the work takes."""

    def __getitem__(self, kind: type[Message]) -> Nanoseconds:
        draw = self._of.get(kind)
        if draw is None:
            draw = self._of[kind] = self._draws.get(tag_of(kind), self._draws["default"])
        return draw() if self.factor == 1 else round(draw() * self.factor)


def costs_of(
    times: Mapping[str, Nanoseconds | Distribution], chance: Chance, factor: float
) -> dict[type[Message], Nanoseconds]:
    """The times of a CPU, looked up the fastest way that serves."""
    constant = {kind: time for kind, time in times.items() if isinstance(time, int)}
    if factor == 1 and len(constant) == len(times):
        return _constant_costs(tuple(constant.items()))
    return DrawnCosts(times, chance, factor)


@lru_cache(maxsize=64)
def _constant_costs(times: tuple[tuple[str, Nanoseconds], ...]) -> Costs:
    """One table for all nodes of the same times: a large world has thousands."""
    return Costs(dict(times))
