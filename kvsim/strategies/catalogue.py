"""The catalogue: finds strategies by name, reads and refuses designs, and puts a node together from its strategies.

A name is looked up among the built-in strategies, then among installed packages' (entry points), then as
`file.py:Class`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from kvsim.core import operation as operations
from kvsim.core import status
from kvsim.core.axes import (
    Conflict,
    Consistency,
    OneGroup,
    Partitioning,
    Placement,
    Replication,
    Role,
    Routing,
    Site,
    Topology,
)
from kvsim.core.design import AXES, Axis, Choice, Cluster, Design, Strategy
from kvsim.core.host import Host
from kvsim.core.message import SECOND, Failure, Message, Nanoseconds, NodeId
from kvsim.core.node import Component, Node, View
from kvsim.core.operation import Limits
from kvsim.core.replica import Applied, Ordered, Replica
from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.core.status import StatusReporter
from kvsim.core.version import LamportClock
from kvsim.core.waiting import Scope

ENTRY_POINTS = "kvsim.strategies"
"""Group of entry points, named `axis.name`, by which an installed package offers strategies."""

_HERE = "kvsim.strategies"
BUILT_IN: dict[Axis, dict[str, str]] = {
    "topology": {
        "client_server": f"{_HERE}.topology.client_server:ClientServer",
        "peer_to_peer": f"{_HERE}.topology.peer_to_peer:PeerToPeer",
    },
    "routing": {"one_hop": f"{_HERE}.routing.one_hop:OneHop"},
    "partitioning": {
        "consistent_hashing": f"{_HERE}.partitioning.consistent_hashing:ConsistentHashing",
        "modulo": f"{_HERE}.partitioning.modulo:Modulo",
    },
    "membership": {
        "fixed": f"{_HERE}.membership.fixed:Fixed",
        "heartbeat": f"{_HERE}.membership.heartbeat:Heartbeat",
    },
    "replication": {
        "single_copy": f"{_HERE}.replication.single_copy:SingleCopy",
        "primary_backup": f"{_HERE}.replication.primary_backup:PrimaryBackup",
        "quorum": f"{_HERE}.replication.quorum:Quorum",
        "raft": f"{_HERE}.replication.raft:Raft",
    },
    "consistency": {
        "linearizable": f"{_HERE}.consistency.linearizable:Linearizable",
        "eventual": f"{_HERE}.consistency.eventual:Eventual",
    },
    "conflict": {"last_writer_wins": f"{_HERE}.conflict.last_writer_wins:LastWriterWins"},
    "storage": {"objects": f"{_HERE}.storage.objects:Objects"},
}
"""The strategies that come with kvsim; modules are imported when a design names them."""

DEFAULTS: dict[Axis, str] = {
    "topology": "client_server",
    "routing": "one_hop",
    "partitioning": "consistent_hashing",
    "membership": "fixed",
    "replication": "quorum",
    "conflict": "last_writer_wins",
    "storage": "objects",
}


class StrategyNotFound(Exception):
    """A name that stands for no strategy; the message says what is known, or why a file does not load."""


def known(axis: Axis) -> dict[str, str]:
    """The names on an axis, built in or installed, with where each class lies."""
    prefix = f"{axis}."
    outside = {name.removeprefix(prefix): place for name, place in installed().items() if name.startswith(prefix)}
    return {**outside, **BUILT_IN.get(axis, {})}


@cache
def installed() -> Mapping[str, str]:
    """What installed packages offer: `axis.name`, and where its class lies. Looked up once, as it reads many files."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def find_strategy(axis: Axis, name: str, folder: Path | None = None) -> type[Strategy]:
    """The strategy of this name. `folder`: where a `file.py:Class` is relative to. Raises `StrategyNotFound`."""
    module_name, _, class_name = known(axis).get(name, name).partition(":")
    if not class_name and name.endswith(".py"):
        raise StrategyNotFound(f"{name!r} names a file and no class; write {name + ':ClassName'!r}")
    if not class_name:
        raise StrategyNotFound(f"unknown strategy {name!r}{nearest(name, known(axis))}")
    module = _load_file(folder or Path(), module_name) if module_name.endswith(".py") else _import(module_name)
    strategy = getattr(module, class_name, None)
    if strategy is None:
        classes = [n for n, member in vars(module).items() if isinstance(member, type) and issubclass(member, Strategy)]
        raise StrategyNotFound(f"{module_name} has no class {class_name!r}{nearest(class_name, classes)}")
    if not (isinstance(strategy, type) and issubclass(strategy, Strategy)) or getattr(strategy, "axis", None) != axis:
        raise StrategyNotFound(
            f"{name!r} is no strategy for {axis}; derive its class from kvsim.core.axes.{axis.title()}"
        )
    return strategy


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise StrategyNotFound(f"{module_name} does not import: {type(error).__name__}: {error}") from error


