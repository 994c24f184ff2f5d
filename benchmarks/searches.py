"""Two searches for a linearizable order where values repeat: just in time, and whatever may come next.

    python -m benchmarks.searches

Wing and Gong's search, with Lowe's memo, tries every operation that may come next. Lowe's just-in-time variant, which
kvsim uses with rules of its own, places an operation only when a completion demands it. Both are given up after as many
configurations.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.judges import registers
from kvsim.check.linearizable import by_key
from kvsim.check.search import Explained, Limits, search
from kvsim.core.history import NEVER, Operation, operations

MOST = 300_000


def whatever_may_come_next(found: Sequence[Operation]) -> tuple[bool, int]:
    """Wing and Gong with Lowe's memo, for reads and writes: whether there is an order, and configurations met."""
    ends = sorted((o.completed, i) for i, o in enumerate(found))
    certain = sum(1 << i for i, o in enumerate(found) if o.completed != NEVER)
    seen: set[tuple[int, object]] = set()
    stack: list[tuple[int, object]] = [(0, None)]
    while stack and len(seen) < MOST:
        done, state = stack.pop()
        if done & certain == certain:
            return True, len(seen)
        if (done, state) in seen:
            continue
        seen.add((done, state))
        first_end = next(end for end, i in ends if not done >> i & 1)
        for i, o in enumerate(found):
            if o.invoked > first_end:
                break
            if not done >> i & 1 and (o.op == "put" or o.answer == state):
                stack.append((done | 1 << i, o.value if o.op == "put" else state))
    return False, len(seen)


def main() -> None:
    """A line a history."""
    print(
        "Two searches where values repeat: configurations met until an order was found. Placing an operation only when"
    )
    print("a completion demands it makes them grow with the operations, and hardly with how many of them overlap.")
    print(f"{'clients':>8} {'operations':>10} {'unknown':>8}   {'just in time':>24}   {'whatever may come next':>24}")
    for clients in (2, 4, 8, 16):
        for unknown in (0.0, 0.05):
            found = by_key(operations(registers(400, clients, 1, unique=False, unknown=unknown)))
            [of_key] = found.values()
            began = time.process_time()
            mine = search(of_key, Limits(float("inf"), MOST))
            mine_s = time.process_time() - began
            began = time.process_time()
            explained, met = whatever_may_come_next(of_key)
            other_s = time.process_time() - began
            first = f"{mine.configurations:,} in {mine_s:.3f} s" if isinstance(mine, Explained) else "gave up"
            second = f"{met:,} in {other_s:.3f} s" if explained else f"gave up after {other_s:.1f} s"
            print(f"{clients:8} {len(of_key):10} {unknown:8.0%}   {first:>24}   {second:>24}", flush=True)


if __name__ == "__main__":
    main()
