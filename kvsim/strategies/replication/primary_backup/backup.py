"""A backup: takes the primary's changes one after the other, and says what of them is durable.

A change names the change before it. Where that is not the last one here, something is missing or too much, and the
primary sends the whole state.
"""

from __future__ import annotations

from kvsim.core.host import Recovered
from kvsim.core.message import Message, NodeId
from kvsim.core.node import receives
from kvsim.core.operation import Unavailable
from kvsim.core.replica import Change, Known
from kvsim.core.version import NEVER, Version
from kvsim.core.waiting import Future
from kvsim.strategies.replication.primary_backup.member import Fenced, ViewMember
from kvsim.strategies.replication.primary_backup.views import GroupView

EARLY_KEPT = 4_096
"""Changes kept that came before the one they follow; beyond, the oldest go, and the state is sent instead."""


class Replicate(Message, tag="primary_backup.replicate"):
    """Primary to the others: this change comes after that one."""

    view: int
    after: Version
    change: Change


class Stored(Message, tag="primary_backup.stored"):
    """Backup to primary: all changes up to this number will outlive my crash."""

    view: int
    durable: int


class Probe(Message, tag="primary_backup.probe"):
    """Primary to the others: this is the view, and there I stand; do you follow?"""

    view: GroupView
    position: Version
    round: int


class Following(Message, tag="primary_backup.following"):
    """Backup to primary: I am in your view and know of no newer; whether I stood where you stood when you asked."""

    view: int
    round: int
    same: bool
    durable: int


class Transfer(Message, tag="primary_backup.transfer"):
    """Primary to one who lacks something: the whole state at this position, in pieces; `at` counts the parts before."""

    view: int
    position: Version
    at: int
    parts: tuple[Change | Known, ...]
    more: bool


class Backup(ViewMember):
    """Follows the primary of its view."""

    def start(self, recovered: Recovered) -> None:
        self.early: dict[Version, Change] = {}
        self.parts: list[Change | Known] = []
        self.loads = 0
        super().start(recovered)
        versions = [record.version for record in self.replica.records.values()]
        self.state.position = max(versions, default=NEVER)
        self.state.durable = self.state.position.counter

    def adopted(self, led: GroupView | None, view: GroupView) -> None:
        self.early.clear()
        self.parts.clear()

    @receives(Replicate)
    def replicate(self, sender: NodeId, m: Replicate) -> None:
        if not self._is_from_primary(sender, m.view):
            return
        self.early[m.after] = m.change
        if len(self.early) > EARLY_KEPT:
            del self.early[next(iter(self.early))]
        self._take_early()

    @receives(Probe)
    def probe(self, sender: NodeId, m: Probe) -> None:
        if self.state.view is None:
            return  # only the view service knows how far the views have come while this node was down
        self.learn(m.view)
        if self._is_from_primary(sender, m.view.number):
            same = m.position == self.state.position
            self.state.following = self.state.following or same
            self.tell(sender, Following(m.view.number, m.round, same, self.state.durable))

    @receives(Transfer)
    def transfer(self, sender: NodeId, m: Transfer) -> None:
        if not self._is_from_primary(sender, m.view) or self.is_full:
            return
        if m.at == 0:
            self.parts.clear()
        if m.at != len(self.parts):
            return  # a piece was lost; the next probe will show that
        self.parts += m.parts
        if m.more:
            return
        self.loads += 1
        self.state.position, self.state.durable, self.state.following = m.position, 0, True
        loaded = self.replica.load(self.parts)
        self.parts = []
        self.vouch(m.position.counter, loaded)
        self.early = {after: change for after, change in self.early.items() if after.counter >= m.position.counter}
        self._take_early()

    def _take_early(self) -> None:
        """Take all changes whose turn it is."""
        while (change := self.early.pop(self.state.position, None)) is not None:
            self.state.following = True
            try:
                self.take(change)
            except Unavailable:
                return  # the disk is full: no word is given for this change, and no ping either

    def take(self, change: Change) -> None:
        """Apply the next change. Raises `Unavailable`, with nothing done, when the disk is nearly full."""
        stored = self.replica.apply(change)
        self.state.position = change.version
        self.vouch(change.version.counter, stored)

    def vouch(self, number: int, stored: Future[None]) -> None:
        """Note when the changes up to this number are durable; a state loaded meanwhile makes that void."""
        load = self.loads

        def durable(_: Future[None]) -> None:
            if load == self.loads:
                self.state.durable = max(self.state.durable, number)
                self.made_durable()

        stored.when_done(durable)

    def made_durable(self) -> None:
        """More is durable here than before."""
        view = self.state.view
        # Only for changes in this primary's order: what an earlier primary sent alone does not count for it.
        if view is not None and self.state.following and not self.leads:
            self.tell(view.primary, Stored(view.number, self.state.durable))

    def _is_from_primary(self, sender: NodeId, number: int) -> bool:
        view = self.state.view
        if view is None or number > view.number:
            return False
        if number < view.number:
            self.tell(sender, Fenced(view))
            return False
        return sender == view.primary and not self.leads