class _LeavesNothing(SourceFileLoader):
    """Writes no bytecode beside a user's file: the folder may be a run's, which holds what the run is repeated from."""

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]
        pass


def _load_file(folder: Path, file: str) -> Any:
    path = (folder / file).resolve()
    if not path.is_file():
        raise StrategyNotFound(
            f"there is no file {file} in {folder.resolve()}; paths are relative to the experiment's file"
        )
    # Named by place and content: files of one name in two folders are two modules, and an edited file is a new one.
    digest = hashlib.blake2b(str(path).encode() + b"\0" + path.read_bytes(), digest_size=8).hexdigest()
    name = f"kvsim_outside_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_LeavesNothing(name, str(path)))
    assert spec is not None and spec.loader is not None, "the loader is given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        place = file if error.filename in (None, str(path)) else error.filename
        raise StrategyNotFound(f"{place}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise StrategyNotFound(
            f"{file} does not import: {type(error).__name__}: {error}{_place(error, path)}"
        ) from error
    return module


def _place(error: BaseException, path: Path) -> str:
    trace = error.__traceback__
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


class _Plain(msgspec.Struct, frozen=True):
    """The keys of `[design]` that are no axes."""

    durability: Literal["memory", "disk"] = "disk"
    timeout_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = SECOND
    limits: Limits = Limits()


def read_design(table: Mapping[str, Any], where: str, nodes: int, folder: Path | None = None) -> Design:
    """The design that `[design]` describes, for a cluster of so many ServerData nodes. `where` begins each problem:
    `FILE: design`.

    Raises `SettingsError` with every problem found: unknown keys and names, settings out of range, designs that make
    no sense.
    """
    problems: list[str] = []
    rest = {key: value for key, value in table.items() if key not in AXES}
    plain = _Plain()
    for key in [key for key in rest if key not in ("durability", "timeout", "timeout_ns", "limits")]:
        problems.append(f"{where}.{key}: unknown key{nearest(key, [*AXES, 'durability', 'timeout', 'limits'])}")
        del rest[key]
    try:
        plain = read_settings(_Plain, rest, where)
    except SettingsError as error:
        problems += error.problems
    choices: dict[Axis, Choice] = {}
    for axis in AXES:
        default = _default(axis, choices)
        given = table.get(axis, default)
        if given is None:
            continue
        if isinstance(given, Mapping) and "strategy" not in given and default is not None:
            given = {"strategy": default, **given}
        try:
            choices[axis] = _choose(axis, given, f"{where}.{axis}", folder)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    design = Design(choices, plain.durability, plain.timeout_ns, plain.limits)
    problems = [f"{where}: {reason}" for reason in (*design.refusals(), *_too_small(design, nodes))]
    if problems:
        raise SettingsError(problems)
    return design


def _default(axis: Axis, choices: Mapping[Axis, Choice]) -> str | None:
    if axis == "consistency" and "replication" in choices:
        replication = choices["replication"]
        return cast(type[Replication], replication.strategy).usual_consistency(replication.settings)
    return DEFAULTS.get(axis)


def _choose(axis: Axis, given: Any, where: str, folder: Path | None) -> Choice:
    if isinstance(given, str):
        given = {"strategy": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("strategy"), str):
        example = next(iter(known(axis)), "file.py:Class")
        raise SettingsError([f'{where}: expected a name, or a table like {{ strategy = "{example}" }}, got {given!r}'])
    name = given["strategy"]
    try:
        strategy = find_strategy(axis, name, folder)
    except StrategyNotFound as error:
        raise SettingsError([f"{where}.strategy: {error}"]) from error
    settings = {key: value for key, value in given.items() if key != "strategy"}
    return Choice(name, strategy, read_settings(strategy.Settings, settings, where))


