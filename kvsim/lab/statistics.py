"""Means over seeds and how sure they are: Student's 95 % confidence interval of the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class Estimate(NamedTuple):
    """The mean of one value a seed, and its 95 % confidence interval; with one seed all three are the value itself."""

    mean: float
    low: float
    high: float
    seeds: int


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of the values and its interval."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1 or min(values) == max(values):
        return Estimate(values[0], values[0], values[0], count)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = _t975(count - 1) * deviation / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


@cache
def _t975(degrees: int) -> float:
    from scipy.stats import t  # imported late: it takes longer than the whole command line

    return float(t.ppf(0.975, degrees))
