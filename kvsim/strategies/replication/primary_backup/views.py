"""Views: who is primary and who is backup, numbered; and the rule by which one follows the other.

Only a node that certainly has every acknowledged write may become primary, so a view tells backups, which have them,
from joining nodes, which are still being sent the data. The rule is a pure function of what the view service knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from kvsim.core.message import Message, Nanoseconds, NodeId


class GroupView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One view. A primary serves in it only in the life (incarnation) that the view was granted to."""

    number: int
    primary: NodeId
    incarnation: int
    backups: tuple[NodeId, ...] = ()
    joining: tuple[NodeId, ...] = ()

    @property
    def followers(self) -> tuple[NodeId, ...]:
        """All to whom the primary sends its changes."""
        return (*self.backups, *self.joining)


class ServiceState(msgspec.Struct, frozen=True, array_like=True):
    """What the view service must not forget. View number 0: none has been granted."""

    view: GroupView = GroupView(0, "", 0)
    acknowledged: bool = True
    incarnations: dict[NodeId, int] = {}
    """The life in which each member of the view entered it."""


class Ping(Message, tag="primary_backup.ping"):
    """ServerData to view service: I live, and the newest view that I know is this one."""

    view: int
    incarnation: int
    sent_ns: Nanoseconds
    caught_up: tuple[NodeId, ...] = ()
    """From the primary: joining nodes that have everything now, and whose word it waits for before it answers."""
    silent: tuple[NodeId, ...] = ()
    """From the primary: backups that have not answered it for so long that they must leave the view, alive or not."""


class ViewNow(Message, tag="primary_backup.view_now"):
    """View service to ServerData: this is the view. Echoes the last ping, so that a lease begins when that was sent."""

    view: GroupView
    incarnation: int
    sent_ns: Nanoseconds


def first_view(alive: Mapping[NodeId, int], nodes: Sequence[NodeId], copies: int) -> ServiceState:
    """The view of a new cluster: nobody holds anything, so any nodes will do."""
    members = [node for node in nodes if node in alive][:copies]
    primary, *backups = members
    view = GroupView(1, primary, alive[primary], tuple(backups))
    return ServiceState(view, False, {node: alive[node] for node in members})


def next_state(
    state: ServiceState,
    alive: Mapping[NodeId, int],
    caught_up: Sequence[NodeId],
    nodes: Sequence[NodeId],
    copies: int,
    survives: bool,
) -> ServiceState:
    """The state that follows; the same where nothing has to change, or nothing may.

    `alive` gives the incarnation of each node to be counted on. `survives`: a node that restarts still has what it
    promised to have (on its disk); where not, it counts as a new node.
    """
    view = state.view
    if not state.acknowledged:
        return state  # its primary may never have heard of it; nobody knows what a next one would have to have

    def has_everything(node: NodeId) -> bool:
        return node in alive and (survives or alive[node] == state.incarnations[node])

    candidates = (view.primary, *view.backups, *(node for node in view.joining if node in caught_up))
    complete = [node for node in candidates if has_everything(node)]
    if not complete:
        return state  # whoever has the data must come back
    primary, *backups = complete
    rest = [node for node in dict.fromkeys((*view.joining, *nodes)) if node in alive and node not in complete]
    joining = rest[: max(0, copies - len(complete))]
    incarnations = {node: alive[node] for node in (*complete, *joining)}
    new = GroupView(view.number, primary, alive[primary], tuple(backups), tuple(joining))
    if new == view and (survives or incarnations == state.incarnations):
        return state
    return ServiceState(msgspec.structs.replace(new, number=view.number + 1), False, incarnations)
