"""The primary: gives all changes an order, sends them to the others, and counts what of it everybody has stored."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import msgspec

from kvsim.core.axes import Site
from kvsim.core.message import Message, Nanoseconds, NodeId
from kvsim.core.node import receives
from kvsim.core.operation import OutcomeUnknown, Unavailable, Write, Written
from kvsim.core.replica import Change, Known, change_for
from kvsim.core.trace import Event
from kvsim.core.version import Version
from kvsim.core.waiting import Future
from kvsim.strategies.replication.primary_backup.backup import Backup, Following, Probe, Replicate, Stored, Transfer
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings
from kvsim.strategies.replication.primary_backup.views import GroupView

PIECE_PARTS = 512
PIECE_BYTES = 256 * 1_024
"""A piece of a state transfer ends at so many parts or bytes."""
UNCOMMITTED_KEPT = 10_000
"""Changes that may wait for the backups; beyond, writes are refused until these answer or are left behind."""


class Transferred(Event, tag="primary_backup.transferred"):
    """The primary has sent its whole state to a node that lacked something."""

    to: NodeId
    position: Version


class Follower(msgspec.Struct):
    """What a primary knows of one of the others in this view."""

    stored: int = -1
    """The changes up to this number will outlive its crash; −1: it has not been heard of."""
    counts_from: int | None = None
    """Changes from this number on are vouched for only when this node has stored them; None: never, it is joining."""
    stored_at_tick: int = -1
    waits_since_ns: Nanoseconds | None = None
    """Since when it has owed an answer; None: it owes none."""
    checked_in_round: int = 0
    """The round whose answer tells whether it lacks something; 0: none is asked for that."""

    def vouches_for(self) -> int:
        """It holds up no change up to this number."""
        assert self.counts_from is not None, "a joining node is not asked"
        return max(self.stored, self.counts_from - 1)


class Primary(Backup):
    """Leads its view."""

    def __init__(self, site: Site, settings: PrimaryBackupSettings) -> None:
        super().__init__(site, settings)
        self.is_sync = settings.mode == "sync"
        self.followers: dict[NodeId, Follower] = {}
        self.round = 0
        self._waiting: list[tuple[int, int, Future[bool]]] = []
        self._waits = 0
        self._late = 0
        self._first_number = 0
        self._rounds: dict[int, tuple[dict[NodeId, None], Future[bool]]] = {}

    def adopted(self, led: GroupView | None, view: GroupView) -> None:
        super().adopted(led, view)
        before = self.followers
        self.followers = {}
        stays = led is not None and view.number == led.number + 1 and self.leads
        if not stays:
            self.state.committed = 0  # what is committed shows when the others have answered
            self._give_up()
        if self.leads:
            self._first_number = self.state.position.counter + 1
            for node in view.backups:
                follower = before.get(node) if stays else None
                counted = follower is not None and follower.counts_from is not None
                self.followers[node] = follower if follower and counted else Follower(counts_from=0)
            self.followers |= {node: Follower() for node in view.joining}
            self._probe(list(self.followers), check=True)
            self._advance()

    def tick(self) -> None:
        now = self.host.now()
        self.silent = tuple(
            node
            for node, follower in self.followers.items()
            if follower.counts_from is not None
            and follower.waits_since_ns is not None
            and now - follower.waits_since_ns >= self.settings.dead_after_ns
        )
        super().tick()
        last = self.state.position.counter
        still = [
            node
            for node, follower in self.followers.items()
            if follower.stored < last and follower.stored == follower.stored_at_tick
        ]
        for follower in self.followers.values():
            follower.stored_at_tick = follower.stored
        self._probe(still, check=True)

    # ---- Ordering and counting

    def order(self, op: Write, existed: bool | None, view: GroupView) -> Written:
        """Give a write its place behind all others, here and on its way to the others. Nothing is vouched for yet."""
        state = self.state
        if state.position.counter - max(state.committed, self._first_number - 1) >= UNCOMMITTED_KEPT:
            raise Unavailable(f"{UNCOMMITTED_KEPT} changes wait for the backups of view {view.number}")
        after = state.position
        change = change_for(op, Version(after.counter + 1, f"v{view.number}"), existed)
        self.take(change)
        message = Replicate(view.number, after, change)
        for node in self.followers:
            self._expect(node, message)
        return Written(change.version, existed)

    async def committed(self, number: int) -> bool:
        """Wait until this change may be vouched for; False at the deadline, or when this node is replaced."""
        if number <= self.state.committed:
            return True
        done: Future[bool] = Future()
        self._waits += 1
        heappush(self._waiting, (number, self._waits, done))
        deadline = self.host.after(self.site.design.timeout_ns, lambda: done.complete(False))
        is_committed = await done
        deadline.cancel()
        if not is_committed:
            self._forget_late()
        return is_committed

    def _forget_late(self) -> None:
        """Keep the queue no longer than twice what still waits in it."""
        self._late += 1
        if 2 * self._late > len(self._waiting):
            self._late = 0
            self._waiting = [waiting for waiting in self._waiting if not waiting[2].done]
            heapify(self._waiting)

    def _expect(self, node: NodeId, message: Message) -> None:
        """Send something that wants an answer."""
        follower = self.followers[node]
        if follower.waits_since_ns is None:
            follower.waits_since_ns = self.host.now()
        self.tell(node, message)

    def made_durable(self) -> None:
        super().made_durable()
        if self.leads:
            self._advance()

    @receives(Stored)
    def stored(self, sender: NodeId, m: Stored) -> None:
        if self._is_from_follower(sender, m.view):
            self.followers[sender].waits_since_ns = None
            self._count(sender, m.durable)

    def _count(self, node: NodeId, number: int) -> None:
        view = self.state.view
        assert view is not None, "a primary has a view"
        follower = self.followers[node]
        follower.stored = max(follower.stored, number)
        if node in view.joining and node not in self.caught_up:
            if follower.counts_from is None:
                # From the next change on this node's word is waited for. When it has stored all before, too, it lacks
                # nothing that was vouched for, and may become a backup, or even primary.
                follower.counts_from = self.state.position.counter + 1
            if not self.is_sync or follower.stored >= follower.counts_from - 1:
                self.caught_up = (*self.caught_up, node)
                self.ping()
        self._advance()

    def _advance(self) -> None:
        """Vouch for what everybody who counts has stored; asynchronously, for what is stored here."""
        counted = [follower.vouches_for() for follower in self.followers.values() if follower.counts_from is not None]
        committed = min(self.state.durable, *counted) if self.is_sync and counted else self.state.durable
        if committed <= self.state.committed:
            return
        self.state.committed = committed
        while self._waiting and self._waiting[0][0] <= committed:
            heappop(self._waiting)[2].complete(True)

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        rounds, self._rounds = self._rounds, {}
        for _, _, done in waiting:
            done.complete(False)
        for _, answered in rounds.values():
            answered.complete(False)

    # ---- Asking the others, and helping those who lack something

    async def confirm_by_round(self) -> bool:
        """Ask all who could be promoted whether they still follow; False at the deadline, or when one is promoted."""
        asked = {node: None for node, follower in self.followers.items() if follower.counts_from is not None}
        if not asked:
            return True  # nobody else has the data, so nobody else was promoted
        answered: Future[bool] = Future()
        self._probe(list(asked), check=False)
        number = self.round
        self._rounds[number] = (asked, answered)
        deadline = self.host.after(self.site.design.timeout_ns, lambda: answered.complete(False))
        is_confirmed = await answered
        deadline.cancel()
        self._rounds.pop(number, None)
        return is_confirmed

    @receives(Following)
    def following(self, sender: NodeId, m: Following) -> None:
        if not self._is_from_follower(sender, m.view):
            return
        if m.round in self._rounds:
            asked, answered = self._rounds[m.round]
            asked.pop(sender, None)
            if not asked:
                answered.complete(True)
        follower = self.followers[sender]
        follower.waits_since_ns = None
        if m.same:
            self._count(sender, m.durable)
        elif m.round == follower.checked_in_round:
            follower.checked_in_round = 0
            self._transfer(sender)

    def _probe(self, nodes: list[NodeId], *, check: bool) -> None:
        view = self.state.view
        if not nodes or view is None:
            return
        self.round += 1
        for node in nodes:
            if check:
                self.followers[node].checked_in_round = self.round
            self._expect(node, Probe(view, self.state.position, self.round))

    def _transfer(self, node: NodeId) -> None:
        """Send the whole state; changes made from now on follow on the same stream."""
        view, position = self.must_lead(), self.state.position
        parts = self.replica.snapshot()
        pieces = _pieces(parts)
        at = 0
        for piece in pieces:
            more = at + len(piece) < len(parts)
            self.tell(node, Transfer(view.number, position, at, tuple(piece), more))
            at += len(piece)
        if self.host.wants(Transferred):
            self.host.record(Transferred(node, position))

    def _is_from_follower(self, sender: NodeId, number: int) -> bool:
        view = self.state.view
        return view is not None and number == view.number and sender in self.followers


def _pieces(parts: list[Change | Known]) -> list[list[Change | Known]]:
    """The parts in pieces of bounded size; one empty piece where there are none."""
    pieces: list[list[Change | Known]] = [[]]
    size_bytes = 0
    for part in parts:
        if len(pieces[-1]) >= PIECE_PARTS or size_bytes >= PIECE_BYTES:
            pieces.append([])
            size_bytes = 0
        pieces[-1].append(part)
        size_bytes += len(part.key) + len(part.value or b"") if isinstance(part, Change) else 0
    return pieces


def not_stored_by_all(view: GroupView) -> OutcomeUnknown:
    """What a write says whose change did not come to be vouched for."""
    return OutcomeUnknown(f"not all members of view {view.number} stored the write in time; it may happen yet")
