"""Nemesis: draws a schedule of faults from a seed, as data that an experiment's `[[faults]]` could hold.

A kind of fault joins by one function under `@draws`. With `swarm` each run uses a random subset of the kinds: some bugs
show only while others are kept from happening (Groce et al., "Swarm testing", ISSTA 2012).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, NamedTuple

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.settings import duration_ns, nearest
from kvsim.sim.faults.base import ROLES

Table = dict[str, Any]
Positive = Annotated[int, msgspec.Meta(gt=0)]
GRAIN_NS = MILLISECOND // 100
"""Times in a schedule are multiples of this, so that people can read them."""


class Whom(NamedTuple):
    """Whom faults may aim at, and the stream that chooses."""

    chance: Chance
    cluster: Cluster
    roles: Sequence[str]
    """Roles that somebody has, such as `leader`."""
    zones: Sequence[str] = ()
    """Places of the network where nodes are, if there are several and they are not single nodes."""
    disks: bool = True
    """Whether the design writes to disks."""

    def node(self) -> str:
        """A role if there are any, or any node; nodes that hold data twice as often."""
        if self.roles and self.chance.happens(0.4):
            return self.chance.pick(self.roles)
        return self.chance.pick((*self.cluster.everyone(), *self.cluster.data))

    def some(self, among: Sequence[NodeId]) -> list[NodeId]:
        """At least one of them, and not all where there are several."""
        chosen = list(among)
        self.chance.shuffle(chosen)
        return sorted(chosen[: self.chance.between(1, max(1, len(chosen) - 1))])


class Need(NamedTuple):
    """What a kind of fault must find to do any harm."""

    is_met: Callable[[Whom], bool]
    said: str


ZONES = Need(lambda whom: len(whom.zones) > 1, "two zones with nodes in them, as in the graph three_zones")
DISKS = Need(lambda whom: whom.disks, 'a design with durability = "disk"')


def servers(count: int) -> Need:
    """So many ServerData."""
    return Need(lambda whom: len(whom.cluster.data) >= count, f"{count} ServerData nodes")


class Kind(NamedTuple):
    """How one kind of fault is drawn."""

    weight: float
    shortest_ns: Nanoseconds
    longest_ns: Nanoseconds
    draw: Callable[[Whom], list[Table]]
    """The fault's own keys; several tables are faults that strike together."""
    need: Need | None = None
    """None: it makes sense anywhere."""


KINDS: dict[str, Kind] = {}


def draws(
    kind: str, *, weight: float = 1.0, shortest: str = "20ms", longest: str = "1s", need: Need | None = None
) -> Callable[[Callable[[Whom], list[Table]]], Callable[[Whom], list[Table]]]:
    """Declare how a kind of fault is drawn, how often beside the others, and how long it lasts."""

    def declare(draw: Callable[[Whom], list[Table]]) -> Callable[[Whom], list[Table]]:
        KINDS[kind] = Kind(weight, duration_ns(shortest), duration_ns(longest), draw, need)
        return draw

    return declare


@draws("crash", weight=3.0, shortest="5ms", longest="2s")
def _crash(whom: Whom) -> list[Table]:
    """One node, or several at once, as when a rack loses power; sometimes just when something was promised."""
    moment: Table = {}
    if whom.chance.happens(0.2):
        moment = {"when": "write acknowledged"}
    elif whom.roles and whom.chance.happens(0.2):
        moment = {"when": "leader elected"}
    if whom.chance.happens(0.5):
        return [{"node": whom.node()} | moment]
    nodes = list(whom.cluster.data) if whom.chance.happens(0.6) else whom.some(whom.cluster.data)
    return [{"node": node} | moment for node in nodes]


