"""Memberships that see ghosts, see nothing, never forgive, or cannot count."""

from kvsim.core.axes import Membership
from kvsim.core.host import Recovered
from kvsim.core.message import NodeId
from kvsim.core.node import View
from kvsim.strategies.membership.heartbeat import Heartbeat


class SeesGhosts(Heartbeat):
    """Suspects somebody from time to time."""

    def _beat(self) -> None:
        super()._beat()
        if self.count % 7 == 0 and self.host.id != "data-1":
            self._believe_down(("data-1",))


class SeesNothing(Membership):
    """Claims to notice crashes."""


class NeverForgives(Heartbeat):
    """Who was suspected once is suspected for ever."""

    def _believe_down(self, down: tuple[NodeId, ...]) -> None:
        ever = tuple(dict.fromkeys((*self.view.down, *down)))
        super()._believe_down(tuple(sorted(ever)))


class CannotCount(Heartbeat):
    """All its views have one number."""

    def _believe_down(self, down: tuple[NodeId, ...]) -> None:
        if down != self.view.down:
            self.node.change_view(View(1, self.view.members, down))


class SuspectsItself(Heartbeat):
    """Thinks after a restart that it is dead."""

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        if recovered.incarnation > 1:
            self.host.after(1_000_000, lambda: self._believe_down((self.host.id,)))
