"""What has happened before a search begins: a few commands, which lead to the same moment each time."""

from __future__ import annotations

from typing import NamedTuple

from kvsim.core.invariant import Breach
from kvsim.core.settings import SettingsError, nearest
from kvsim.explore.action import Action, Kind
from kvsim.explore.always import Always
from kvsim.explore.state import PLENTY, Outcome, State
from kvsim.explore.world import World

MOST_STEPS = 10_000
COMMANDS = ("settle", "timer", "sync", "crash", "restart", "deliver", "arrive", "ask")


class Beginning(NamedTuple):
    """The moment from which a search goes on, and the steps that lead there."""

    state: State
    path: tuple[Action, ...]


def begin(world: World) -> Beginning:
    """Do what `[explore] begin` says. Raises `SettingsError` for what makes no sense."""
    state = _first(world)
    path: list[Action] = []
    for at, text in enumerate(world.scenario.settings.begin):
        where = f"{world.scenario.name}: explore.begin[{at}]"
        try:
            if text == "settle":
                state = _settled(world, state, path)
                continue
            action = action_named(world, state, text)
        except ValueError as error:
            raise SettingsError([f"{where}: {error}"]) from None
        state = _taken(world, state, action, path, where).state
    return Beginning(world.bounded(state), tuple(path))


def _first(world: World) -> State:
    """The first moment. Where a run led to it, that must not have broken anything."""
    try:
        state = world.first()
    except Breach as breach:
        raise _broken_before(world, str(breach)) from None
    if why := Always(world.scenario).refutes(state.seen):
        raise _broken_before(world, why)
    return state


def _broken_before(world: World, why: str) -> SettingsError:
    return SettingsError([f"{world.scenario.name}: what came before breaks a promise already: {why}"])


def _settled(world: World, state: State, path: list[Action]) -> State:
    """Disks work and messages arrive until nothing of that is left."""
    for _ in range(MOST_STEPS):
        calm = [action for action in world.possible(state) if action[0] in (Kind.SYNC, Kind.DELIVER, Kind.ARRIVE)]
        if not calm:
            return state
        state = _taken(world, state, max(calm), path, "settle").state
    raise ValueError(f"settle does not end within {MOST_STEPS:,} steps")


def _taken(world: World, state: State, action: Action, path: list[Action], where: str) -> Outcome:
    if action not in world.possible(state):
        raise SettingsError([f"{where}: cannot happen at this moment"])
    path.append(action)
    outcome = world.act(state._replace(left=(PLENTY,) * len(state.left)), action)
    if outcome.wrong:
        raise SettingsError([f"{where}: {outcome.wrong}"])
    return outcome


def action_named(world: World, state: State, text: str) -> Action:
    """What a command means at this moment. Raises ValueError."""
    name, *words = text.split()
    if name not in COMMANDS or len(words) != 1:
        raise ValueError(
            f"expected a command and one name, as in 'timer {world.nodes[-1]}', got {text!r}{nearest(name, COMMANDS)}"
        )
    [word] = words
    if name == "ask":
        if word not in world.scenario.clients:
            raise ValueError(f"there is no client {word}{nearest(word, world.scenario.clients)}")
        at = world.scenario.clients.index(word)
        return (Kind.ASK, at, state.clients[at].asked)
    if name in ("deliver", "arrive"):
        sender, _, to = word.partition("->")
        link = (_place(world, sender), _place(world, to))
        return (Kind.DELIVER, *link) if name == "deliver" else (Kind.ARRIVE, *link, 0)
    return (Kind[name.upper()], _place(world, word))


def _place(world: World, node: str) -> int:
    if node not in world.place:
        raise ValueError(f"there is no node {node!r}{nearest(node, world.place)}")
    return world.place[node]
