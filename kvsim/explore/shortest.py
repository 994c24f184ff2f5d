"""The shortest schedule that still breaks a promise: fewer faults first, then fewer steps, then fewer requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from kvsim.explore.action import BUDGET, Action, Kind
from kvsim.explore.scenario import Ask, Scenario
from kvsim.explore.search import Finding, Search, Watch, with_faults
from kvsim.explore.state import BROKEN, State
from kvsim.explore.walks import Walks
from kvsim.explore.world import World

FEW = 3
"""Steps in a row that are left out together in the end."""
MOST_STEPS = 50_000
"""Of the search of each smaller number of faults, and of the walks after it."""


def shortest(world: World, state: State, found: Finding, seed: int, go_on: Callable[[], bool]) -> Finding:
    """As short as time allows: steps left out as long as it fails, and a search of each smaller number of faults."""
    found = _without_idle_steps(world, state, found)
    for fewer in range(faults_of(found.path)):
        watch = Watch(world.scenario)
        fewer_faults = with_faults(state, fewer)
        Search(world, watch, fewer_faults).run(lambda: go_on() and watch.counts.steps < MOST_STEPS)  # noqa: B023
        if watch.finding is None:
            until = 2 * watch.counts.steps
            Walks(world, watch, seed).run(fewer_faults, lambda: go_on() and watch.counts.steps < until)  # noqa: B023
        if watch.finding is not None:
            return _without_idle_steps(world, state, watch.finding)
        if not go_on():
            break
    return found


def faults_of(path: Iterable[Action]) -> int:
    """How many faults a path has."""
    return sum(action[0] in BUDGET for action in path)


def _without_idle_steps(world: World, state: State, found: Finding) -> Finding:
    """Leave out steps, many at once first, until no few of them in a row can be spared."""
    size = max(1, len(found.path) // 2)
    while size > FEW:
        found = _without(world, state, found, size, size)
        size //= 2
    before = None
    while before is not found:
        before = found
        for size in range(FEW, 0, -1):
            found = _without(world, state, found, size, 1)
    return found


def _without(world: World, state: State, found: Finding, size: int, stride: int) -> Finding:
    """Leave out so many steps in a row, wherever it fails without them."""
    at = 0
    while at < len(found.path):
        tried = replay(world, state, found.path[:at] + found.path[at + size :])
        if tried is not None and _cost(tried) < _cost(found):
            found = tried
        else:
            at += stride
    return found


def _cost(found: Finding) -> tuple[int, int]:
    return (faults_of(found.path), len(found.path))


def replay(world: World, state: State, path: Sequence[Action]) -> Finding | None:
    """What is wrong when as many of these steps happen as can; None if nothing is.

    News that a stream broke stands before the messages behind it: it arrives first where these are to arrive.
    """
    watch = Watch(world.scenario)
    done: list[Action] = []
    todo = deque(path)
    while todo:
        action = todo.popleft()
        if not is_possible(world, state, action):
            continue
        done.append(action)
        outcome = world.act(state, action)
        if watch.look(state, outcome, lambda: tuple(done)):
            return watch.finding
        is_news = action[0] == Kind.DELIVER and state.streams[action[1] * world.size + action[2]][0] == BROKEN
        state = outcome.state
        if is_news and todo.count(action) < _messages(state, world, action):
            todo.appendleft(action)
    return None


def _messages(state: State, world: World, action: Action) -> int:
    return sum(parcel != BROKEN for parcel in state.streams[action[1] * world.size + action[2]])


def is_possible(world: World, state: State, action: Action) -> bool:
    """Whether this can happen now. A client may leave out operations."""
    if action[0] != Kind.ASK:
        return action in world.enabled(state)
    client = state.clients[action[1]]
    doors = world.scenario.asks[action[1]][action[2]].doors
    is_up = any(state.locals[world.place[door]].is_up for door in doors)
    return is_up and not client.waits and action[2] >= client.asked


def without_unasked(scenario: Scenario, path: tuple[Action, ...]) -> tuple[Scenario, tuple[Action, ...]]:
    """The same path in a world where nothing is asked but what the path needs."""
    used = [
        sorted({action[2] for action in path if action[0] in (Kind.ASK, Kind.RETRY) and action[1] == at})
        for at in range(len(scenario.clients))
    ]
    if not any(used):
        return scenario, path  # nobody need ask anything
    asks: list[tuple[Ask, ...]] = []
    for at, positions in enumerate(used):
        asks.append(tuple(_renumbered(scenario.asks[at][old], new) for new, old in enumerate(positions)))
    moved = tuple(
        (action[0], action[1], used[action[1]].index(action[2]), *action[3:])
        if action[0] in (Kind.ASK, Kind.RETRY)
        else action
        for action in path
    )
    return scenario._replace(asks=tuple(asks)), moved


def _renumbered(ask: Ask, position: int) -> Ask:
    request = msgspec.structs.replace(ask.operation.request, number=position + 1)
    return ask._replace(operation=msgspec.structs.replace(ask.operation, request=request))
