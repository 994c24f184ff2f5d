"""One server and those who wait for it: queueing theory, and what a closed loop fails to measure."""

from __future__ import annotations

from collections.abc import Callable

from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds
from kvsim.lab.experiment import Setup
from kvsim.lab.published.trial import Asker, Measured, quantile, world_of


def sojourn(setup: Setup, trials: int, seed: int) -> Measured:
    """Time from arrival to the end of service, over jobs after a warm-up of a tenth; and Little's law over the same."""
    world = world_of(setup, seed)
    world.start()
    rate, [server] = setup.workload.rate, setup.cluster.data
    assert rate is not None, "arrivals have a rate"
    asker, chance = Asker(world), world.chance.stream("arrivals")
    times: list[Nanoseconds] = []
    warm_up = trials // 10
    state = {"arrived": 0, "inside": 0, "since": 0, "area": 0, "answered": 0, "begun": 0}

    def count(change: int) -> None:
        now = world.now()
        state["area"] += state["inside"] * (now - state["since"])
        state["inside"] += change
        state["since"] = now

    def arrive() -> None:
        if state["arrived"] == warm_up:
            count(0)
            state["area"], state["begun"] = 0, world.now()
        number = state["arrived"]
        state["arrived"] += 1
        count(1)
        came_ns = world.now()

        def answered(_: object) -> None:
            count(-1)
            state["answered"] += 1
            if number >= warm_up:
                times.append(world.now() - came_ns)

        asker.read(server, answered)
        if state["arrived"] < trials:
            world.at(world.now() + round(chance.exponential(SECOND / rate)), arrive)

    world.at(0, arrive)
    world.run(round(1.2 * trials / rate * SECOND) + 10 * SECOND)
    assert state["answered"] == trials, "every job is served"
    period_ns = state["since"] - state["begun"]
    mean_ns = sum(times) / len(times)
    metrics = {
        "mean_sojourn_ms": mean_ns / MILLISECOND,
        "p99_sojourn_ms": quantile(sorted(times), 0.99) / MILLISECOND,
        "littles_law_ratio": state["area"] / period_ns / (len(times) / period_ns * mean_ns),
    }
    return Measured(metrics, {})


def coordinated_omission(setup: Setup, trials: int, seed: int) -> Measured:
    """A server that stands still for half of the time, as an open and as a closed loop see it."""
    open_loop, closed_loop = _paused(setup, trials, seed, closed=False), _paused(setup, trials, seed, closed=True)
    metrics = {}
    for name, times in (("open", sorted(open_loop)), ("closed", sorted(closed_loop))):
        metrics[f"{name}_loop_mean_ms"] = sum(times) / len(times) / MILLISECOND
        metrics[f"{name}_loop_p99_ms"] = quantile(times, 0.99) / MILLISECOND
    milliseconds = {"open loop": open_loop, "closed loop": closed_loop}
    return Measured(
        metrics, {f"latency, {name} (ms)": [t / MILLISECOND for t in times] for name, times in milliseconds.items()}
    )


def _paused(setup: Setup, trials: int, seed: int, *, closed: bool) -> list[Nanoseconds]:
    """Latencies of requests every 10 ms, while the server pauses for the second half of the time."""
    world = world_of(setup, seed)
    world.start()
    [server] = setup.cluster.data
    asker, pace_ns = Asker(world), 10 * MILLISECOND
    end_ns = trials * pace_ns
    world.at(end_ns // 2, lambda: world.hosts[server].pause(end_ns // 2))
    times: list[Nanoseconds] = []

    def ask(due_ns: Nanoseconds) -> None:
        began_ns = world.now()

        def answered(_: object) -> None:
            times.append(world.now() - (began_ns if closed else due_ns))
            if closed:
                go_on(max(due_ns + pace_ns, world.now()))

        asker.read(server, answered)
        if not closed:
            go_on(due_ns + pace_ns)

    def go_on(at_ns: Nanoseconds) -> None:
        if at_ns < end_ns:
            world.at(at_ns, _later(ask, at_ns))

    go_on(0)
    world.run(3 * end_ns)
    return times


def _later(call: Callable[[Nanoseconds], None], at_ns: Nanoseconds) -> Callable[[], None]:
    return lambda: call(at_ns)
