"""Chance: a named, seeded stream of draws, the only randomness that a node or a world may use.

Each stream is named by a path and seeded from the run's seed, so a draw on one leaves all others unchanged.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws of one stream, by Python's Mersenne Twister alone: the same on every supported Python."""

    __slots__ = ("_random", "path", "seed", "uniform01")

    def __init__(self, seed: int, path: str) -> None:
        self.seed = seed
        self.path = path
        digest = hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=16).digest()
        self._random = random.Random(int.from_bytes(digest, "big"))
        self.uniform01 = self._random.random
        """A number in [0, 1)."""

    def stream(self, name: str) -> Chance:
        """The stream below this one; the same name gives the same draws again."""
        return Chance(self.seed, f"{self.path}/{name}")

    def below(self, bound: int) -> int:
        """A whole number from 0 to bound − 1."""
        return self._random.randrange(bound)

    def happens(self, share: float) -> bool:
        """True with this probability. Draws nothing for 0 and 1."""
        return share > 0 and (share >= 1 or self.uniform01() < share)

    def pick(self, among: Sequence[T]) -> T:
        """One of them, each as likely."""
        return among[self._random.randrange(len(among))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Bring into a random order, in place."""
        self._random.shuffle(items)

    def uniform(self, low: float, high: float) -> float:
        """Between low and high."""
        return low + (high - low) * self.uniform01()

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self._random.randint(low, high)

    def exponential(self, mean: float) -> float:
        """Exponentially distributed with this mean."""
        return -mean * math.log(1.0 - self.uniform01())

    def normal(self, mean: float, deviation: float) -> float:
        """Normally distributed."""
        return self._random.gauss(mean, deviation)

    def lognormal(self, median: float, sigma: float) -> float:
        """Lognormally distributed: the logarithm has mean ln(median) and deviation sigma."""
        return median * math.exp(self._random.gauss(0.0, sigma))

    def pareto(self, minimum: float, shape: float) -> float:
        """Pareto distributed from `minimum` on, with tail index `shape`."""
        return minimum / (1.0 - self.uniform01()) ** (1.0 / shape)  # type: ignore[no-any-return]
