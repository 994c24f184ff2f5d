"""What may happen next in an explored world: which actions its state allows, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator

from kvsim.core.message import NodeId
from kvsim.explore.action import Action, Kind
from kvsim.explore.clients import MOST_TRIES, Client
from kvsim.explore.scenario import Scenario
from kvsim.explore.state import BROKEN, State


class Choices:
    """The choices of one scenario. Actions that differ only by place are made once."""

    def __init__(self, scenario: Scenario) -> None:
        self.nodes = scenario.nodes
        self.size = size = len(self.nodes)
        self.place: dict[NodeId, int] = {node: at for at, node in enumerate(self.nodes)}
        self._asks = scenario.asks
        self._together = scenario.settings.clocks == "together"
        self._links = range(size * size)
        self._no_datagrams: tuple[tuple[int, ...], ...] = ((),) * (size * size)
        self._deliver: list[Action] = [(Kind.DELIVER, link // size, link % size) for link in self._links]
        self._sync, self._restart, self._timer, self._crash, self._break_disk = (
            [(kind, at) for at in range(size)]
            for kind in (Kind.SYNC, Kind.RESTART, Kind.TIMER, Kind.CRASH, Kind.BREAK_DISK)
        )

    def is_over(self, state: State) -> bool:
        """Whether all clients have seen all that they will: nothing that follows changes what they saw."""
        for at, client in enumerate(state.clients):
            if client.asked < len(self._asks[at]) or (client.open and client.live):
                return False
            if client.open and self.retry_place(state, at, client) is not None:
                return False
        return True

    def enabled(self, state: State) -> list[Action]:
        """All that may happen next; nothing when all is over."""
        return [] if self.is_over(state) else self.possible(state)

    def possible(self, state: State) -> list[Action]:
        """All that may happen next, whether anybody looks or not."""
        found: list[Action] = []
        for at, client in enumerate(state.clients):
            if not (client.open and client.live) and client.asked < len(self._asks[at]):
                doors = self._asks[at][client.asked].doors
                if any(state.locals[self.place[door]].is_up for door in doors):
                    found.append((Kind.ASK, at, client.asked))
        streams, deliver = state.streams, self._deliver
        found += [deliver[link] for link in self._links if streams[link]]
        if state.datagrams != self._no_datagrams:
            found += self._about_datagrams(Kind.ARRIVE, state)
        for at, local in enumerate(state.locals):
            if local.work:
                found.append(self._sync[at])
            elif not local.is_up:
                found.append(self._restart[at])
        if state.left[-1]:
            self._add_faults(state, found)
        return found

    def _about_datagrams(self, kind: Kind, state: State) -> Iterator[Action]:
        """The same of two that are equal is tried once."""
        size = self.size
        for link, queue in enumerate(state.datagrams):
            for at, parcel in enumerate(queue):
                if parcel not in queue[:at]:
                    yield (kind, link // size, link % size, at)

    def _add_faults(self, state: State, found: list[Action]) -> None:
        crashes, losses, duplicates, timers, retries, disk_failures, _ = state.left
        if timers:
            found += [self._timer[at] for at in self._next_timers(state)]
        if retries:
            for at, client in enumerate(state.clients):
                if client.open and self.retry_place(state, at, client) is not None:
                    found.append((Kind.RETRY, at, client.asked - 1, client.tries))
        if losses or duplicates:
            found += self._network_faults(state, bool(losses), bool(duplicates))
        if crashes or disk_failures:
            for at, local in enumerate(state.locals):
                if crashes and local.is_up:
                    found.append(self._crash[at])
                if disk_failures and local.work:
                    found.append(self._break_disk[at])

    def _network_faults(self, state: State, losses: bool, duplicates: bool) -> Iterator[Action]:
        size = self.size
        if losses:
            yield from self._about_datagrams(Kind.LOSE, state)
        if duplicates:
            yield from self._about_datagrams(Kind.REPEAT, state)
        if losses:
            for one in range(size):
                for other in range(one + 1, size):
                    links = (one * size + other, other * size + one)
                    if any(_has_messages(state.streams[link]) for link in links):
                        yield (Kind.BREAK, one, other)

    def _next_timers(self, state: State) -> list[int]:
        due = [(local.due_ns, at) for at, local in enumerate(state.locals) if local.due_ns is not None]
        if self._together and due:
            first_ns = min(due)[0]
            return [at for due_ns, at in due if due_ns == first_ns]
        return [at for _, at in due]

    def retry_place(self, state: State, at: int, client: Client) -> int | None:
        """Whom a client in doubt would ask again; None if it may not, or the bound is reached."""
        if not state.left[4] or not state.left[-1] or client.tries >= MOST_TRIES:
            return None
        doors = self._asks[at][client.asked - 1].doors
        place = self.place[doors[client.tries % len(doors)]]
        local = state.locals[place]
        if not local.is_up or (len(doors) == 1 and local.incarnation != client.life):
            return None
        return place

    def door(self, state: State, action: Action) -> int:
        """Whom a client asks: the first of its doors that is up; asking again, the next in turn."""
        client, doors = state.clients[action[1]], self._asks[action[1]][action[2]].doors
        if action[0] == Kind.RETRY:
            return self.place[doors[client.tries % len(doors)]]
        return next(self.place[door] for door in doors if state.locals[self.place[door]].is_up)


def _has_messages(queue: tuple[int, ...]) -> bool:
    return bool(queue) and queue != (BROKEN,)
