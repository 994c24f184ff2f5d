"""What may happen next in an explored world, as plain tuples; and when the order of two of them does not matter."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """The kinds of what may happen, in the order in which a search tries them."""

    ASK = 0
    """(client, position): a client's next request arrives."""
    DELIVER = 1
    """(sender, receiver): the oldest of a stream arrives: a message, or the news that the stream broke."""
    ARRIVE = 2
    """(sender, receiver, position): a datagram arrives."""
    SYNC = 3
    """(node): what its disk has begun first completes."""
    RESTART = 4
    """(node)"""
    TIMER = 5
    """(node): its next timer goes off."""
    RETRY = 6
    """(client, position, try): a client asks again under the same number."""
    LOSE = 7
    """(sender, receiver, position): a datagram is lost."""
    REPEAT = 8
    """(sender, receiver, position): a datagram arrives, and will once more."""
    BREAK = 9
    """(one, other): their streams break, with all that is on them."""
    CRASH = 10
    """(node): it loses power."""
    BREAK_DISK = 11
    """(node): what its disk has begun first fails."""


Action = tuple[int, ...]
"""A kind, and what it is about: places of nodes in the cluster and of clients in the scenario."""

BUDGET: dict[int, int] = {
    Kind.CRASH: 0,
    Kind.LOSE: 1,
    Kind.BREAK: 1,
    Kind.REPEAT: 2,
    Kind.TIMER: 3,
    Kind.RETRY: 4,
    Kind.BREAK_DISK: 5,
}
"""What a kind is paid from, by the place of the bound among the bounds; the others are free."""


class Footprint(NamedTuple):
    """What a step touched: sets of nodes and clients as bits."""

    nodes: int
    """Whose state or incoming queue it used."""
    clients: int = 0
    restarted: int = 0
    sent_to_down: int = 0
    """Nodes that were sent something while they were down: it would have mattered whether they had restarted."""
    invokes: bool = False
    completes: bool = False


def independent(one: Footprint, other: Footprint) -> bool:
    """Whether both orders of two steps that are possible at one moment lead to the same.

    A history is the same to a judge unless the end of an operation and the beginning of another change places. That
    both are paid from one bound is no matter: where one alone can be paid, neither order is possible.
    """
    if one.nodes & other.nodes or one.clients & other.clients:
        return False
    if one.restarted & other.sent_to_down or other.restarted & one.sent_to_down:
        return False
    return not ((one.completes and other.invokes) or (other.completes and one.invokes))
