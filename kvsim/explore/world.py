"""The explored world: all nodes, what is between them and what clients wait for, as one immutable value.

`World.act` gives the state after a step, so a search goes back to any state that it still holds, and two orders of
steps that lead to the same are seen to do so. What a node does is remembered by `Locals`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kvsim.core.invariant import Breach, Claims, Invariants, Moment, agreed
from kvsim.core.message import Channel, Message
from kvsim.core.operation import Perform
from kvsim.core.trace import Event
from kvsim.explore.action import BUDGET, Action, Footprint, Kind
from kvsim.explore.clients import (
    INFO,
    INVOKED,
    MOST_TRIES,
    Client,
    Seen,
    asked_by,
    canonical,
    number_of,
    told,
)
from kvsim.explore.local import Local, Locals, Parcel, Step, is_defect
from kvsim.explore.past import Past
from kvsim.explore.scenario import BUDGETS, Scenario

BROKEN = -3
"""In a stream's queue: the news that it broke."""
PLENTY = 1_000


class State(NamedTuple):
    """One moment of the whole world."""

    locals: tuple[Local, ...]
    streams: tuple[tuple[int, ...], ...]
    """What is on the way from each node to each, oldest first: numbers of parcels."""
    datagrams: tuple[tuple[int, ...], ...]
    clients: tuple[Client, ...]
    seen: tuple[Seen, ...]
    left: tuple[int, ...]
    """What is left of each bound; at the end, of all together."""
    claims: Claims
    claims_key: int
    clock_ns: int

    def key(self) -> int:
        """Equal for moments from which the same can follow, and that have been judged by the same."""
        return hash(
            (
                tuple([local.number for local in self.locals]),
                self.streams,
                self.datagrams,
                self.clients,
                self.seen,
                self.left,
                self.claims_key,
                self.clock_ns,
            )
        )


class Outcome(NamedTuple):
    """A step: what it touched, where it led, and what was wrong about it."""

    state: State
    footprint: Footprint
    step: Step | None
    """What the node did that took part; None where only a message was lost or a stream broke."""
    wrong: str = ""
    """Which invariant does not hold, or how a node failed by its own fault."""


