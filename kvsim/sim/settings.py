"""What an experiment says about its world: `[network]` and `[machines]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from kvsim.core.message import MICROSECOND, MILLISECOND, SECOND, Nanoseconds, NodeId
from kvsim.core.settings import duration_ns, read_settings
from kvsim.sim.distributions import Distribution, Duration, Lognormal, Positive

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=1)]

SERVICE_TIME = "20us"
"""What a node's CPU spends on a message whose kind has no time of its own: some 50,000 messages a second and core."""


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[network.links]]`: what is different about one link of the graph; the rest is as `[network]` says."""

    source: str
    """The place where it begins."""
    target: str
    """The place where it ends; the same as `source` for the links inside a place."""
    both_ways: bool = True
    """Whether the same holds from target to source."""
    latency: Distribution | None = None
    bandwidth_bytes_per_s: Annotated[int, msgspec.Meta(gt=0)] | None = None
    loss: Share | None = None
    duplicate: Share | None = None
    reorder: Share | None = None
    corrupt: Share | None = None


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[network]`: who is linked with whom, and what a message meets on its way."""

    graph: str = "single_rack"
    """A shape (`single_rack`, `three_zones`, `star`, `ring`, `tree`, `random_regular`, `small_world`, `fat_tree`), a
    GraphML file, or a matrix of round-trip times (a CSV file, or the bundled `aws-2017-rtt-ms`). An experiment's paths
    are relative to its own file."""
    latency: Distribution = Lognormal(median_ns=250 * MICROSECOND, p99_ns=MILLISECOND)
    """One way, over one link of the graph. A link in a GraphML file may have its own, and a matrix states all."""
    inside: Distribution = Lognormal(median_ns=50 * MICROSECOND, p99_ns=250 * MICROSECOND)
    """One way, between two in the same zone, region or vertex. In a single rack all are linked by `latency`."""
    bandwidth_bytes_per_s: Annotated[int, msgspec.Meta(gt=0)] | None = 125_000_000
    """Of a link between places, in each direction, and of an endpoint's own link into its place; messages queue."""
    loss: Share = 0.0
    """The share of messages that a link loses. A stream sends them again, which costs time; a datagram is gone."""
    duplicate: Share = 0.0
    """The share of datagrams that arrive twice. A stream notices, and hands each message over once."""
    reorder: Share = 0.0
    """The share of messages that are held back by a further latency, so that datagrams, or with `order = "none"` any
    message, are overtaken; on a stream in order what comes later waits for them."""
    corrupt: Share = 0.0
    """The share of messages whose bits are hurt on the way. The receiver's checksum tells, so they count as lost."""
    kinds: Mapping[str, Distribution] = {}
    """One-way times by kind of message, in place of the links' latency: `"quorum.store" = { distribution = … }`, as
    the WARS model needs (Bailis et al., VLDB 2012)."""
    links: tuple[LinkSettings, ...] = ()
    """Links that differ from the others, by the two places that they join."""
    order: Literal["fifo", "none"] = "fifo"
    """`fifo`: a stream's messages arrive in the order of sending. `none`: each message is a connection of its own."""
    min_rto_ns: Duration = 200 * MILLISECOND
    """How long a stream waits, beyond one round trip, before it sends again what was lost; doubled at each try."""
    retransmissions: Annotated[int, msgspec.Meta(ge=0)] = 4
    """After so many tries in vain a stream breaks, and both ends learn of it."""
    keepalive_ns: Duration = 500 * MILLISECOND
    """When the peers of a crashed node learn of it, unless they learn sooner by sending to the restarted one."""
    outbox: Count = 10_000
    """Messages of one stream that may be under way, in the buffers of both ends too; beyond it the stream breaks."""
    buffer_bytes: Annotated[int, msgspec.Meta(gt=0)] = 64 * 1_048_576
    """The same in bytes, as a real node's transport has it; told to within a sixteenth."""
    place: Mapping[NodeId, str] = {}
    """Where nodes and clients are: the name of a zone, region or vertex. Who is not named is dealt out in turn."""


class DiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[machines.disk]`: one disk a node. Its operations queue."""

    append_ns: Duration | Distribution = 0
    """An append goes to the cache of the operating system; its cost is in the CPU's time."""
    sync_ns: Duration | Distribution = 200 * MICROSECOND
    """What a sync takes, beside the time for the bytes."""
    replace_ns: Duration | Distribution = 400 * MICROSECOND
    """What a replace takes, beside the time for the bytes: it syncs a file and a directory."""
    bandwidth_bytes_per_s: Annotated[int, msgspec.Meta(gt=0)] = 200_000_000
    size_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Its space; None for more than any run fills."""
    reserve: Share = 0.05
    """The share of the space that a node keeps free by refusing writes."""
    torn: bool = False
    """Whether a crash may keep a part, drawn at random, of what was appended and not synced."""


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[machines.clocks]]`: how wrong a node's clocks are."""

    node: NodeId
    drift_ppm: Annotated[int, msgspec.Meta(gt=-1_000_000)] = 0
    """How much too fast its monotonic clock runs, in millionths; negative: too slow."""
    offset_ns: int = 0
    """How far ahead its calendar is."""


def _service_time(kind: str, time: str | int | Distribution) -> Nanoseconds | Distribution:
    if not isinstance(time, str | int):
        return time
    time_ns = duration_ns(time) if isinstance(time, str) else time
    if time_ns < 0:
        raise ValueError(f"the CPU's time for {kind!r} is negative")
    return time_ns


class MachineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[machines]`: what the nodes run on."""

    cpu: Mapping[str, str | int | Distribution] | Literal["null"] = {}
    """The CPU's time for a message, by its kind, constant or drawn: `{ default = "20us", "quorum.store" =
    { distribution = "exponential", mean = "50us" } }`. `null`: no time at all, which an experiment must state."""
    slower: Mapping[NodeId, Annotated[float, msgspec.Meta(gt=0)]] = {}
    """Nodes whose CPU takes so many times as long: `{ data-2 = 5 }`."""
    cores: Count = 1
    """Messages that a node works on at once."""
    inbox: Count = 10_000
    """Messages that may wait for a node's CPU; beyond it a stream breaks and a datagram is dropped."""
    memory_bytes: Size | Mapping[NodeId, Size] | None = None
    """What a node may hold: its data, its protocol's log, and the messages that wait for its CPU, in bytes of their own
    (the objects of a real process take several times as much). One size for all nodes, or by name, with `default` for
    the others. Beyond it the machine kills the node's process, as Linux does when memory runs out; the machine and what
    its operating system has in the disk's cache live on. When not given, memory has no limit."""
    out_of_memory: Literal["restart", "stay down"] = "restart"
    """What becomes of a node that was killed."""
    restart_after_ns: Positive = SECOND
    """How long after being killed it restarts."""
    disk: DiskSettings = DiskSettings()
    clocks: tuple[ClockSettings, ...] = ()

    def __post_init__(self) -> None:
        self.service_times()

    def memory_of(self, node: NodeId) -> int | None:
        """How many bytes this node may hold; None for no limit."""
        if isinstance(self.memory_bytes, Mapping):
            return self.memory_bytes.get(node, self.memory_bytes.get("default"))
        return self.memory_bytes

    def service_times(self) -> dict[str, Nanoseconds | Distribution]:
        """The CPU's time by kind of message, `default` included. Raises ValueError for what is no duration."""
        if isinstance(self.cpu, str):
            return {"default": 0}
        times: dict[str, str | int | Distribution] = {"default": SERVICE_TIME, **self.cpu}
        return {kind: _service_time(kind, time) for kind, time in times.items()}


class WorldSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated world."""

    network: NetworkSettings = NetworkSettings()
    machines: MachineSettings = MachineSettings()


def read_world(tables: Mapping[str, Any], where: str) -> WorldSettings:
    """The world that an experiment's `network` and `machines` tables describe. Raises `SettingsError`."""
    return read_settings(
        WorldSettings, {name: tables[name] for name in ("network", "machines") if name in tables}, where
    )


def describe_world(settings: WorldSettings) -> dict[str, Any]:
    """The settings as plain data, every default filled in."""
    described: dict[str, Any] = msgspec.to_builtins(settings)
    described["machines"]["cpu"] = msgspec.to_builtins(settings.machines.service_times())
    return described
