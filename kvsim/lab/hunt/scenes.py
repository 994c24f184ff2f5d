"""Scenes: faults that belong together, drawn where protocols are known to be weak. Half of a hunt's runs play them.

A schedule of single faults at random times seldom meets the moment between a promise and the disk, or an election while
two servers cannot hear each other. A scene strikes at such moments: just when a node notes an event of its protocol.
Which fault meets which event is not left to chance: each seed takes the next pair of the two, so that all are met.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from kvsim.core.chance import Chance
from kvsim.core.design import Design
from kvsim.core.message import MILLISECOND, Nanoseconds
from kvsim.lab.grid import Table
from kvsim.sim.faults.triggers import kinds_of_events
from kvsim.sim.nemesis import Whom, written

AT_EVENTS = ("crash", "crash all", "pause", "isolate")
"""What may strike just when an event is noted."""
GAP_NS = 600 * MILLISECOND
"""From one scene of a run to the next, on average: what the last one changed has mostly settled by then."""

Scene = Callable[[Whom, "Aim"], list[tuple[Nanoseconds, Nanoseconds, Table]]]
"""Draws (time from the scene's beginning, how long, the fault's own keys)."""


class Aim:
    """Which fault meets which event in this run."""

    def __init__(self, seed: int, events: Sequence[str]) -> None:
        moments = (*events, "write acknowledged")
        number = seed // 2
        self.fault = AT_EVENTS[number % len(AT_EVENTS)]
        self.when = moments[number // len(AT_EVENTS) % len(moments)]


def events_of(design: Design) -> list[str]:
    """The tags of the events that the design's protocols note: what their modules declare."""
    homes: dict[str, None] = {}
    for choice in design.choices.values():
        for cls in inspect.getmro(choice.strategy):
            module, package = cls.__module__, cls.__module__.rpartition(".")[0]
            homes[module] = None
            if package and (package.count(".") >= 3 or not package.startswith("kvsim")):
                homes[package] = None  # a protocol that is a package of its own
    places = {tag: {kind.__module__ for kind in kinds} for tag, kinds in kinds_of_events().items()}
    places = {tag: where | {module.rpartition(".")[0] for module in where} for tag, where in places.items()}
    return sorted(tag for tag, where in places.items() if not where.isdisjoint(homes))


def draw_scenes(whom: Whom, aim: Aim, until_ns: Nanoseconds, *, retries: bool) -> list[Table]:
    """The schedule of one run: scene after scene, all healed by then. `retries`: whether clients ask again."""
    chance = whom.chance
    at_ns = chance.between(10, 300) * MILLISECOND
    tables: list[Table] = []
    scenes = _scenes(whom, retries)
    scene = chance.pick(scenes)
    while at_ns < until_ns:
        if chance.happens(0.3):
            scene = chance.pick(scenes)
        for after_ns, lasts_ns, table in scene(whom, aim):
            begins_ns = at_ns + after_ns
            if begins_ns + lasts_ns <= until_ns:
                kind = {"kind": table["kind"], "at": written(begins_ns), "lasts": written(lasts_ns)}
                tables.append(kind | table)
        at_ns += MILLISECOND + round(chance.exponential(GAP_NS))
    return tables


def _brief(chance: Chance) -> Nanoseconds:
    """Down and up again before anybody's patience is over; mostly."""
    return chance.between(1, 40) * MILLISECOND


def _long(chance: Chance) -> Nanoseconds:
    """Longer than leases and election timeouts."""
    return chance.between(300, 1_500) * MILLISECOND


