"""What a fault may wait for: events of nodes and clients, by names that people use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kvsim.core.message import Nanoseconds, NodeId
from kvsim.core.trace import Event

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation

Trigger = dict[str, Callable[[Any], bool]]
"""The tags of events that set it off, and which of them do."""


def _any(_: Event) -> bool:
    return True


TRIGGERS: dict[str, Trigger] = {
    "leader elected": {"raft.elected": _any, "primary_backup.granted": _any},
    "leader stepped down": {"raft.stepped_down": _any},
    "write acknowledged": {"world.sent": lambda event: event.kind == "result.written"},
    "node suspected": {"heartbeat.suspected": _any},
    "out of memory": {"world.out_of_memory": _any},
    "node crashed": {"world.crashed": _any},
    "node restarted": {"world.restarted": _any},
}
"""By the words that a file uses."""


def kinds_of_events() -> dict[str, tuple[type[Event], ...]]:
    """All kinds of events that were declared, by their tags; two versions of one protocol may share a tag."""

    def below(kind: type[Event]) -> Iterator[type[Event]]:
        for found in kind.__subclasses__():
            yield found
            yield from below(found)

    kinds: dict[str, tuple[type[Event], ...]] = {}
    for kind in below(Event):
        tag = str(kind.__struct_config__.tag)
        kinds[tag] = (*kinds.get(tag, ()), kind)
    return kinds


def once(world: Simulation, when: str, happened: Callable[[], None]) -> None:
    """Call back, once, right after the next event that this trigger means."""
    trigger = TRIGGERS.get(when, {when: _any})
    known = kinds_of_events()
    kinds = {kind: wanted for tag, wanted in trigger.items() for kind in known.get(tag, ())}
    waiting = True

    def sink(_: NodeId, time_ns: Nanoseconds, event: Event) -> None:
        nonlocal waiting
        if waiting and kinds[type(event)](event):
            waiting = False
            # Not at once: the node is in the middle of what it does, and a crash must not happen inside of it.
            world.at(time_ns, happened)

    world.listen(sink, *kinds)