@draws("partition", weight=3.0, shortest="50ms", longest="2s")
def _partition(whom: Whom) -> list[Table]:
    """One node alone; all nodes in two parts; or the nodes in two parts that clients' doors still reach both."""
    chance, cluster = whom.chance, whom.cluster
    shape = chance.pick(("alone", "two parts", "behind the doors", "with a door"))
    if shape == "alone":
        return [{"sides": [[whom.node()]]}]
    if shape == "with a door" and cluster.frontends:
        inner = chance.pick(tuple(whom.roles) or cluster.data)
        return [_two_sides(cluster.everyone(), [inner, chance.pick(cluster.frontends)])]
    among = cluster.everyone() if shape == "two parts" else (*cluster.services, *cluster.data)
    return [_two_sides(among, whom.some(among))]


def _two_sides(among: Sequence[NodeId], side: list[NodeId]) -> Table:
    rest = [node for node in among if node not in side]
    return {"sides": [side, rest] if rest else [side]}


@draws("loss", shortest="50ms")
def _loss(whom: Whom) -> list[Table]:
    """Some links or all lose a part of what they carry."""
    return [{"share": round(whom.chance.uniform(0.02, 0.5), 2)} | _between(whom)]


@draws("delay", shortest="50ms")
def _delay(whom: Whom) -> list[Table]:
    """Some links or all are slow, from a little to longer than any timeout that a protocol would choose."""
    delay_ns = whom.chance.lognormal(20 * MILLISECOND, 1.2)
    return [{"delay": written(min(SECOND, round(delay_ns)))} | _between(whom)]


@draws("flaky", shortest="50ms")
def _flaky(whom: Whom) -> list[Table]:
    """Some links or all lose, repeat and reorder."""
    share = round(whom.chance.uniform(0.02, 0.3), 2)
    return [{"loss": share, "duplicate": share, "reorder": share} | _between(whom)]


@draws("isolate", weight=0.5, shortest="50ms", longest="2s")
def _isolate(whom: Whom) -> list[Table]:
    """One node alone, from clients too every other time."""
    return [{"node": whom.node(), "clients": whom.chance.happens(0.5)}]


@draws("one_way", shortest="50ms", longest="2s")
def _one_way(whom: Whom) -> list[Table]:
    """A node is heard by nobody, or hears nobody."""
    node = whom.chance.pick(whom.cluster.everyone())
    others = [other for other in whom.cluster.everyone() if other != node]
    if not others or whom.chance.happens(0.5):
        return [{"senders": [node]}]
    return [{"senders": others, "receivers": [node]}]


@draws("bridge", weight=0.5, shortest="50ms", longest="2s", need=servers(3))
def _bridge(whom: Whom) -> list[Table]:
    """Two halves that only one node reaches."""
    return [{"node": whom.chance.pick(whom.cluster.data)}]


@draws("majorities_ring", weight=0.5, shortest="50ms", longest="2s", need=servers(4))
def _majorities_ring(whom: Whom) -> list[Table]:
    """Each reaches a majority, and no two the same."""
    return [{}]


@draws("pause", weight=2.0, shortest="20ms", longest="2s")
def _pause(whom: Whom) -> list[Table]:
    """A node stands still, for as long as a collection of garbage or as a virtual machine that is moved."""
    return [{"node": whom.node()}]


@draws("rolling_restart", weight=0.5, shortest="100ms", longest="2s")
def _rolling_restart(whom: Whom) -> list[Table]:
    """All that hold data, one after the other."""
    return [{}]


@draws("slow_cpu", shortest="50ms", longest="2s")
def _slow_cpu(whom: Whom) -> list[Table]:
    """A node that answers late."""
    return [_slow(whom)]


@draws("slow_disk", shortest="50ms", longest="2s", need=DISKS)
def _slow_disk(whom: Whom) -> list[Table]:
    """A node whose syncs take long."""
    return [_slow(whom)]


def _slow(whom: Whom) -> Table:
    return {"node": whom.node(), "factor": round(whom.chance.lognormal(20, 1.0)) + 2.0}


@draws("slow_link", shortest="50ms")
def _slow_link(whom: Whom) -> list[Table]:
    """Some links or all carry little, from what a busy one leaves over down to a modem's."""
    bytes_per_s = whom.chance.lognormal(50_000, 1.5)
    return [{"bandwidth": f"{min(10_000, max(1, round(bytes_per_s / 1_000)))}kB/s"} | _between(whom)]