def _at_an_event(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """The run's fault, when the run's event happens next."""
    chance = whom.chance
    lasts_ns = _brief(chance) if chance.happens(0.6) else _long(chance)
    moment = {"when": aim.when}
    if aim.fault == "crash all":
        return [(0, lasts_ns, {"kind": "crash", "node": node} | moment) for node in whom.cluster.data]
    return [(0, lasts_ns, {"kind": aim.fault, "node": _anybody(whom)} | moment)]


def _anybody(whom: Whom) -> str:
    return whom.chance.pick((*whom.roles, *whom.cluster.data))


def _change_of_leader(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """The leader is gone; those who are left may hear each other badly; and somebody crashes when one is elected."""
    chance, data = whom.chance, whom.cluster.data
    gone = {"kind": chance.pick(("crash", "isolate", "pause")), "node": whom.roles[0]}
    scene = [(0, _long(chance), gone)]
    if chance.happens(0.6):
        scene.append((0, _long(chance), _trouble_among(whom)))
    if chance.happens(0.5):
        slow: Table = {"kind": "slow_disk", "node": chance.pick(data), "factor": 50.0}
        scene.append((0, _long(chance), slow))
    if chance.happens(0.7):
        crash = {"kind": "crash", "node": _anybody(whom), "when": chance.pick((aim.when, "leader elected"))}
        scene.append((MILLISECOND, _brief(chance), crash))
    return scene


def _trouble_among(whom: Whom) -> Table:
    chance, data = whom.chance, list(whom.cluster.data)
    chance.shuffle(data)
    shape = chance.pick(("bridge", "one_way", "pair")) if len(data) > 1 else "bridge"
    if shape == "one_way":
        return {"kind": "one_way", "senders": [data[0]], "receivers": [data[1]]}
    if shape == "pair":
        return {"kind": "partition", "sides": [[data[0]], [data[1]]]}
    return {"kind": "bridge", "node": data[0]}


def _short_lived_leaders(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """Leader after leader is cut off or loses power soon after it was elected, and comes back when others have led."""
    chance = whom.chance
    scene: list[tuple[Nanoseconds, Nanoseconds, Table]] = []
    for number in range(chance.between(2, 4)):
        fault: Table = {"kind": chance.pick(("crash", "isolate", "isolate")), "node": whom.roles[0]}
        if number and chance.happens(0.5):
            fault["when"] = "leader elected"
        after_ns = number * chance.between(150, 400) * MILLISECOND
        scene.append((after_ns, chance.between(100, 600) * MILLISECOND, fault))
    return scene


def _old_leader(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """Who leads is cut off with a door of its own, or stands still, for longer than any lease: it may not know."""
    chance, cluster = whom.chance, whom.cluster
    leader = whom.roles[0]
    if chance.happens(0.3):
        return [(0, _long(chance), {"kind": "pause", "node": leader})]
    side = [leader] if not cluster.frontends else [leader, chance.pick(cluster.frontends)]
    rest = [node for node in cluster.everyone() if node not in side]
    behind = [node for node in (*cluster.services, *cluster.data) if node not in side]
    return [(0, _long(chance), {"kind": "partition", "sides": [side, rest if chance.happens(0.5) else behind]})]


def _power_cut(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """All that hold data lose power, at about the same time; some of them may have been out of touch before."""
    chance = whom.chance
    lasts_ns = _brief(chance)
    cuts = [(chance.between(0, 3) * MILLISECOND, lasts_ns, {"kind": "crash", "node": n}) for n in whom.cluster.data]
    if chance.happens(0.4):
        cuts.append((0, 5 * MILLISECOND + lasts_ns, _trouble_among(whom)))
    return cuts


def _lost_answers(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """A door does what it was asked and cannot say so, for longer than clients wait: they ask again."""
    chance = whom.chance
    kind = chance.pick(("crash", "isolate", "isolate"))
    fault: Table = {"kind": kind, "node": chance.pick(whom.cluster.doors())}
    if kind == "isolate":
        fault["clients"] = True
    if chance.happens(0.7):
        fault["when"] = chance.pick((aim.when, "write acknowledged"))
    return [(0, chance.between(250, 900) * MILLISECOND, fault)]


def _unseen_by_the_service(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """Who leads is dead to the service that watches, and to nobody else."""
    sides = [[whom.roles[0]], list(whom.cluster.services)]
    return [(0, _long(whom.chance), {"kind": "partition", "sides": sides})]


def _broken_links(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """Two nodes lose touch just long enough for a stream to break, while all others hear both."""
    chance, data = whom.chance, list(whom.cluster.data)
    if len(data) < 2:
        return []
    chance.shuffle(data)
    lasts_ns = chance.between(100, 1_600) * MILLISECOND
    return [(0, lasts_ns, {"kind": "partition", "sides": [[data[0]], [data[1]]]})]


def _slow_and_scattered(whom: Whom, aim: Aim) -> list[tuple[Nanoseconds, Nanoseconds, Table]]:
    """Links of different slowness, so that one message of several arrives long before the others; and a crash."""
    chance, everyone = whom.chance, list(whom.cluster.everyone())
    lasts_ns = _long(chance)
    scene: list[tuple[Nanoseconds, Nanoseconds, Table]] = []
    for _ in range(chance.between(1, 3)):
        chance.shuffle(everyone)
        delay = {"kind": "delay", "delay": written(chance.between(5, 200) * MILLISECOND), "between": everyone[:2]}
        scene.append((0, lasts_ns, delay))
    if chance.happens(0.3):
        scene.append((chance.between(5, 200) * MILLISECOND, _brief(chance), {"kind": "crash", "node": _anybody(whom)}))
    return scene


def _scenes(whom: Whom, retries: bool) -> list[Scene]:
    """Those that this cluster can have; the likelier ones several times."""
    scenes: list[Scene] = [_at_an_event, _power_cut, _lost_answers, _broken_links, _slow_and_scattered]
    if whom.roles:
        scenes += [_change_of_leader, _change_of_leader, _short_lived_leaders, _old_leader, _old_leader]
        scenes += [_unseen_by_the_service] if whom.cluster.services else []
    if retries:  # where nobody leads, little else shows what a retry does
        scenes += (len(scenes) // 2 if whom.roles else 2 * len(scenes)) * [_lost_answers]
    return scenes