def _too_small(design: Design, nodes: int) -> list[str]:
    replication = design["replication"]
    copies = cast(type[Replication], replication.strategy).copies(replication.settings, nodes)
    if copies > nodes:
        reason = f"keeps {copies} copies of each key, but cluster.nodes = {nodes}; add nodes or lower n"
        return [f"replication = {replication.name!r}: {reason}"]
    return []


def cluster_of(design: Design, nodes: int, frontends: int = 1) -> Cluster:
    """The names of a cluster's nodes, by role."""
    topology = cast(type[Topology], design["topology"].strategy)
    replication = design["replication"]
    services = cast(type[Replication], replication.strategy).services(replication.settings)
    count = topology.frontends(frontends)
    kind = "data" if count else "node"
    return Cluster(
        data=tuple(f"{kind}-{number}" for number in range(1, nodes + 1)),
        frontends=tuple(f"frontend-{number}" for number in range(1, count + 1)),
        services=services,
    )


def assemble(design: Design, cluster: Cluster, host: Host, scope: Scope) -> Node:
    """The node that `host.id` names, put together from the design's strategies."""
    role = role_of(cluster, host.id)
    site = _site(design, cluster, host, role)
    view = View(1, cluster.data)
    replication_choice = design["replication"]
    replication_class = cast(type[Replication], replication_choice.strategy)
    if role == "service":
        service = replication_class.service(site, replication_choice.settings)
        return Node(host, scope, view, [service, StatusReporter(site)])
    components: list[Component] = [_made(design["membership"], site)]
    consistency: Consistency | None = None
    if role == "data" or (replication_class.from_anywhere and design.setting("topology", "coordinator") == "frontend"):
        replication = replication_class(site, replication_choice.settings)
        components.append(replication)
        chosen = design["consistency"]
        consistency = cast(type[Consistency], chosen.strategy)(site, chosen.settings, replication)
    topology = design["topology"]
    routing: Routing = _made(design["routing"], site)
    components.append(cast(type[Topology], topology.strategy).door(site, topology.settings, routing, consistency))
    return Node(host, scope, view, [*components, StatusReporter(site)])


def _made(choice: Choice, site: Site) -> Any:
    return cast(Any, choice.strategy)(site, choice.settings)


def _site(design: Design, cluster: Cluster, host: Host, role: Role) -> Site:
    moot = design.moot()
    replication = design["replication"]
    replication_class = cast(type[Replication], replication.strategy)
    partitioning = design["partitioning"]
    spread = OneGroup if "partitioning" in moot else cast(type[Partitioning], partitioning.strategy)
    placement = Placement(
        spread,
        partitioning.settings,
        cluster.data,
        replication_class.copies(replication.settings, len(cluster.data)),
    )
    conflict: Any = Ordered()
    clock = LamportClock(host.id)
    if "conflict" not in moot:
        chosen = design["conflict"]
        rule = cast(type[Conflict], chosen.strategy)(chosen.settings)
        conflict, clock = rule, rule.clock(host)
    replica = None
    if role == "data":
        durability = design.durability if replication_class.journalled else "memory"
        replica = Replica(host.disk, conflict, durability, design.setting("storage", "written", "many"), host.fail)
        replica.heard = host.record if host.wants(Applied) else None
    consistency = cast(type[Consistency], design["consistency"].strategy)
    return Site(host, role, design, cluster, placement, clock, replica, consistency.level, consistency.any_replica)


def message_kinds(design: Design) -> tuple[type[Message], ...]:
    """Every kind of message that the nodes of this design send: what a `Codec` must know."""
    owners = [owner for choice in design.choices.values() for owner in choice.strategy.__mro__]
    modules = [operations, status, *(sys.modules[owner.__module__] for owner in owners if issubclass(owner, Strategy))]
    kinds: dict[type[Message], None] = {Failure: None}
    for module in modules:
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, Message) and member not in (Message, operations.Result):
                kinds[member] = None
    return tuple(kinds)


def role_of(cluster: Cluster, node: NodeId) -> Role:
    """What a node is in its cluster."""
    if node in cluster.services:
        return "service"
    return "frontend" if node in cluster.frontends else "data"  # asked last, as they are the most