@draws("overload", weight=0.5, shortest="50ms", longest="500ms")
def _overload(whom: Whom) -> list[Table]:
    """A burst of readers, of many keys or of a few that all meet at the same replicas."""
    rate = min(20_000, max(100, round(whom.chance.lognormal(2_000, 1.0))))
    return [{"rate": rate, "keys": whom.chance.pick((1, 10, 1_000))}]


@draws("zone_outage", shortest="20ms", longest="2s", need=ZONES)
def _zone_outage(whom: Whom) -> list[Table]:
    """A place loses power."""
    return [{"zone": whom.chance.pick(whom.zones)}]


@draws("zone_partition", shortest="50ms", longest="2s", need=ZONES)
def _zone_partition(whom: Whom) -> list[Table]:
    """Places are cut off from the others, with the clients in them."""
    return [{"zones": whom.some(whom.zones)}]


# Beyond what designs promise to bear: drawn only where an experiment names them.


@draws("disk_lost", weight=0.0, need=DISKS)
def _disk_lost(whom: Whom) -> list[Table]:
    """A node comes back with an empty disk."""
    return [{"node": whom.chance.pick(whom.cluster.data)}]


@draws("disk_full", weight=0.0, shortest="50ms", need=DISKS)
def _disk_full(whom: Whom) -> list[Table]:
    """A disk without room."""
    return [{"node": whom.chance.pick(whom.cluster.data)}]


@draws("failing_sync", weight=0.0, need=DISKS)
def _failing_sync(whom: Whom) -> list[Table]:
    """A disk whose syncs fail, which stops its node."""
    return [{"node": whom.chance.pick(whom.cluster.data)}]


@draws("flipped_bits", weight=0.0, need=DISKS)
def _flipped_bits(whom: Whom) -> list[Table]:
    """A disk that reads other bits than were written."""
    return [{"node": whom.chance.pick(whom.cluster.data)}]


@draws("clock_jump", weight=0.0, shortest="100ms")
def _clock_jump(whom: Whom) -> list[Table]:
    """A calendar that is wrong."""
    by_ns = round(whom.chance.lognormal(100 * MILLISECOND, 1.5))
    return [{"node": whom.node(), "by": written(by_ns), "backwards": whom.chance.happens(0.5)}]


@draws("clock_drift", weight=0.0, shortest="100ms", longest="3s")
def _clock_drift(whom: Whom) -> list[Table]:
    """Clocks that run too fast or too slow."""
    return [{"node": whom.node(), "ppm": whom.chance.between(-200_000, 200_000)}]


def _between(whom: Whom) -> Table:
    if whom.chance.happens(0.4) or len(whom.cluster.everyone()) < 2:
        return {}
    some = list(whom.cluster.everyone())
    whom.chance.shuffle(some)
    return {"between": sorted(some[: max(2, whom.chance.between(1, len(some) - 1))])}


class NemesisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[nemesis]`: faults drawn for each run from its seed."""

    kinds: Mapping[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    """Kinds of faults and how often each comes beside the others: `{ crash = 3, partition = 1 }`. When not given, all
    that designs promise to bear; lost disks and wrong clocks, for instance, must be named."""
    shortest: Mapping[str, str] = {}
    """How long at least a fault of a kind lasts: `{ partition = "500ms" }`."""
    mean_interval_ns: Positive = 300 * MILLISECOND
    """The mean time from one fault to the next, exponentially distributed."""
    swarm: bool = True
    """Whether each run draws which of the kinds it uses."""
    healed_ns: Positive = 3 * SECOND
    """The end of the workload, in which no fault is in force, so that progress is judged too; of a short one the last
    seven eighths."""

    def __post_init__(self) -> None:
        for name in (*self.kinds, *self.shortest):
            if name not in KINDS:
                raise ValueError(f"no fault {name!r} can be drawn{nearest(name, KINDS)}")
        if self.kinds and not any(self.kinds.values()):
            raise ValueError("kinds: all weights are 0; give one that is more, or leave out kinds")
        for text in self.shortest.values():
            duration_ns(text)

    def problems(self, whom: Whom) -> list[str]:
        """The kinds that are named and make no sense here, as `key: reason`."""
        return [
            f"kinds.{name}: needs {need.said}; leave it out, or give it what it needs"
            for name, weight in self.kinds.items()
            if weight and (need := KINDS[name].need) is not None and not need.is_met(whom)
        ]

    def healed_from_ns(self, workload_ns: Nanoseconds) -> Nanoseconds:
        """From when on nothing is hurt, in a workload of this length."""
        return max(workload_ns - self.healed_ns, workload_ns // 8)


def draw_faults(settings: NemesisSettings, whom: Whom, workload_ns: Nanoseconds) -> list[Table]:
    """The schedule of one run, as the tables of `[[faults]]`: each strikes and is healed before the healed phase."""
    weights = dict(settings.kinds) or {name: kind.weight for name, kind in KINDS.items()}
    names = [name for name in sorted(weights) if weights[name] > 0 and _makes_sense(name, whom)]
    if not names:
        return []
    if settings.swarm:
        whom.chance.shuffle(names)
        names = names[: whom.chance.between(1, len(names))]
    end_ns = settings.healed_from_ns(workload_ns)
    drawn = _drawn(settings, whom, {name: weights[name] for name in names}, end_ns)
    return [
        {"kind": name, "at": written(at), "lasts": written(lasts), **_until(table, end_ns - lasts)} | table
        for name, at, lasts, table in drawn
    ]


def _makes_sense(kind: str, whom: Whom) -> bool:
    need = KINDS[kind].need
    return need is None or need.is_met(whom)


def _until(table: Table, latest_ns: Nanoseconds) -> Table:
    """A fault that may have to wait for its moment, or for somebody to have a role, must not reach the healed phase."""
    waits = "when" in table or any(target in ROLES for target in _texts(table))
    return {"until": written(latest_ns)} if waits else {}


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping | list):
        for inner in part.values() if isinstance(part, Mapping) else part:
            yield from _texts(inner)


def _drawn(
    settings: NemesisSettings, whom: Whom, weights: Mapping[str, float], end_ns: Nanoseconds
) -> Iterator[tuple[str, Nanoseconds, Nanoseconds, Table]]:
    chance, at_ns = whom.chance, 0
    while True:
        at_ns += GRAIN_NS + round(chance.exponential(settings.mean_interval_ns))
        if at_ns >= end_ns:
            return
        name = _weighted(chance, weights)
        kind = KINDS[name]
        shortest_ns = duration_ns(settings.shortest[name]) if name in settings.shortest else kind.shortest_ns
        # Evenly over orders of magnitude: a crash of 5 ms meets other moments of a protocol than one of 2 s.
        reach = max(kind.longest_ns, shortest_ns) / shortest_ns
        lasts_ns = round(shortest_ns * reach ** chance.uniform01())
        for table in kind.draw(whom):
            if at_ns + lasts_ns <= end_ns:
                yield name, at_ns, lasts_ns, table


def _weighted(chance: Chance, weights: Mapping[str, float]) -> str:
    names, drawn = list(weights), chance.uniform01() * sum(weights.values())
    bounds = accumulate(weights.values())
    return next((name for name, bound in zip(names, bounds, strict=True) if drawn < bound), names[-1])


def written(time_ns: Nanoseconds) -> str:
    """A time of a schedule as TOML has it: `812.35ms`."""
    whole, part = divmod(max(GRAIN_NS, time_ns) // GRAIN_NS, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + "ms"


def schedule_toml(faults: Sequence[Mapping[str, Any]], comment: str) -> str:
    """`schedule.toml`: the faults as `[[faults]]`, to be run, edited and cut."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for fault in faults:
        lines += ["", "[[faults]]", *(f"{key} = {_toml(value)}" for key, value in fault.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(part)}' for key, part in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)
