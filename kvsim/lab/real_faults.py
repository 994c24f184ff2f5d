"""An experiment's faults on a real cluster: signals kill and pause processes, the nodes' own filters hurt links."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock

from kvsim.core.chance import Chance
from kvsim.core.message import SECOND, Nanoseconds, NodeId
from kvsim.lab.experiment import Setup
from kvsim.real.filter import LinkFault
from kvsim.real.supervisor import Supervisor, SupervisorError
from kvsim.sim.faults import (
    LOOK_AGAIN_NS,
    PATIENCE_NS,
    ZONE,
    Crash,
    Delay,
    Fault,
    Loss,
    Partition,
    Pause,
    Struck,
    Target,
    Window,
)
from kvsim.sim.faults.base import drawn

KINDS = ("crash", "pause", "partition", "loss", "delay")
"""What can be done to processes and the links between them without rights over the machine."""
CLIENTS = "clients"
"""Stands for all clients among the senders of links: what hurts their ways to a door hurts those back too."""
Links = dict[tuple[NodeId, NodeId], LinkFault]
"""Faults of links, by sender and receiver."""


def refusals(setup: Setup) -> list[str]:
    """Why some faults, and some ways to measure, cannot be had on a real cluster, a sentence each."""
    by_rule = ['workload.warm_up: "auto" is for simulated runs; on a real cluster state how long it takes']
    return (by_rule if setup.workload.warm_up_ns == "auto" else []) + [
        f"faults[{number}]: {reason} in the simulated world alone; on a real cluster kvsim can have "
        f"{', '.join(KINDS)}, at stated times: leave it out (--set faults=[] leaves out all), or use kvsim simulate"
        for number, fault in enumerate(setup.faults)
        if (reason := _only_simulated(fault))
    ]


def _only_simulated(fault: Fault) -> str:
    """What of it no process can have; empty where all of it can be had."""
    if fault.kind not in KINDS:
        return f"{fault.kind} happens"
    if fault.when is not None:
        return f"when = {fault.when!r} is seen"
    if isinstance(fault, Crash) and fault.torn:
        return "torn writes happen"
    zones = [target for target in fault.targets() if target.startswith(ZONE)]
    return f"the target {zones[0]!r} is found" if zones else ""


class NodeCounts:
    """What each node has counted over all its lives. A process takes its count with it, so ask it before a kill."""

    def __init__(self, cluster: Supervisor) -> None:
        self._cluster = cluster
        self._lock = Lock()
        self._former: dict[NodeId, Counter[str]] = {node: Counter() for node in cluster.nodes}
        self._down: dict[NodeId, None] = {}
        self._paused: dict[NodeId, Counter[str]] = {}
        """What paused nodes had counted, as they cannot answer now."""
        self.kills: list[tuple[Nanoseconds, NodeId]] = []
        """Who was killed, and when on the machine's monotonic clock."""

    def kill(self, node: NodeId) -> None:
        """Note the node's counts, and kill it."""
        with self._lock:
            self._former[node].update(self._of(node))
            self._paused.pop(node, None)
            self._down[node] = None
            self.kills.append((time.monotonic_ns(), node))
            self._cluster.kill(node)

    def restart(self, node: NodeId) -> None:
        """Start it again."""
        self._cluster.restart(node)
        with self._lock:
            self._down.pop(node, None)

    def pause(self, node: NodeId) -> None:
        """Note the node's counts, and stop it."""
        with self._lock:
            self._paused[node] = self._of(node)
            self._cluster.pause(node)

    def resume(self, node: NodeId) -> None:
        """Let it go on."""
        with self._lock:
            if self._paused.pop(node, None) is not None:
                self._cluster.resume(node)

    def now(self) -> dict[NodeId, Counter[str]] | None:
        """All counts up to now; None where a node took its own with it."""
        with self._lock:
            try:
                return {
                    node: former if node in self._down else former + self._of(node)
                    for node, former in self._former.items()
                }
            except SupervisorError:
                return None

    def _of(self, node: NodeId) -> Counter[str]:
        paused = self._paused.get(node)
        return Counter(self._cluster.status(node)["counts"]) if paused is None else paused


