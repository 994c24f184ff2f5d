"""How long a fault was felt: from its start until operations succeed again at half the pace they had before it."""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = 20
"""So many successes in a row show a pace."""
SLOW = 2.0
"""Slow is to take more than twice the time that the same number of successes took before the fault."""


def recovery_ns(
    successes_ns: Sequence[int], began_ns: int, fault_ns: int, fault_end_ns: int, ended_ns: int
) -> int | None:
    """Time from the fault's start until the pace is back; 0 if it never fell; None if that cannot be told.

    `successes_ns`: the times at which operations succeeded, ascending. The pace before is that of `began_ns` to
    `fault_ns`; it must fall before the fault ends, and be back before `ended_ns`.
    """
    before = sum(1 for time in successes_ns if began_ns <= time < fault_ns)
    if before < WINDOW or fault_ns <= began_ns:
        return None
    allowed_ns = SLOW * WINDOW * (fault_ns - began_ns) / before
    times = [fault_ns, *(time for time in successes_ns if fault_ns <= time < ended_ns)]

    def slow(at: int) -> bool | None:
        """Whether the successes that follow number `at` are slow; None where the run ends before that can be told."""
        end = times[at + WINDOW] if at + WINDOW < len(times) else ended_ns
        if end - times[at] > allowed_ns:
            return True
        return False if at + WINDOW < len(times) else None

    fell = next((at for at, time in enumerate(times) if time < fault_end_ns and slow(at)), None)
    if fell is None:
        return 0
    back = next((at for at in range(fell + 1, len(times)) if slow(at) is False), None)
    return None if back is None else times[back] - fault_ns
