"""Distributions of times, as `{ distribution = "lognormal", median = "500us", p99 = "4ms" }` in a file.

`draws` gives an endless iterator of whole nanoseconds, none below 0, drawn from one stream of chance.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import Nanoseconds
from kvsim.core.settings import duration_ns

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
        median, deviation = self.median_ns, self.deviation
        log, exp, sqrt, cos, sin = math.log, math.exp, math.sqrt, math.cos, math.sin
        while True:
            angle = _TURN * chance.uniform01()
            radius = deviation * sqrt(-2.0 * log(1.0 - chance.uniform01()))
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


class Empirical(_Distribution, frozen=True, tag="empirical"):
    """What was measured: each draw is one of the times in a file, each line as likely. An experiment's paths are
    relative to its own file.

    A line is a time with its unit (`1.25ms`), or a bare number of milliseconds. What follows a `#` does not count.
    """

    file: str

    def __post_init__(self) -> None:
        measured_ns(self.file)

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """One number of the stream a draw."""
        times, random = measured_ns(self.file), chance.uniform01
        count = len(times)
        while True:
            yield times[int(random() * count)]

    def average_ns(self) -> float:
        """The mean of what was measured."""
        times = measured_ns(self.file)
        return sum(times) / len(times)


Simple = Constant | Uniform | Normal | Lognormal | Exponential | Pareto | Empirical


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part of a mixture."""

    weight: Annotated[float, msgspec.Meta(gt=0)]
    """How often it is drawn from, beside the others."""
    of: Simple


class Mixture(_Distribution, frozen=True, tag="mixture"):
    """Each draw comes from one of several distributions, chosen by their weights."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a mixture needs at least one part")

    def draws(self, chance: Chance) -> Iterator[Nanoseconds]:
        """One number of the stream for the choice; each part then draws from a stream of its own."""
        random, whole = chance.uniform01, sum(part.weight for part in self.parts)
        bounds = [bound / whole for bound in accumulate(part.weight for part in self.parts)]
        streams = [part.of.draws(chance.stream(str(number))) for number, part in enumerate(self.parts)]
        last = len(streams) - 1
        while True:
            yield next(streams[min(last, bisect_right(bounds, random()))])

    def average_ns(self) -> float:
        """The mean of the parts' means, by weight."""
        whole = sum(part.weight for part in self.parts)
        return sum(part.weight * part.of.average_ns() for part in self.parts) / whole


Distribution = Simple | Mixture


def drawing(time: Nanoseconds | Distribution, chance: Chance) -> Callable[[], Nanoseconds]:
    """Gives the time, constant or drawn, at each call."""
    return (Constant(time) if isinstance(time, int) else time).draws(chance).__next__


def measured_ns(file: str) -> tuple[Nanoseconds, ...]:
    """The times in a file. Raises ValueError with the line that is none."""
    try:
        state = Path(file).stat()
        return _measured_ns(file, state.st_mtime_ns, state.st_size)
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"cannot read {file}: {said}") from None


@lru_cache(maxsize=64)
def _measured_ns(file: str, mtime_ns: int, size_bytes: int) -> tuple[Nanoseconds, ...]:
    """Read once, unless the file has changed."""
    lines = Path(file).read_text("utf-8").splitlines()
    times = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                times.append(duration_ns(text if text[-1].isalpha() else f"{text}ms"))
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
    if not times:
        raise ValueError(f"{file} holds no times; write one on each line, such as 1.25ms")
    return tuple(times)


def _normals(chance: Chance) -> Iterator[float]:
    """Standard normal draws, two at a time (Box and Muller 1958)."""
    random, log, sqrt, cos, sin = chance.uniform01, math.log, math.sqrt, math.cos, math.sin
    while True:
        angle = _TURN * random()
        radius = sqrt(-2.0 * log(1.0 - random()))
        yield radius * cos(angle)
        yield radius * sin(angle)