class RealFaults:
    """Lets an experiment's faults strike a cluster at their times, and heals them."""

    def __init__(
        self,
        cluster: Supervisor,
        counts: NodeCounts,
        now: Callable[[], Nanoseconds],
        chance: Chance,
        hurt_clients: Callable[[dict[NodeId, LinkFault]], None],
    ) -> None:
        self._cluster, self._counts, self._now, self._chance = cluster, counts, now, chance
        self._hurt_clients = hurt_clients
        self._loop = asyncio.get_running_loop()
        self._links: list[Links] = []
        """Those of each fault in force."""
        self._lock = Lock()
        self._playing: list[asyncio.Task[None]] = []

    def install(self, faults: Sequence[Fault]) -> list[Window]:
        """Let them strike at their times, counted from now."""
        windows = []
        for number, fault in enumerate(faults):
            at = self._now() + fault.at_ns
            window = Window(fault.kind, at, at + (fault.lasts_ns or 0))
            windows.append(window)
            playing = self._play(fault, window, self._chance.stream(f"faults/{number}"))
            self._playing.append(asyncio.get_running_loop().create_task(playing))
        return windows

    def check(self) -> None:
        """Raise what went wrong, if something did."""
        for task in self._playing:
            if task.done():
                task.result()

    async def end(self) -> None:
        """Let none go on."""
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    async def _play(self, fault: Fault, window: Window, chance: Chance) -> None:
        give_up_ns = window.start_ns + PATIENCE_NS
        await self._until(window.start_ns)
        while True:
            began_ns = self._now()
            struck = await asyncio.to_thread(self._strike, fault, chance)
            if struck is not None:
                break
            if began_ns >= give_up_ns:
                return
            await self._until(began_ns + LOOK_AGAIN_NS)
        window.start_ns, window.end_ns = began_ns, began_ns + (fault.lasts_ns or 0)
        window.nodes, window.struck = struck.nodes, True
        if fault.lasts_ns is not None:
            await self._until(window.end_ns)
            await asyncio.to_thread(struck.heal)
            window.end_ns = self._now()  # a process that starts again takes its time

    async def _until(self, time_ns: Nanoseconds) -> None:
        await asyncio.sleep(max(time_ns - self._now(), 0) / SECOND)

    # What a fault does; in a thread of its own, as it waits for processes -------------------------------------------

    def _strike(self, fault: Fault, chance: Chance) -> Struck | None:
        nodes = self._find_all(fault.targets(), chance)
        if nodes is None:
            return None
        match fault:
            case Crash():
                for node in filter(self._cluster.running, nodes):
                    self._counts.kill(node)
                return Struck(tuple(nodes), partial(self._restart, nodes))
            case Pause():
                for node in filter(self._cluster.running, nodes):
                    self._counts.pause(node)
                return Struck(tuple(nodes), partial(self._resume, nodes))
            case Partition():
                sides = [self._find_all(side, chance) for side in fault.sides]
                known = [side for side in sides if side is not None]
                return self._hurt(self._cut(known), nodes) if len(known) == len(sides) else None
            case Loss():
                return self._hurt(self._among(nodes, LinkFault(loss=fault.share)), nodes)
            case Delay():
                return self._hurt(self._among(nodes, LinkFault(delay_ns=fault.delay_ns)), nodes)
        raise AssertionError(f"{fault.kind} was refused before anything started")

    def _restart(self, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            if not self._cluster.running(node):
                self._counts.restart(node)

    def _resume(self, nodes: Sequence[NodeId]) -> None:
        for node in nodes:
            self._counts.resume(node)

    def _cut(self, sides: Sequence[Sequence[NodeId]]) -> Links:
        side_of: dict[NodeId, int] = {}
        for number, side in enumerate(sides):
            for node in side:
                side_of.setdefault(node, number)
        if len(sides) == 1:
            side_of = {node: side_of.get(node, 1) for node in self._cluster.nodes}
        cut = LinkFault(cut=True)
        return {(one, other): cut for one in side_of for other in side_of if side_of[one] != side_of[other]}

    def _among(self, nodes: Sequence[NodeId], fault: LinkFault) -> Links:
        """The links among these nodes; without any all links, the clients' too."""
        concerned = nodes or self._cluster.nodes
        clients = {} if nodes else {(CLIENTS, door): fault for door in self._cluster.plan.cluster.doors()}
        return clients | {(one, other): fault for one in concerned for other in concerned if one != other}

    def _hurt(self, links: Links, nodes: Sequence[NodeId]) -> Struck:
        with self._lock:
            self._links.append(links)
            self._tell()
        return Struck(tuple(nodes), partial(self._heal, links))

    def _heal(self, links: Links) -> None:
        with self._lock:
            self._links = [standing for standing in self._links if standing is not links]
            self._tell()

    def _tell(self) -> None:
        """Have all links be as they are to be."""
        standing = together(self._links)
        self._loop.call_soon_threadsafe(self._hurt_clients, standing.pop(CLIENTS, {}))
        self._cluster.set_faults(standing)

    def _find_all(self, targets: Iterable[Target], chance: Chance) -> list[NodeId] | None:
        found = [self._find(target, chance) for target in targets]
        if any(nodes is None for nodes in found):
            return None
        return list(dict.fromkeys(node for nodes in found if nodes is not None for node in nodes))

    def _find(self, target: Target, chance: Chance) -> tuple[NodeId, ...] | None:
        """The nodes of this name or role; None while nobody has the role."""
        if target in self._cluster.nodes:
            return (target,)
        storing = self._cluster.plan.cluster.data
        up = [node for node in storing if self._cluster.running(node)]
        more = len(storing) // 2 + 1
        if target == "random":
            return (chance.pick(up),) if up else None
        if target in ("majority", "minority"):
            return drawn(chance, storing, more if target == "majority" else len(storing) - more)
        try:
            if target != "a follower":
                holder = self._cluster.role(target)
                return None if holder is None else (holder,)
            leaders = (self._cluster.role("leader"), self._cluster.role("primary"))
        except SupervisorError:  # a node ended while it was asked
            return None
        followers = [node for node in up if node not in leaders]
        return (chance.pick(followers),) if followers and leaders != (None, None) else None


def together(faults: Sequence[Links]) -> dict[NodeId, dict[NodeId, LinkFault]]:
    """Several faults at once: what one cuts is cut, losses are independent, delays add up."""
    found: dict[NodeId, dict[NodeId, LinkFault]] = {}
    for links in faults:
        for (sender, receiver), fault in links.items():
            former = found.setdefault(sender, {}).get(receiver, LinkFault())
            found[sender][receiver] = LinkFault(
                cut=former.cut or fault.cut,
                loss=1 - (1 - former.loss) * (1 - fault.loss),
                delay_ns=former.delay_ns + fault.delay_ns,
            )
    return found
