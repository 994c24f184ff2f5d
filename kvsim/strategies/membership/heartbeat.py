"""Heartbeats: every ServerData tells everybody from time to time that it lives; who is silent for too long is
suspected.

Chandra and Toueg, "Unreliable failure detectors for reliable distributed systems", JACM 1996: an eventually perfect
detector where delays have a bound, wrong for a while where they have not. Costs n·(n − 1) datagrams an interval.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from kvsim.core.axes import Membership, Site
from kvsim.core.host import Recovered
from kvsim.core.message import MILLISECOND, Channel, Message, Nanoseconds, NodeId
from kvsim.core.node import View, receives
from kvsim.core.trace import Event


class Alive(Message, tag="heartbeat.alive"):
    """A ServerData to everybody: I live."""

    count: int


class Suspected(Event, tag="heartbeat.suspected"):
    """A node has been silent for too long."""

    peer: NodeId


class Trusted(Event, tag="heartbeat.trusted"):
    """A suspected node was heard of again."""

    peer: NodeId


class HeartbeatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of heartbeat membership."""

    interval_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 100 * MILLISECOND
    """Time between two heartbeats of a node."""
    suspect_after_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 500 * MILLISECOND
    """Silence after which a node is suspected; should span several intervals, since datagrams are lost."""


class Heartbeat(Membership):
    """Datagrams at a fixed interval; a node that is silent for `suspect_after` is down until it is heard of again."""

    Settings = HeartbeatSettings

    def __init__(self, site: Site, settings: HeartbeatSettings) -> None:
        super().__init__(site, settings)
        self.last_heard_ns: dict[NodeId, Nanoseconds] = {}
        self.count = 0

    @classmethod
    def refusals(cls, settings: HeartbeatSettings, design: object) -> Iterable[str]:
        if settings.suspect_after_ns <= settings.interval_ns:
            yield "suspect_after must be longer than interval, or every node is suspected between two heartbeats"

    def start(self, recovered: Recovered) -> None:
        now = self.host.now()
        self.last_heard_ns = {peer: now for peer in self.view.members if peer != self.host.id}
        self.every(self.settings.interval_ns, self._beat)

    def _beat(self) -> None:
        self.count += 1
        if self.site.role == "data":
            for peer in (*self.site.cluster.frontends, *self.view.members):
                if peer != self.host.id:
                    self.tell(peer, Alive(self.count), Channel.DATAGRAM)
        now = self.host.now()
        silent = [peer for peer, at in self.last_heard_ns.items() if now - at > self.settings.suspect_after_ns]
        for peer in silent:
            if self.view.is_alive(peer) and self.host.wants(Suspected):
                self.host.record(Suspected(peer))
        self._believe_down(tuple(silent))

    @receives(Alive)
    def alive(self, sender: NodeId, message: Alive) -> None:
        if sender not in self.last_heard_ns:
            return  # nobody we count on
        self.last_heard_ns[sender] = self.host.now()
        if not self.view.is_alive(sender):
            if self.host.wants(Trusted):
                self.host.record(Trusted(sender))
            self._believe_down(tuple(peer for peer in self.view.down if peer != sender))

    def _believe_down(self, down: tuple[NodeId, ...]) -> None:
        if down != self.view.down:
            self.node.change_view(View(self.view.epoch + 1, self.view.members, down))
