"""Where a run's warm-up ends, by a rule: MSER-5 (White, "An effective truncation heuristic for bias reduction in
simulation output", Simulation 69(6), 1997; in batches of five: White, Cobb and Spratt, WSC 2000)."""

from __future__ import annotations

from collections.abc import Sequence

BATCH = 5
FEWEST = 10
"""Of fewer batches nothing can be told."""
LEAST_KEPT = 5
"""Batches at the end, of whose scatter nothing can be told either."""


def mser_5(values: Sequence[int]) -> int | None:
    """How many of the values to leave out at the beginning: so many batches of five that the standard error of the mean
    of all the rest is least. None where that is more than half of them, or where they are too few: the run was short.
    """
    sums = [sum(values[at : at + BATCH]) for at in range(0, len(values) - BATCH + 1, BATCH)]
    if len(sums) < FEWEST:
        return None
    total = squares = 0
    best, cut = float("inf"), 0
    for left_out in range(len(sums) - 1, -1, -1):
        total += sums[left_out]
        squares += sums[left_out] ** 2
        kept = len(sums) - left_out
        score = (kept * squares - total**2) / kept**3
        if kept >= LEAST_KEPT and score <= best:
            best, cut = score, left_out
    return cut * BATCH if cut <= len(sums) // 2 else None
