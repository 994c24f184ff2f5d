"""A small world to explore: a design, its nodes, what a few clients ask, and how much may go wrong.

It is read from the `[design]`, `[cluster]` and `[explore]` of an experiment's file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from kvsim.core.axes import Replication
from kvsim.core.design import Cluster, Design
from kvsim.core.host import Host
from kvsim.core.message import NodeId
from kvsim.core.node import Node
from kvsim.core.operation import AnyOperation, RequestId
from kvsim.core.settings import SettingsError, read_settings
from kvsim.core.waiting import Scope
from kvsim.explore.asked import operation_named
from kvsim.explore.past import Past
from kvsim.strategies.catalogue import assemble, cluster_of, read_design

Few = Annotated[int, msgspec.Meta(ge=0, le=20)]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often what may go wrong at most does in one schedule."""

    crashes: Few = 1
    """Power cuts; each node that is down may start again at any time."""
    losses: Few = 0
    """Streams that break, with all that is on them, and datagrams that are lost."""
    duplicates: Few = 0
    """Datagrams that arrive twice."""
    timers: Few = 0
    """Timers that go off; no clock is believed, so any node's next one may at any time."""
    retries: Few = 0
    """Clients that lose patience and ask again, under the same number."""
    disk_failures: Few = 0
    """Syncs that fail."""
    faults: Annotated[int, msgspec.Meta(ge=0, le=120)] | None = None
    """All of these together."""


BUDGETS = ("crashes", "losses", "duplicates", "timers", "retries", "disk_failures")


class ExploreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[explore]`: what is asked, and how far to look."""

    operations: list[str] | None = None
    """`"c1: put x=1 at node-1"`: each client's in their order. More nodes behind `at` are asked in turn when the client
    asks again, or finds one down."""
    begin: list[str] = []
    """What has happened before, the same in every schedule: `"timer node-1"`, `"settle"`, `"c0: put x=0 at node-1"`."""
    bounds: Bounds = Bounds()
    clocks: Literal["free", "together"] = "free"
    """`free`: each node's timers go off at any time. `together`: all clocks agree, and the timer that is due first goes
    off first; for designs whose promises rest on clocks."""
    notices: bool = True
    """Whether nodes are told, sooner or later, that a stream broke or its other end lost power."""
    sometimes: list[str] | None = None
    """What must happen in some schedule, lest an empty world pass: `"answered"`, or the tag of an event."""


class Ask(NamedTuple):
    """One operation of a client, and the nodes that it may ask."""

    operation: AnyOperation
    doors: tuple[NodeId, ...]
    words: str
    """As a transcript says it: `put`, and `x=1`."""


class Scenario(NamedTuple):
    """All that decides an explored world."""

    name: str
    design: Design
    cluster: Cluster
    clients: tuple[str, ...]
    asks: tuple[tuple[Ask, ...], ...]
    """By client."""
    settings: ExploreSettings
    table: Mapping[str, Any]
    """The design as the file says it."""
    past: Past | None = None
    """Where the world begins in the middle of a run."""

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """All nodes."""
        return self.cluster.everyone()

    def build(self, host: Host, scope: Scope) -> Node:
        """The node that `host.id` names."""
        return assemble(self.design, self.cluster, host, scope)

    @property
    def replication(self) -> type[Replication]:
        """The protocol's class."""
        strategy = self.design["replication"].strategy
        assert issubclass(strategy, Replication), "the catalogue put it on this axis"
        return strategy

    def with_bounds(self, **bounds: int | None) -> Scenario:
        """The same world, where other things may go wrong."""
        changed = msgspec.structs.replace(self.settings.bounds, **bounds)
        return self._replace(settings=msgspec.structs.replace(self.settings, bounds=changed))


class _Sized(msgspec.Struct, frozen=True):
    nodes: Annotated[int, msgspec.Meta(ge=1, le=9)] = 3
    frontends: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1
    place: dict[str, str] = {}


def read_scenario(table: Mapping[str, Any], file: str, folder: Path | None = None) -> Scenario:
    """The world that an experiment's tables describe. Raises `SettingsError` with every problem found."""
    problems: list[str] = []
    sized, settings = _Sized(), ExploreSettings()
    try:
        sized = read_settings(_Sized, table.get("cluster", {}), f"{file}: cluster")
    except SettingsError as error:
        problems += error.problems
    try:
        settings = read_settings(ExploreSettings, table.get("explore", {}), f"{file}: explore")
    except SettingsError as error:
        problems += error.problems
    try:
        design = read_design(table.get("design", {}), f"{file}: design", sized.nodes, folder)
    except SettingsError as error:
        raise SettingsError([*problems, *error.problems]) from error
    cluster = cluster_of(design, sized.nodes, sized.frontends)
    texts = settings.operations if settings.operations is not None else _usual(cluster, table.get("workload", {}))
    asks = read_asks(texts, cluster, f"{file}: explore.operations", problems)
    if not texts:
        problems.append(f'{file}: explore.operations: nothing is asked; write "c1: put x=1 at {cluster.doors()[0]}"')
    if problems:
        raise SettingsError(problems)
    return Scenario(
        file.removesuffix(".toml"), design, cluster, tuple(asks), tuple(map(tuple, asks.values())), settings,
        table.get("design", {}),
    )  # fmt: skip


def _usual(cluster: Cluster, workload: Mapping[str, Any]) -> list[str]:
    """What is asked where the file does not say: one client writes and reads, another reads."""
    doors = cluster.doors()
    one, other = doors[0], doors[-1]
    if workload.get("clients") == 1:
        return [f"c1: put x=1 at {one}", f"c1: get x at {other}"]
    return [f"c1: put x=1 at {one}", f"c2: get x at {other}", f"c2: get x at {one}"]


def read_asks(texts: Sequence[str], cluster: Cluster, where: str, problems: list[str]) -> dict[str, list[Ask]]:
    """Operations by client, in the order given."""
    found: dict[str, list[Ask]] = {}
    doors = cluster.doors()
    for at, text in enumerate(texts):
        match = re.fullmatch(r"(\w+):\s*([\w-]+)\s+(\S.*?)\s+at\s+(\S.*)", text)
        nodes = tuple(re.split(r"[,\s]+", match[4].strip())) if match else ()
        if match is None:
            problems.append(f'{where}[{at}]: expected "CLIENT: OPERATION KEY at NODE", got {text!r}')
            continue
        strangers = [node for node in nodes if node not in doors]
        if strangers:
            problems.append(f"{where}[{at}]: {strangers[0]} takes no requests; there is {', '.join(doors)}")
            continue
        client = found.setdefault(match[1], [])
        try:
            operation = operation_named(match[2], RequestId(match[1], len(client) + 1), match[3])
        except ValueError as error:
            problems.append(f"{where}[{at}]: {error}")
            continue
        client.append(Ask(operation, nodes, f"{match[2]} {match[3]}"))
    return found
