"""Programs and small worlds that the tests of the simulated world share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kvsim.core.host import Host, Recovered
from kvsim.core.message import Channel, Envelope, Message, Nanoseconds, NodeId
from kvsim.core.waiting import Scope
from kvsim.sim.distributions import Constant
from kvsim.sim.settings import MachineSettings, NetworkSettings, WorldSettings
from kvsim.sim.world import Simulation

US, MS, S = 1_000, 1_000_000, 1_000_000_000


class Note(Message, tag="probe.note"):
    number: int
    padding: bytes = b""


class Work(Message, tag="probe.work"):
    number: int


class Probe:
    """Writes down what it is given, with the time."""

    def __init__(self, host: Host, scope: Scope) -> None:
        self.host, self.scope = host, scope
        self.got: list[tuple[NodeId, int]] = []
        self.times: list[Nanoseconds] = []
        self.lost: list[tuple[NodeId, Nanoseconds]] = []
        self.on_note: Callable[[NodeId, int], None] = lambda sender, number: None

    def start(self, recovered: Recovered) -> None:
        self.recovered = recovered

    def deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        self.got.append((sender, envelope.message.number))
        self.times.append(self.host.now())
        self.on_note(sender, envelope.message.number)

    def peer_lost(self, peer: NodeId) -> None:
        self.lost.append((peer, self.host.now()))

    def stop(self) -> None:
        pass

    def say(self, to: NodeId, number: int, channel: Channel = Channel.STREAM, padding: bytes = b"") -> None:
        self.host.send(to, Envelope(Note(number, padding)), channel)

    def numbers(self, sender: NodeId) -> list[int]:
        return [number for other, number in self.got if other == sender]


def still(**network: Any) -> NetworkSettings:
    """A network without chance: 1 ms each way, no bandwidth, unless stated."""
    given: dict[str, Any] = {"latency": Constant(MS), "inside": Constant(MS), "bandwidth_bytes_per_s": None}
    return NetworkSettings(**(given | network))


class Probes(Simulation):
    """A world of probes; `world["a"]` is node a's present one."""

    def __init__(
        self,
        nodes: Sequence[NodeId] = ("a", "b"),
        network: NetworkSettings | None = None,
        machines: MachineSettings | None = None,
        seed: int = 0,
        wire: bool = False,
    ) -> None:
        settings = WorldSettings(network or still(), machines or MachineSettings(cpu="null"))
        super().__init__(nodes, Probe, (Note, Work), settings, seed, wire=wire)
        self.start()

    def __getitem__(self, node: NodeId) -> Probe:
        probe = self.hosts[node].node
        assert isinstance(probe, Probe)
        return probe

    def cut(self, *sides: Sequence[NodeId]) -> Callable[[], None]:
        """Cut sides off from each other; call what it gives to heal."""
        from kvsim.sim.faults import cut_between

        rule = cut_between({node: number for number, side in enumerate(sides) for node in side})
        self.network.install(rule, self.network.at_arrival)
        return lambda: self.network.remove(rule, self.network.at_arrival)
