"""Chance: a named, seeded stream of draws, the only randomness that a node or a world may use.

Each stream is named by a path and seeded from the run's seed, so a draw on one leaves all others unchanged.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from itertools import chain
from operator import length_hint
from typing import Any, TypeVar

T = TypeVar("T")
FEW = 4
"""Draws of a stream before it keeps a generator."""


class Chance:
    """Draws of one stream, by Python's Mersenne Twister alone: the same on every supported Python."""

    __slots__ = ("_above", "_few", "_name", "_random", "seed", "uniform01")

    _random: random.Random
    uniform01: Callable[[], float]
    """A number in [0, 1)."""

    def __init__(self, seed: int, path: str) -> None:
        self.seed = seed
        self._name = path
        self._above: Chance | None = None
        self._few: Iterator[float] | None = None

    @property
    def path(self) -> str:
        """Its name, with those of the streams above it."""
        return self._name if self._above is None else f"{self._above.path}/{self._name}"

    def stream(self, name: str) -> Chance:
        """The stream below this one; the same name gives the same draws again."""
        below = Chance(self.seed, name)
        below._above = self
        return below

    # A large world has streams by the hundred thousand, of which most are never drawn from and most others a few times.
    # A generator takes 2.5 kB. So none is made before the first draw, and one that gave the first few is not kept.

    def __getattr__(self, name: str) -> Any:
        if name == "uniform01":
            draw = self._seeded().random
            self._few = iter([draw() for _ in range(FEW)])
            self.uniform01 = chain.from_iterable(self._uniforms(self._few)).__next__
        elif name == "_random":
            self._random = generator = self._seeded()
            if self._few is not None:
                for _ in range(FEW - length_hint(self._few)):
                    generator.random()
                for _ in self._few:
                    pass  # the generator gives them again
            self.uniform01 = generator.random
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, name)

    def _seeded(self) -> random.Random:
        digest = hashlib.blake2b(f"{self.seed}/{self.path}".encode(), digest_size=16).digest()
        return random.Random(int.from_bytes(digest, "big"))

    def _uniforms(self, few: Iterator[float]) -> Iterator[Iterator[float]]:
        """The draws of who took `uniform01` before there was a generator."""
        yield few
        yield iter(self._random.random, None)

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
