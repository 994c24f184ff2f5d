"""Puts what clients ask and are told into the trace, between the messages that it leads to and follows from."""

from __future__ import annotations

from kvsim.core.history import Event
from kvsim.sim.events import Completed, Invoked, Observer


class ClientTrace:
    """Hears each event of the history as it happens. A client's operation follows from the end of its last one."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._last: dict[str, int] = {}
        self._open: dict[int, int] = {}

    def __call__(self, client: str, event: Event) -> None:
        """Record it, and let what the client does now follow from it."""
        observer = self._observer
        if event.type == "invoke":
            asked = Invoked(event.index, event.process, event.op, event.key, event.value)
            entry = self._open[event.process] = observer.record(client, asked, self._last.get(client, 0))
        else:
            told = Completed(event.index, event.process, event.op, event.type, event.value)
            # What a timer of the client's ends follows from no message, but from when it began.
            entry = observer.record(client, told, observer.following or self._open[event.process])
            self._last[client] = entry
        observer.follow(entry)
