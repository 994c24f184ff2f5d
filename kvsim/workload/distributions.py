"""Which key comes next: uniform, zipfian, latest and hotspot choice among a growing number of keys.

Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994, section 3.2, as YCSB uses it.
"""

from __future__ import annotations

from typing import Protocol

from kvsim.core.chance import Chance
from kvsim.workload.settings import Hotspot, Keys, Latest, Uniform, Zipfian


class Chooser(Protocol):
    """Draws the index of a key."""

    def next(self, chance: Chance, count: int) -> int:
        """An index from 0 to count − 1."""


class UniformChooser:
    """Every index is as likely."""

    def next(self, chance: Chance, count: int) -> int:
        """An index from 0 to count − 1."""
        return chance.below(count)


class ZipfianChooser:
    """Index i with a probability proportional to 1/(i + 1)^theta, by one power function a draw; exact for 0 and 1."""

    def __init__(self, theta: float) -> None:
        self.theta = theta
        self._alpha = 1 / (1 - theta)
        self._zeta2 = 1 + 0.5**theta
        self._count = 0
        self._zeta = 0.0
        self._eta = 0.0

    def next(self, chance: Chance, count: int) -> int:
        """An index from 0 to count − 1."""
        if count != self._count:
            self._extend(count)
        u = chance.uniform01()
        scaled = u * self._zeta
        if scaled < 1:
            return 0
        if scaled < self._zeta2:
            return min(1, count - 1)
        return min(count - 1, int(count * (self._eta * u - self._eta + 1) ** self._alpha))

    def _extend(self, count: int) -> None:
        """Bring the normalising sum to `count` terms; a growing store adds only the new ones."""
        if count < self._count:
            self._count, self._zeta = 0, 0.0
        for i in range(self._count + 1, count + 1):
            self._zeta += 1 / i**self.theta
        self._count = count
        if count > 2:
            self._eta = (1 - (2 / count) ** (1 - self.theta)) / (1 - self._zeta2 / self._zeta)


class LatestChooser:
    """Zipfian from the newest key backwards."""

    def __init__(self, theta: float) -> None:
        self._zipfian = ZipfianChooser(theta)

    def next(self, chance: Chance, count: int) -> int:
        """An index from 0 to count − 1."""
        return count - 1 - self._zipfian.next(chance, count)


class HotspotChooser:
    """The first keys are hot and get a stated share of the operations."""

    def __init__(self, hot_keys: float, hot_operations: float) -> None:
        self._hot_keys, self._hot_operations = hot_keys, hot_operations

    def next(self, chance: Chance, count: int) -> int:
        """An index from 0 to count − 1."""
        hot = min(max(round(count * self._hot_keys), 0), count)
        if hot == count or (hot and chance.happens(self._hot_operations)):
            return chance.below(hot)
        return hot + chance.below(count - hot)


def chooser_for(keys: Keys) -> Chooser:
    """The chooser that the settings describe."""
    match keys:
        case Uniform():
            return UniformChooser()
        case Zipfian():
            return ZipfianChooser(keys.theta)
        case Latest():
            return LatestChooser(keys.theta)
        case Hotspot():
            return HotspotChooser(keys.hot_keys, keys.hot_operations)
