"""What a trace costs: off, the share of the time that goes into asking whether anyone listens; on, the speed left.

Run it by `python -m benchmarks.tracing`.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import timeit

from benchmarks.simulation import MESSAGES, quorum_run
from kvsim.core.trace import Sinks
from kvsim.sim.events import Observer, Sent

ROUNDS = 5
GOAL_OFF, GOAL_ON = 0.02, 0.5


def questions() -> tuple[float, float]:
    """How often a message makes the code ask whether anyone listens: by `detailed`, and by `wants`."""
    asked = {"detailed": 0, "wants": 0}
    wants, detailed = Sinks.wants, Observer.__dict__.get("detailed")

    def counted_wants(sinks: Sinks, kind: type) -> bool:
        asked["wants"] += 1
        return wants(sinks, kind)

    def counted_detailed(_: Observer) -> bool:
        asked["detailed"] += 1
        return False

    Sinks.wants = counted_wants  # type: ignore[method-assign,assignment]
    Observer.detailed = property(counted_detailed, lambda observer, value: None)  # type: ignore[assignment]
    try:
        quorum_run()
    finally:
        Sinks.wants = wants  # type: ignore[method-assign]
        if detailed is None:
            del Observer.detailed
    return asked["detailed"] / MESSAGES, asked["wants"] / MESSAGES


def off(rate: float) -> float:
    """The share of a run's time that these questions take, at so many messages a second."""
    detailed, wanted = questions()
    observer = Observer(lambda: 0)
    many = 1_000_000
    asking_s = timeit.timeit("observer.detailed", number=many, globals={"observer": observer}) / many
    wants_s = timeit.timeit("wants(Sent)", number=many, globals={"wants": observer.wants, "Sent": Sent}) / many
    print(
        f"off: {detailed:.2f} + {wanted:.2f} questions a message, {asking_s * 1e9:.0f} and {wants_s * 1e9:.0f} ns each"
    )
    return (detailed * asking_s + wanted * wants_s) * rate


def main() -> None:
    """Print both."""
    plain, traced = [], []
    for _ in range(ROUNDS):
        gc.collect()
        plain.append(quorum_run())
        gc.collect()
        with tempfile.TemporaryFile() as file:
            traced.append(quorum_run(trace=file))
    rate = statistics.median(plain)
    left = statistics.median(on / without for on, without in zip(traced, plain, strict=True))
    print(f"off: {100 * off(rate):.2f} % of the time (goal at most {100 * GOAL_OFF:g} %)")
    print(f"on, into a file: {left:.2f} of {rate:,.0f} messages a second (goal at least {GOAL_ON:g})")


if __name__ == "__main__":
    main()
