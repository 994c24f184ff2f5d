"""A member's place in the views: pings, adoption of newer views, the lease, and who may serve."""

from __future__ import annotations

import msgspec

from kvsim.core.axes import Replication, Site
from kvsim.core.host import Recovered
from kvsim.core.message import Channel, Message, Nanoseconds, NodeId
from kvsim.core.node import receives
from kvsim.core.operation import Elsewhere, Unavailable
from kvsim.core.trace import Event
from kvsim.core.version import NEVER, Version
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings
from kvsim.strategies.replication.primary_backup.views import GroupView, Ping, ViewNow


class Fenced(Message, tag="primary_backup.fenced"):
    """Member to a primary of an older view: there is a newer one, and what you sent was not taken."""

    view: GroupView


class ViewAdopted(Event, tag="primary_backup.view"):
    """A node goes over to a newer view."""

    role: str
    view: GroupView


class MemberState(msgspec.Struct):
    """What of a member outlives one operation."""

    view: GroupView | None = None
    """None after a start, until the view service has been heard."""
    position: Version = NEVER
    """The last change in this replica: number in the order of all changes, and the view whose primary gave it."""
    durable: int = 0
    """All changes up to this number outlive a crash here."""
    following: bool = False
    """Whether this replica is known to hold a beginning of the primary's order, and nothing else."""
    committed: int = 0
    """At the primary: changes up to this number may be vouched for."""
    lease_until_ns: Nanoseconds = 0
    """At the primary: nobody else is promoted before this time on the own clock."""


class ViewMember(Replication):
    """A ServerData node that follows the views."""

    settings: PrimaryBackupSettings

    def __init__(self, site: Site, settings: PrimaryBackupSettings) -> None:
        super().__init__(site, settings)
        self.state = MemberState()
        self.incarnation = 0
        self.caught_up: tuple[NodeId, ...] = ()
        self.silent: tuple[NodeId, ...] = ()
        self.view_service = site.cluster.services[0]

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        self.incarnation = recovered.incarnation
        self.ping()
        self.every(self.settings.ping_interval_ns, self.tick)

    def tick(self) -> None:
        """Once each ping interval."""
        self.ping()

    def ping(self) -> None:
        """Tell the view service that this node lives; at the same time the acknowledgement of the view it is in."""
        view = self.state.view
        if not self.leads and self.is_full:
            return  # a backup that cannot store would hold up every write: let the view go on without it
        ping = Ping(view.number if view else 0, self.incarnation, self.host.now(), self.caught_up, self.silent)
        self.tell(self.view_service, ping, Channel.DATAGRAM)

    @receives(ViewNow)
    def view_now(self, sender: NodeId, m: ViewNow) -> None:
        if m.incarnation != self.incarnation:
            return  # the answer to an earlier life
        self.learn(m.view)
        if self.leads and self.state.view == m.view:
            # Counted from the sending of the ping: the service counts from its arrival, which was later.
            self.state.lease_until_ns = max(self.state.lease_until_ns, m.sent_ns + self.settings.lease_ns)

    @receives(Fenced)
    def fenced(self, sender: NodeId, m: Fenced) -> None:
        if self.state.view is not None:
            self.learn(m.view)

    def learn(self, view: GroupView) -> None:
        """Go over to a view if it is newer."""
        old = self.state.view
        if old is not None and view.number <= old.number:
            return
        led = self.leads
        self.state.view = view
        self.state.following = False
        self.state.lease_until_ns = 0
        self.caught_up = self.silent = ()
        if self.host.wants(ViewAdopted):
            self.host.record(ViewAdopted(self.role_name, view))
        self.adopted(old if led else None, view)
        self.ping()

    def adopted(self, led: GroupView | None, view: GroupView) -> None:
        """A newer view holds from now on; `led` is the one before, if this node was its primary."""
        raise NotImplementedError

    @property
    def leads(self) -> bool:
        """Whether this node is primary, in the life that its view was granted to."""
        view = self.state.view
        return view is not None and view.primary == self.host.id and view.incarnation == self.incarnation

    @property
    def role_name(self) -> str:
        """`primary`, `backup` or `spare`: in no view, or not yet up to date."""
        view = self.state.view
        if view is not None and self.host.id in view.backups:
            return "backup"
        return "primary" if self.leads else "spare"

    @property
    def is_full(self) -> bool:
        """Whether there is no room left for what this node would have to vouch for."""
        return self.site.design.durability == "disk" and self.host.disk.full()

    def must_lead(self) -> GroupView:
        """The view that this node leads. Raises if it leads none."""
        view = self.state.view
        if view is None:
            raise Unavailable(f"{self.host.id} has not heard from the view service since it started")
        if view.primary != self.host.id:
            raise Elsewhere(f"{self.host.id} is not the primary of view {view.number}", view.primary)
        if not self.leads:
            raise Unavailable(f"{self.host.id} has restarted and waits for a view of its own")
        return view

    def status(self) -> dict[str, str]:
        view = self.state.view
        facts = {"position": str(self.state.position)}
        return facts if view is None else facts | {"view": str(view.number), "primary": view.primary}
