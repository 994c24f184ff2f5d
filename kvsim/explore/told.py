"""A schedule told: as commands of a transcript, and as a story in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kvsim.check.wording import counted
from kvsim.core.message import NodeId, tag_of
from kvsim.core.settings import shown_duration
from kvsim.explore import shown
from kvsim.explore.action import Action, Kind
from kvsim.explore.beginning import Beginning
from kvsim.explore.clients import asked_by
from kvsim.explore.local import Parcel
from kvsim.explore.state import BROKEN, Outcome, State
from kvsim.explore.world import World

# ---- As commands of a transcript


def cluster_command(world: World) -> str:
    """The command that builds the same cluster."""
    scenario = world.scenario
    words: list[str] = []
    replication = ""
    for key, value in scenario.table.items():
        settings = value if isinstance(value, dict) else {"strategy": value}
        if key == "replication":
            settings = dict(settings)
            replication = str(settings.pop("strategy"))
            words += [f"{name}={_word(setting)}" for name, setting in settings.items()]
        elif key in ("durability", "timeout"):
            words.append(f"{key}={value}")
        else:
            words += [
                f"{key}={_word(setting)}" if name == "strategy" else f"{key}.{name}={_word(setting)}"
                for name, setting in settings.items()
            ]
    nodes = [f"nodes={','.join(scenario.cluster.data)}"]
    if scenario.cluster.frontends:
        nodes.append(f"frontends={','.join(scenario.cluster.frontends)}")
    return " ".join(["cluster", replication, *words, *nodes])


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def commands(world: World, state: State, action: Action) -> list[str]:
    """What a transcript says for this step."""
    kind = action[0]
    if kind == Kind.ASK:
        ask = world.scenario.asks[action[1]][action[2]]
        name, _, rest = ask.words.partition(" ")
        return [f"{name} {_door(world, state, action)} {rest} client={world.scenario.clients[action[1]]}"]
    if kind == Kind.RETRY:
        ask = world.scenario.asks[action[1]][action[2]]
        return [f"retry {_door(world, state, action)} {ask.operation.request}"]
    if kind in _ON_A_NODE:
        node = world.nodes[action[1]]
        wait = _wait(world, state, action[1]) if kind == Kind.TIMER else []
        return [*wait, f"{_ON_A_NODE[kind]} {node}"]
    sender, to = world.nodes[action[1]], world.nodes[action[2]]
    link = action[1] * world.size + action[2]
    if kind == Kind.BREAK:
        back = action[2] * world.size + action[1]
        return [
            *(f"drop {sender}->{to}{_which(state, link, None)}" for p in state.streams[link] if p != BROKEN),
            *(f"drop {to}->{sender}{_which(state, back, None)}" for p in state.streams[back] if p != BROKEN),
        ]
    if kind == Kind.DELIVER:
        if state.streams[link][0] == BROKEN:
            return [f"lost {to} {sender}"]
        return [f"deliver {sender}->{to}{_which(state, link, None)}"]
    if kind == Kind.REPEAT:
        return [f"repeat {sender}->{to} datagram {action[3] + 1}"]
    verb = "deliver" if kind == Kind.ARRIVE else "drop"
    return [f"{verb} {sender}->{to}{_which(state, link, action[3])}"]


_ON_A_NODE: dict[int, str] = {
    Kind.SYNC: "sync-oldest",
    Kind.BREAK_DISK: "break-disk",
    Kind.TIMER: "timer",
    Kind.CRASH: "crash",
    Kind.RESTART: "restart",
}


def _which(state: State, link: int, datagram: int | None) -> str:
    """Which of several messages of a link, where the oldest alone would not say."""
    if datagram is None:
        return " stream" if state.datagrams[link] else ""
    return f" datagram {datagram + 1}" if datagram or _streams(state, link) else ""


def _streams(state: State, link: int) -> bool:
    return any(parcel != BROKEN for parcel in state.streams[link])


def _wait(world: World, state: State, at: int) -> list[str]:
    """With one clock for all, the time that passes on all of them until the timer is due."""
    local = state.locals[at]
    if not world.together or local.due_ns is None or local.due_ns <= state.clock_ns:
        return []
    return [f"wait {local.due_ns - state.clock_ns}ns"]


def _door(world: World, state: State, action: Action) -> NodeId:
    return world.nodes[world.door(state, action)]


def transcript(world: World, beginning: Beginning, path: Iterable[Action], head: str) -> str:
    """The schedule as a transcript that has not been run yet: what comes before it is not shown."""
    quietly = "quietly " if beginning.path else ""
    lines = [*(f"# {line}".rstrip() for line in head.splitlines()), quietly + cluster_command(world)]
    state = world.first()
    for action in beginning.path:
        lines += [f"quietly {command}" for command in commands(world, state, action)]
        state = world.act(state, action).state
    lines += ["----", ""]
    state = beginning.state
    for action in path:
        lines += [*commands(world, state, action), "----", ""]
        state = world.act(state, action).state
    return "\n".join(lines).rstrip("\n") + "\n"


# ---- In words


def sentence(world: World, state: State, action: Action) -> str:
    """What happens in this step."""
    kind = action[0]
    name = world.nodes[action[1]] if action[1] < world.size else ""
    if kind in (Kind.ASK, Kind.RETRY):
        client, ask = world.scenario.clients[action[1]], world.scenario.asks[action[1]][action[2]]
        again = " again" if kind == Kind.RETRY else ""
        return f"{client} asks {_door(world, state, action)}{again}: {ask.words}"
    if kind == Kind.SYNC:
        return f"the disk of {name} completes what it has begun: {state.locals[action[1]].work} is durable"
    if kind == Kind.BREAK_DISK:
        return f"the disk of {name} fails while it syncs {state.locals[action[1]].work}"
    if kind == Kind.TIMER:
        return f"a timer of {name} goes off, at {shown_duration(state.locals[action[1]].due_ns or 0)} of its clock"
    if kind == Kind.CRASH:
        return f"{name} loses power{_lost_with(state, action[1])}"
    if kind == Kind.RESTART:
        return f"{name} starts again, with what its disk kept"
    return _about_messages(world, state, action)


def _lost_with(state: State, at: int) -> str:
    work = state.locals[at].work
    return f", while it syncs {work}" if work else ""


def _about_messages(world: World, state: State, action: Action) -> str:
    sender, to = world.nodes[action[1]], world.nodes[action[2]]
    link = action[1] * world.size + action[2]
    if action[0] == Kind.BREAK:
        back = action[2] * world.size + action[1]
        lost = [_named(world.locals.parcels[p]) for q in (link, back) for p in state.streams[q] if p != BROKEN]
        return f"the connection between {sender} and {to} breaks; lost with it: {', '.join(lost)}"
    if action[0] == Kind.DELIVER:
        parcel = state.streams[link][0]
        if parcel == BROKEN:
            return f"{to} learns that its connection with {sender} broke"
        return f"{to} receives from {sender}: {_line(world.locals.parcels[parcel])}"
    parcel = state.datagrams[link][action[3]]
    line = _line(world.locals.parcels[parcel])
    if action[0] == Kind.LOSE:
        return f"a datagram from {sender} to {to} is lost: {line}"
    twice = ", and will once more" if action[0] == Kind.REPEAT else ""
    return f"{to} receives from {sender}: {line}{twice}"


def _line(parcel: Parcel) -> str:
    return shown.line(parcel.envelope.message)


def _named(parcel: Parcel) -> str:
    return f"{tag_of(parcel.envelope.message)} to {parcel.to}"


def consequences(world: World, outcome: Outcome) -> list[str]:
    """What a step led to: events, answers to clients, failures; what was sent shows when it arrives."""
    step = outcome.step
    if step is None:
        return []
    node = step.local.node
    found = [f"{node} records {shown.line(event)}" for event in step.events]
    for number, answer in step.answers:
        client, position, _ = asked_by(number)
        request = world.scenario.asks[client][position].operation.request
        found.append(f"{node} answers {world.scenario.clients[client]}: {shown.answer(answer, request)}")
    if step.failure is not None:
        found.append(f"{node} stops: {type(step.failure).__name__}: {step.failure}")
    return found


def story(world: World, beginning: Beginning, path: Sequence[Action], why: str, title: str) -> str:
    """The schedule as `story.md`: numbered steps in words."""
    lines = [f"# {title}", "", f"**{why[:1].upper()}{why[1:]}.**", ""]
    if world.scenario.past is not None:
        lines += [f"Before this, the run up to {world.scenario.past.words}.", ""]
    if beginning.path:
        said = ", ".join(f"`{text}`" for text in world.scenario.settings.begin)
        steps, are = counted(len(beginning.path), "step"), "is" if len(beginning.path) == 1 else "are"
        lines += [f"Before this, {steps} that {are} always the same: {said}.", ""]
    state = beginning.state
    for number, action in enumerate(path, 1):
        lines.append(f"{number}. {_capital(sentence(world, state, action))}.")
        outcome = world.act(state, action)
        lines += [f"   - {line}" for line in consequences(world, outcome)]
        state = outcome.state
    return "\n".join(lines) + "\n"


def _capital(text: str) -> str:
    return text if "-" in text.split(" ", 1)[0] else text[:1].upper() + text[1:]
