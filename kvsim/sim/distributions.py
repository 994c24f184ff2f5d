"""Distributions of times, as `{ distribution = "lognormal", median = "500us", p99 = "4ms" }` in a file.

`draws` gives an endless iterator of whole nanoseconds, none below 0, drawn from one stream of chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import Nanoseconds

Duration = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]

Z_99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""
_TURN = 2 * math.pi


class _Distribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="distribution"):
    """Base of all distributions."""


class Constant(_Distribution, frozen=True, tag="constant"):
    """Always the same."""

    value_ns: Duration

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """Draws nothing from the stream."""
        while True:
            yield self.value_ns

    def average_ns(self) -> float:
        """The mean."""
        return self.value_ns


class Uniform(_Distribution, frozen=True, tag="uniform"):
    """Every time between low and high is as likely."""

    low_ns: Duration
    high_ns: Duration

    def __post_init__(self) -> None:
        if self.low_ns > self.high_ns:
            raise ValueError(f"low ({self.low_ns} ns) is above high ({self.high_ns} ns); swap them")

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """One number of the stream a draw."""
        random, low, width = chance.uniform01, self.low_ns, self.high_ns - self.low_ns
        while True:
            yield low + round(width * random())

    def average_ns(self) -> float:
        """The mean."""
        return (self.low_ns + self.high_ns) / 2


class Normal(_Distribution, frozen=True, tag="normal"):
    """The bell curve; what would be negative is 0."""

    mean_ns: Duration
    deviation_ns: Duration

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """Two numbers of the stream for two draws."""
        mean, deviation = self.mean_ns, self.deviation_ns
        for normal in _normals(chance):
            yield max(0, round(mean + deviation * normal))

    def average_ns(self) -> float:
        """The mean, but for what was cut at 0."""
        return self.mean_ns


class Lognormal(_Distribution, frozen=True, tag="lognormal"):
    """The logarithm is normal: what most networks look like. Half are below `median`; one in a hundred is above `p99`.

    `sigma`, the deviation of the logarithm, says the same as `p99` = median · exp(2.326 sigma); give one of them.
    """

    median_ns: Positive
    p99_ns: Positive | None = None
    sigma: Annotated[float, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if (self.p99_ns is None) == (self.sigma is None):
            raise ValueError("a lognormal distribution needs its median and either p99 or sigma")
        if self.p99_ns is not None and self.p99_ns < self.median_ns:
            raise ValueError(f"p99 ({self.p99_ns} ns) is below the median ({self.median_ns} ns)")

    @property
    def deviation(self) -> float:
        """The deviation of the logarithm."""
        if self.sigma is not None:
            return self.sigma
        assert self.p99_ns is not None, "checked when it was made"
        return math.log(self.p99_ns / self.median_ns) / Z_99

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """Two numbers of the stream for two draws."""
        # The commonest draw of a run, so the normal numbers are made here and not fetched from `_normals`.
        median, deviation, random = self.median_ns, self.deviation, chance.uniform01
        log, exp, sqrt, cos, sin = math.log, math.exp, math.sqrt, math.cos, math.sin
        while True:
            angle = _TURN * random()
            radius = deviation * sqrt(-2.0 * log(1.0 - random()))
            yield int(median * exp(radius * cos(angle)))
            yield int(median * exp(radius * sin(angle)))

    def average_ns(self) -> float:
        """The mean, which lies above the median."""
        return self.median_ns * math.exp(self.deviation**2 / 2)


class Exponential(_Distribution, frozen=True, tag="exponential"):
    """Memoryless: the time still to wait does not depend on the time waited."""

    mean_ns: Positive

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """One number of the stream a draw."""
        random, mean, log = chance.uniform01, self.mean_ns, math.log
        while True:
            yield round(-mean * log(1.0 - random()))

    def average_ns(self) -> float:
        """The mean."""
        return self.mean_ns


class Pareto(_Distribution, frozen=True, tag="pareto"):
    """A heavy tail: at least `minimum`, and beyond t with probability (minimum / t) ** shape."""

    minimum_ns: Positive
    shape: Annotated[float, msgspec.Meta(gt=0)]

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """One number of the stream a draw."""
        random, minimum, power = chance.uniform01, self.minimum_ns, -1.0 / self.shape
        while True:
            yield round(minimum * (1.0 - random()) ** power)

    def average_ns(self) -> float:
        """The mean, which is infinite for a shape of 1 or less; then twice the minimum stands for it."""
        return self.minimum_ns * (self.shape / (self.shape - 1) if self.shape > 1 else 2)


Distribution = Constant | Uniform | Normal | Lognormal | Exponential | Pareto


def _normals(chance: Chance) -> Iterator[float]:
    """Standard normal draws, two at a time (Box and Muller 1958)."""
    random, log, sqrt, cos, sin = chance.uniform01, math.log, math.sqrt, math.cos, math.sin
    while True:
        angle = _TURN * random()
        radius = sqrt(-2.0 * log(1.0 - random()))
        yield radius * cos(angle)
        yield radius * sin(angle)
