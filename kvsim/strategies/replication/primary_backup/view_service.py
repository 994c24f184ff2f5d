"""The view service: the one node that says who is primary. It is a single point of failure, and promises to be.

It grants the next view only when the primary of this one has acknowledged it, and says nothing that is not on its disk.
"""

from __future__ import annotations

import msgspec

from kvsim.core.axes import Site
from kvsim.core.host import Recovered
from kvsim.core.journal import Journal
from kvsim.core.message import Channel, Nanoseconds, NodeId
from kvsim.core.node import Component, receives
from kvsim.core.trace import Event
from kvsim.core.waiting import Future
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings
from kvsim.strategies.replication.primary_backup.views import (
    GroupView,
    Ping,
    ServiceState,
    ViewNow,
    first_view,
    next_state,
)

VIEWS_FILE = "views.journal"


class ViewGranted(Event, tag="primary_backup.granted"):
    """The view service has granted a view: from here on it may be told."""

    view: GroupView


class Heard(msgspec.Struct, frozen=True):
    """The last that was heard of a node."""

    at_ns: Nanoseconds
    incarnation: int
    sent_ns: Nanoseconds | None
    """On the node's clock; None for one that was only known from before a restart of the view service."""


class ViewService(Component):
    """Takes pings, notices deaths and restarts, and numbers the views."""

    role_name = "view service"

    def __init__(self, site: Site, settings: PrimaryBackupSettings) -> None:
        self.site, self.settings = site, settings
        self.state = ServiceState()
        self.heard: dict[NodeId, Heard] = {}
        self.caught_up: tuple[NodeId, ...] = ()
        self.silent: tuple[NodeId, ...] = ()
        self.deciding = False
        self.nodes = site.cluster.data
        self.copies = min(settings.copies or len(self.nodes), len(self.nodes))

    def start(self, recovered: Recovered) -> None:
        self.journal = Journal(self.host.disk, VIEWS_FILE, self.host.fail)
        for record in self.journal.recover(recovered.files.get(VIEWS_FILE, b"")):
            self.state = msgspec.msgpack.decode(record, type=ServiceState)
        self.started_ns = self.host.now()
        # A lease granted just before a crash still runs: whoever is in the view counts as heard of now.
        self.heard = {
            node: Heard(self.started_ns, incarnation, None) for node, incarnation in self.state.incarnations.items()
        }
        self.every(self.settings.ping_interval_ns, self._look)

    @receives(Ping)
    def ping(self, sender: NodeId, m: Ping) -> None:
        before = self.heard.get(sender)
        if before is not None and m.incarnation < before.incarnation:
            return  # out of an earlier life
        self.heard[sender] = Heard(self.host.now(), m.incarnation, m.sent_ns)
        state = self.state
        is_from_primary = sender == state.view.primary and m.view == state.view.number
        if is_from_primary:
            self.caught_up, self.silent = m.caught_up, m.silent
        if self.deciding:
            return  # an answer would lengthen the lease of a primary that is being replaced
        if is_from_primary:
            state = msgspec.structs.replace(state, acknowledged=True)
        new = self._next(state)
        if new != self.state:
            self._write(new)
        elif new.view.number:
            self._tell(sender)

    def _look(self) -> None:
        """Notice who has fallen silent."""
        new = self._next(self.state)
        if new != self.state and not self.deciding:
            self._write(new)

    def _next(self, state: ServiceState) -> ServiceState:
        """What is to follow this state, as far as is known now."""
        now = self.host.now()
        alive = {
            node: heard.incarnation
            for node, heard in self.heard.items()
            if now - heard.at_ns < self.settings.dead_after_ns and node not in self.silent
        }
        if not state.view.number:
            is_early = now - self.started_ns < self.settings.dead_after_ns
            if not alive or (is_early and len(alive) < len(self.nodes)):
                return state
            return first_view(alive, self.nodes, self.copies)
        survives = self.site.design.durability == "disk"
        return next_state(state, alive, self.caught_up, self.nodes, self.copies, survives)

    def _write(self, new: ServiceState) -> None:
        """Put the new state on the disk; nobody is told, and nobody answered, before it is there."""
        self.deciding = True
        self.journal.rewrite([msgspec.msgpack.encode(new)]).when_done(lambda done: self._written(new, done))

    def _written(self, new: ServiceState, done: Future[None]) -> None:
        if done.error is not None:
            return  # the journal has stopped this node
        old, self.state, self.deciding = self.state, new, False
        if old.view == new.view:
            self._tell(new.view.primary)
        else:
            self.caught_up = self.silent = ()
            if self.host.wants(ViewGranted):
                self.host.record(ViewGranted(new.view))
            for node in self.nodes:
                self._tell(node)
        self._look()

    def _tell(self, node: NodeId) -> None:
        heard = self.heard.get(node)
        if heard is not None and heard.sent_ns is not None:
            self.tell(node, ViewNow(self.state.view, heard.incarnation, heard.sent_ns), Channel.DATAGRAM)

    def status(self) -> dict[str, str]:
        view = self.state.view
        return {
            "view": str(view.number),
            "primary": view.primary,
            "backups": ", ".join(view.backups),
            "acknowledged": "yes" if self.state.acknowledged else "no",
        }