class World:
    """The rules of one scenario."""

    def __init__(self, scenario: Scenario, seed: int = 0, *, merge: bool = True) -> None:
        self.scenario = scenario
        self.nodes = scenario.nodes
        self.size = len(self.nodes)
        self.place = {node: at for at, node in enumerate(self.nodes)}
        settings = scenario.settings
        self.together = settings.clocks == "together"
        self.notices = settings.notices
        self.invariants: Invariants | None = scenario.replication.invariants(
            scenario.design["replication"].settings, scenario.design, scenario.cluster
        )
        self.locals = Locals(
            scenario.build, self.invariants, seed, together=self.together, merge=merge, past=scenario.past
        )
        self._canonical: dict[tuple[Seen, ...], tuple[Seen, ...]] = {}

    # ---- The beginning

    def first(self) -> State:
        """All nodes have just started; what they sent is on its way, and no fault is bounded yet."""
        size = self.size
        empty: tuple[tuple[int, ...], ...] = ((),) * (size * size)
        steps = [self.locals.start(node) for node in self.nodes]
        state = State(
            tuple(step.local for step in steps), empty, empty, (Client(),) * len(self.scenario.clients), (),
            (PLENTY,) * (len(BUDGETS) + 1), {}, 0, 0,
        )  # fmt: skip
        if self.scenario.past is not None:
            return self._with_past(state, self.scenario.past)
        for at, step in enumerate(steps):
            state, _ = self._sent(state, at, step)
        return state

    def _with_past(self, state: State, past: Past) -> State:
        """The moment at which a run has left everything."""
        streams, datagrams = list(state.streams), list(state.datagrams)
        for each in past.on_the_way:
            link = self.place[each.sender] * self.size + self.place[each.to]
            if not state.locals[self.place[each.to]].is_up:
                continue
            if each.envelope is None:
                streams[link] += (BROKEN,)
                continue
            parcel = self.locals.number(Parcel(each.sender, each.to, each.envelope, each.channel))
            queues = datagrams if each.channel is Channel.DATAGRAM else streams
            queues[link] += (parcel,)
        clients = list(state.clients)
        for at, each_open in enumerate(past.opens):
            if each_open.arrived:
                place = self.place[each_open.door]
                live = ((0, place),) if each_open.alive or each_open.answer is not None else ()
                doubt = each_open.again or not each_open.alive
                clients[at] = Client(1, True, 1, live, doubt, state.locals[place].incarnation)
        state = state._replace(
            streams=tuple(streams), datagrams=tuple(datagrams), clients=tuple(clients), clock_ns=past.moment_ns,
        )  # fmt: skip
        for local in state.locals:
            state = self._with_claims(state, local)
        for at, each_open in enumerate(past.opens):
            if each_open.answer is not None:
                state, _ = self._answered(state, Footprint(0), number_of(at, 0, 0), each_open.answer)
        return state

    def bounded(self, state: State) -> State:
        """The same moment, from which on faults are bounded."""
        bounds = self.scenario.settings.bounds
        each = tuple(getattr(bounds, name) for name in BUDGETS)
        return state._replace(left=(*each, PLENTY if bounds.faults is None else bounds.faults))

    # ---- What may happen

    def is_over(self, state: State) -> bool:
        """Whether all clients have seen all that they will: nothing that follows changes what they saw."""
        for at, client in enumerate(state.clients):
            if client.asked < len(self.scenario.asks[at]) or client.waits:
                return False
            if client.open and self._retry_place(state, at, client) is not None:
                return False
        return True

    def enabled(self, state: State) -> list[Action]:
        """All that may happen next, in a fixed order; nothing when all is over."""
        return [] if self.is_over(state) else self.possible(state)

    def possible(self, state: State) -> list[Action]:
        """All that may happen next, whether anybody looks or not."""
        found = list(self._asks(state))
        size = self.size
        for link, queue in enumerate(state.streams):
            if queue:
                found.append((Kind.DELIVER, link // size, link % size))
        for link, queue in enumerate(state.datagrams):
            found += [
                (Kind.ARRIVE, link // size, link % size, at)
                for at, parcel in enumerate(queue)
                if parcel not in queue[:at]
            ]
        for at, local in enumerate(state.locals):
            if local.work:
                found.append((Kind.SYNC, at))
            elif not local.is_up:
                found.append((Kind.RESTART, at))
        if state.left[-1]:
            found += self._faults(state)
        return found

    def _asks(self, state: State) -> Iterator[Action]:
        for at, client in enumerate(state.clients):
            if not client.waits and client.asked < len(self.scenario.asks[at]):
                doors = self.scenario.asks[at][client.asked].doors
                if any(state.locals[self.place[door]].is_up for door in doors):
                    yield (Kind.ASK, at, client.asked)

    def _faults(self, state: State) -> Iterator[Action]:
        crashes, losses, duplicates, timers, retries, disk_failures, _ = state.left
        if timers:
            yield from ((Kind.TIMER, at) for at in self._next_timers(state))
        if retries:
            for at, client in enumerate(state.clients):
                if client.open and self._retry_place(state, at, client) is not None:
                    yield (Kind.RETRY, at, client.asked - 1, client.tries)
        if losses or duplicates:
            yield from self._network_faults(state, bool(losses), bool(duplicates))
        for at, local in enumerate(state.locals):
            if crashes and local.is_up:
                yield (Kind.CRASH, at)
            if disk_failures and local.work:
                yield (Kind.BREAK_DISK, at)

    def _network_faults(self, state: State, losses: bool, duplicates: bool) -> Iterator[Action]:
        size = self.size
        for link, queue in enumerate(state.datagrams):
            for at, parcel in enumerate(queue):
                if parcel not in queue[:at]:
                    if losses:
                        yield (Kind.LOSE, link // size, link % size, at)
                    if duplicates:
                        yield (Kind.REPEAT, link // size, link % size, at)
        if losses:
            for one in range(size):
                for other in range(one + 1, size):
                    links = (one * size + other, other * size + one)
                    if any(_has_messages(state.streams[link]) for link in links):
                        yield (Kind.BREAK, one, other)

    def _next_timers(self, state: State) -> list[int]:
        due = [(local.due_ns, at) for at, local in enumerate(state.locals) if local.due_ns is not None]
        if self.together and due:
            first_ns = min(due)[0]
            return [at for due_ns, at in due if due_ns == first_ns]
        return [at for _, at in due]

    def _retry_place(self, state: State, at: int, client: Client) -> int | None:
        """Whom a client in doubt would ask again; None if it may not, or the bound is reached."""
        if not state.left[4] or not state.left[-1] or client.tries >= MOST_TRIES:
            return None
        doors = self.scenario.asks[at][client.asked - 1].doors
        place = self.place[doors[client.tries % len(doors)]]
        local = state.locals[place]
        if not local.is_up or (len(doors) == 1 and local.incarnation != client.life):
            return None
        return place

    # ---- What happens

    def act(self, state: State, action: Action) -> Outcome:
        """The moment after this step."""
        kind = action[0]
        budget = BUDGET.get(kind, -1)
        if budget >= 0:
            left = list(state.left)
            left[budget] -= 1
            left[-1] -= 1
            state = state._replace(left=tuple(left))
        if kind in (Kind.ASK, Kind.RETRY):
            return self._ask(state, action)
        if kind in (Kind.DELIVER, Kind.ARRIVE, Kind.REPEAT):
            return self._deliver(state, action)
        if kind == Kind.LOSE:
            return self._lose(state, action)
        if kind == Kind.BREAK:
            return self._break(state, action)
        if kind == Kind.CRASH:
            return self._crash(state, action[1])
        if kind == Kind.RESTART:
            return self._run(state, action[1], ("restart",), Footprint(1 << action[1], restarted=1 << action[1]))
        if kind == Kind.TIMER:
            return self._timer(state, action[1])
        given = ("sync",) if kind == Kind.SYNC else ("break disk",)
        return self._run(state, action[1], given, Footprint(1 << action[1]))

    def _ask(self, state: State, action: Action) -> Outcome:
        at, position = action[1], action[2]
        client, ask = state.clients[at], self.scenario.asks[at][position]
        seen, nodes, place = state.seen, 0, self.door(state, action)
        if action[0] == Kind.RETRY:
            client = client._replace(
                tries=client.tries + 1, live=(*client.live, (client.tries, place)), doubt=client.doubt
            )
            attempt = client.tries - 1
        else:
            if client.open:  # nobody will tell it how the last one ended
                seen = (*seen, (INFO, at, client.asked - 1, None))
            tries = ask.doors.index(self.nodes[place])
            nodes = sum(1 << self.place[door] for door in set(ask.doors[:tries]))
            seen = (*seen, (INVOKED, at, position, None))
            client = Client(position + 1, True, tries + 1, ((tries, place),), False, state.locals[place].incarnation)
            attempt = tries
        state = state._replace(clients=_with(state.clients, at, client), seen=self._canonically(seen))
        footprint = Footprint(nodes | 1 << place, 1 << at, invokes=action[0] == Kind.ASK)
        given = ("ask", number_of(at, position, attempt), Perform(ask.operation))
        return self._run(state, place, given, footprint)

    def door(self, state: State, action: Action) -> int:
        """Whom a client asks: the first of its doors that is up; asking again, the next in turn."""
        client, doors = state.clients[action[1]], self.scenario.asks[action[1]][action[2]].doors
        if action[0] == Kind.RETRY:
            return self.place[doors[client.tries % len(doors)]]
        return next(self.place[door] for door in doors if state.locals[self.place[door]].is_up)

    def _deliver(self, state: State, action: Action) -> Outcome:
        sender, to = action[1], action[2]
        link = sender * self.size + to
        if action[0] == Kind.DELIVER:
            parcel, *rest = state.streams[link]
            state = state._replace(streams=_with(state.streams, link, tuple(rest)))
        else:
            queue = state.datagrams[link]
            parcel = queue[action[3]]
            if action[0] == Kind.ARRIVE:
                state = state._replace(datagrams=_with(state.datagrams, link, _without(queue, action[3])))
        given = ("lost", self.nodes[sender]) if parcel == BROKEN else ("deliver", parcel)
        return self._run(state, to, given, Footprint(1 << to))

    def _lose(self, state: State, action: Action) -> Outcome:
        link = action[1] * self.size + action[2]
        queue = _without(state.datagrams[link], action[3])
        state = state._replace(datagrams=_with(state.datagrams, link, queue))
        return Outcome(state, Footprint(1 << action[2]), None)

    def _break(self, state: State, action: Action) -> Outcome:
        one, other = action[1], action[2]
        streams = list(state.streams)
        for link in (one * self.size + other, other * self.size + one):
            streams[link] = (BROKEN,) if self.notices else ()
        footprint = Footprint(1 << one | 1 << other)
        return Outcome(state._replace(streams=tuple(streams)), footprint, None)

    def _timer(self, state: State, at: int) -> Outcome:
        if not self.together:
            return self._run(state, at, ("timer",), Footprint(1 << at))
        clock_ns = max(state.clock_ns, state.locals[at].due_ns or 0)
        everywhere = (1 << self.size) - 1  # every clock moves
        return self._run(state._replace(clock_ns=clock_ns), at, ("timer",), Footprint(everywhere))

    def _crash(self, state: State, at: int) -> Outcome:
        return self._run(state, at, ("crash",), Footprint(1 << at))

    # ---- What follows from it

    def _run(self, state: State, at: int, given: tuple[Any, ...], footprint: Footprint) -> Outcome:
        """Let a node take its input, and bring what it did into the world."""
        if self.together:
            given = (*given, state.clock_ns)
        before = state.locals[at]
        step = self.locals.after(before, given)
        local = step.local
        state = state._replace(locals=_with(state.locals, at, local))
        wrong = ""
        if step.sent:
            state, sent_to_down = self._sent(state, at, step)
            footprint = footprint._replace(sent_to_down=sent_to_down)
        if before.is_up and not local.is_up:
            state, footprint = self._went_down(state, at, footprint)
            if is_defect(step.failure):
                wrong = f"{self.nodes[at]} broke: {type(step.failure).__name__}: {step.failure}"
        for number, answer in step.answers:
            state, footprint = self._answered(state, footprint, number, answer)
        if self.invariants is not None and not wrong:
            state, wrong = self._checked(state, at, before, step.events)
        return Outcome(state, footprint, step, wrong)

    def _sent(self, state: State, at: int, step: Step) -> tuple[State, int]:
        """Put on its way what a node sent; what goes to a node that is down is lost."""
        streams, datagrams = list(state.streams), list(state.datagrams)
        sent_to_down = 0
        for to, parcel, is_datagram in step.sent:
            place = self.place[to]
            if not state.locals[place].is_up:
                sent_to_down |= 1 << place
                continue
            queues = datagrams if is_datagram else streams
            queues[at * self.size + place] += (parcel,)
        return state._replace(streams=tuple(streams), datagrams=tuple(datagrams)), sent_to_down

    def _went_down(self, state: State, at: int, footprint: Footprint) -> tuple[State, Footprint]:
        """What was on its way to the node is lost; its peers and clients will learn of it."""
        size = self.size
        streams, datagrams = list(state.streams), list(state.datagrams)
        sent_to_down = footprint.sent_to_down
        for other in range(size):
            streams[other * size + at] = datagrams[other * size + at] = ()
            if other == at or not self.notices:
                continue
            if not state.locals[other].is_up:
                sent_to_down |= 1 << other
            elif streams[at * size + other][-1:] != (BROKEN,):
                streams[at * size + other] += (BROKEN,)
        waiting = 0
        clients = list(state.clients)
        for number, client in enumerate(clients):
            live = tuple(attempt for attempt in client.live if attempt[1] != at)
            if live != client.live:
                waiting |= 1 << number
                clients[number] = client._replace(live=live, doubt=True)
        state = state._replace(streams=tuple(streams), datagrams=tuple(datagrams), clients=tuple(clients))
        return state, footprint._replace(clients=footprint.clients | waiting, sent_to_down=sent_to_down)

    def _answered(self, state: State, footprint: Footprint, number: int, answer: Message) -> tuple[State, Footprint]:
        at, position, attempt = asked_by(number)
        client = state.clients[at]
        if not client.open or client.asked != position + 1 or all(attempt != live[0] for live in client.live):
            return state, footprint
        client, outcome, value = told(client, self.scenario.asks[at][position], attempt, answer)
        seen = state.seen
        if outcome is not None:
            seen = self._canonically((*seen, (outcome, at, position, value)))
        state = state._replace(clients=_with(state.clients, at, client), seen=seen)
        completes = footprint.completes or outcome is not None
        return state, footprint._replace(clients=footprint.clients | 1 << at, completes=completes)

    def _checked(self, state: State, at: int, before: Local, events: tuple[Event, ...]) -> tuple[State, str]:
        """Whether the invariants hold, as far as this node's step could change that."""
        local = state.locals[at]
        assert self.invariants is not None
        try:
            if local.claims != before.claims:
                state = self._with_claims(state, local)
            states = {node.node: node.state for node in state.locals}
            disks = {node.node: node.disk for node in state.locals}
            self.invariants.check(Moment(states, disks, state.claims, self.nodes[at], events))
        except Breach as breach:
            return state, str(breach)
        return state, ""

    def _with_claims(self, state: State, local: Local) -> State:
        """The moment with what a node claims for good. Raises `Breach` where that contradicts what was claimed."""
        claims = agreed(state.claims, local.claims)
        if claims is state.claims:
            return state
        key = hash(frozenset((*subject, claim.says) for subject, claim in claims.items()))  # type: ignore[misc]
        return state._replace(claims=claims, claims_key=key)

    def _canonically(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        found = self._canonical.get(seen)
        if found is None:
            found = self._canonical[seen] = canonical(seen)
        return found


def _with(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


def _without(items: tuple[int, ...], at: int) -> tuple[int, ...]:
    return items[:at] + items[at + 1 :]


def _has_messages(queue: tuple[int, ...]) -> bool:
    return bool(queue) and queue != (BROKEN,)
