"""The explored world: all nodes, what is between them and what clients wait for, as one immutable value.

`World.act` gives the state after a step, so a search goes back to any state that it still holds, and two orders of
steps that lead to the same are seen to do so. What a node does is remembered by `Locals`.
"""

from __future__ import annotations

from typing import Any

from kvsim.core.invariant import Breach, Invariants, Moment, agreed
from kvsim.core.message import Channel, Message
from kvsim.core.operation import Perform
from kvsim.core.settings import SettingsError
from kvsim.explore.action import BUDGET, Action, Footprint, Kind
from kvsim.explore.choices import Choices
from kvsim.explore.clients import INFO, INVOKED, Client, Seen, asked_by, canonical, number_of, told
from kvsim.explore.local import Local, Locals, Parcel, Step, is_defect, told_defect
from kvsim.explore.past import Past
from kvsim.explore.scenario import BUDGETS, Scenario
from kvsim.explore.state import BROKEN, PLENTY, Draft, Outcome, State, with_item


class World(Choices):
    """The rules of one scenario."""

    def __init__(self, scenario: Scenario, seed: int = 0, *, merge: bool = True) -> None:
        super().__init__(scenario)
        self.scenario = scenario
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
        self._everywhere = (1 << self.size) - 1

    # ---- The beginning

    def first(self) -> State:
        """All nodes have just started; what they sent is on its way, and no fault is bounded yet."""
        size = self.size
        empty: tuple[tuple[int, ...], ...] = ((),) * (size * size)
        steps = [self.locals.start(node) for node in self.nodes]
        broken = [told_defect(step.local.node, step.failure) for step in steps if step.failure is not None]
        if broken:
            raise SettingsError([f"{self.scenario.name}: as it starts, {broken[0]}"])
        state = Draft(
            State(
                tuple(step.local for step in steps), empty, empty, (Client(),) * len(self.scenario.clients), (),
                (PLENTY,) * (len(BUDGETS) + 1), {}, 0, 0,
            )
        )  # fmt: skip
        if self.scenario.past is not None:
            self._go_on_from(state, self.scenario.past)
            return state.done()
        for at, step in enumerate(steps):
            self._send(state, at, step)
        return state.done()

    def _go_on_from(self, state: Draft, past: Past) -> None:
        """Take over what a run has left."""
        streams, datagrams, clients = list(state.streams), list(state.datagrams), list(state.clients)
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
        for at, begun in enumerate(past.opens):
            if begun.arrived:
                place = self.place[begun.door]
                live = ((0, place),) if begun.alive or begun.answer is not None else ()
                doubt = begun.again or not begun.alive
                clients[at] = Client(1, True, 1, live, doubt, state.locals[place].incarnation)
        state.streams, state.datagrams, state.clients = tuple(streams), tuple(datagrams), tuple(clients)
        state.clock_ns = past.moment_ns
        for local in state.locals:
            _claim(state, local)
        for at, begun in enumerate(past.opens):
            if begun.answer is not None:
                self._answer(state, number_of(at, 0, 0), begun.answer)

    def bounded(self, state: State) -> State:
        """The same moment, from which on faults are bounded."""
        bounds = self.scenario.settings.bounds
        each = tuple(getattr(bounds, name) for name in BUDGETS)
        return state._replace(left=(*each, PLENTY if bounds.faults is None else bounds.faults))

    # ---- What happens

    def act(self, before: State, action: Action) -> Outcome:
        """The moment after this step."""
        state, kind = Draft(before), action[0]
        budget = BUDGET.get(kind)
        if budget is not None:
            left = list(state.left)
            left[budget] -= 1
            left[-1] -= 1
            state.left = tuple(left)
        if kind == Kind.DELIVER or kind == Kind.ARRIVE or kind == Kind.REPEAT:
            return self._deliver_one(state, action)
        at = action[1]
        if kind == Kind.SYNC:
            return self._run(state, at, ("sync",), 1 << at)
        if kind == Kind.ASK or kind == Kind.RETRY:
            return self._ask(state, before, action)
        if kind == Kind.CRASH:
            return self._run(state, at, ("crash",), 1 << at)
        if kind == Kind.RESTART:
            return self._run(state, at, ("restart",), 1 << at, restarted=1 << at)
        if kind == Kind.TIMER:
            return self._go_off(state, at)
        if kind == Kind.BREAK_DISK:
            return self._run(state, at, ("break disk",), 1 << at)
        return self._lose(state, action) if kind == Kind.LOSE else self._break(state, action)

    def _ask(self, state: Draft, before: State, action: Action) -> Outcome:
        at, position = action[1], action[2]
        client, ask = state.clients[at], self.scenario.asks[at][position]
        seen, nodes, place = state.seen, 0, self.door(before, action)
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
        state.clients, state.seen = with_item(state.clients, at, client), self._canonically(seen)
        given = ("ask", number_of(at, position, attempt), Perform(ask.operation))
        return self._run(state, place, given, nodes | 1 << place, 1 << at, invokes=action[0] == Kind.ASK)

    def _deliver_one(self, state: Draft, action: Action) -> Outcome:
        sender, to = action[1], action[2]
        link = sender * self.size + to
        if action[0] == Kind.DELIVER:
            queue = state.streams[link]
            parcel = queue[0]
            state.streams = with_item(state.streams, link, queue[1:])
        else:
            queue = state.datagrams[link]
            parcel = queue[action[3]]
            if action[0] == Kind.ARRIVE:
                state.datagrams = with_item(state.datagrams, link, _without(queue, action[3]))
        given = ("lost", self.nodes[sender]) if parcel == BROKEN else ("deliver", parcel)
        return self._run(state, to, given, 1 << to)

    def _lose(self, state: Draft, action: Action) -> Outcome:
        link = action[1] * self.size + action[2]
        state.datagrams = with_item(state.datagrams, link, _without(state.datagrams[link], action[3]))
        return Outcome(state.done(), Footprint(1 << action[2]), None)

    def _break(self, state: Draft, action: Action) -> Outcome:
        one, other = action[1], action[2]
        streams = list(state.streams)
        for link in (one * self.size + other, other * self.size + one):
            streams[link] = (BROKEN,) if self.notices else ()
        state.streams = tuple(streams)
        return Outcome(state.done(), Footprint(1 << one | 1 << other), None)

    def _go_off(self, state: Draft, at: int) -> Outcome:
        if not self.together:
            return self._run(state, at, ("timer",), 1 << at)
        state.clock_ns = max(state.clock_ns, state.locals[at].due_ns or 0)
        return self._run(state, at, ("timer",), self._everywhere)  # every clock moves

    # ---- What follows from it

    def _run(
        self, state: Draft, at: int, given: tuple[Any, ...], nodes: int, clients: int = 0, restarted: int = 0,
        *, invokes: bool = False,
    ) -> Outcome:  # fmt: skip
        """Let a node take its input, and bring what it did into the world."""
        if self.together:
            given = (*given, state.clock_ns)
        before = state.locals[at]
        step = before.steps.get(given) or self.locals.after(before, given)
        local = step.local
        state.locals = with_item(state.locals, at, local)
        wrong, to_down, completes = "", 0, False
        if step.sent:
            to_down = self._send(state, at, step)
        if before.is_up and not local.is_up:
            waiting, missed = self._go_down(state, at)
            clients |= waiting
            to_down |= missed
            if step.failure is not None and is_defect(step.failure):
                wrong = told_defect(self.nodes[at], step.failure)
        for number, answer in step.answers:
            told_client, ended = self._answer(state, number, answer)
            clients |= told_client
            completes = completes or ended
        if step.is_visible and self.invariants is not None and not wrong:
            wrong = self._broken(state, at, step)
        return Outcome(state.done(), Footprint(nodes, clients, restarted, to_down, invokes, completes), step, wrong)

    def _send(self, state: Draft, at: int, step: Step) -> int:
        """Put on its way what a node sent. What goes to a node that is down is lost; gives these nodes as bits."""
        streams, datagrams = list(state.streams), list(state.datagrams)
        to_down = 0
        for to, parcel, is_datagram in step.sent:
            place = self.place[to]
            if not state.locals[place].is_up:
                to_down |= 1 << place
                continue
            queues = datagrams if is_datagram else streams
            queues[at * self.size + place] += (parcel,)
        state.streams, state.datagrams = tuple(streams), tuple(datagrams)
        return to_down

    def _go_down(self, state: Draft, at: int) -> tuple[int, int]:
        """What was on its way to the node is lost; its peers and clients will learn of it.

        Gives, as bits, the clients that waited for it, and the nodes that are down and will not learn of it.
        """
        size = self.size
        streams, datagrams, clients = list(state.streams), list(state.datagrams), list(state.clients)
        missed = waiting = 0
        for other in range(size):
            streams[other * size + at] = datagrams[other * size + at] = ()
            if other == at or not self.notices:
                continue
            if not state.locals[other].is_up:
                missed |= 1 << other
            elif streams[at * size + other][-1:] != (BROKEN,):
                streams[at * size + other] += (BROKEN,)
        for number, client in enumerate(clients):
            live = tuple(attempt for attempt in client.live if attempt[1] != at)
            if live != client.live:
                waiting |= 1 << number
                clients[number] = client._replace(live=live, doubt=True)
        state.streams, state.datagrams, state.clients = tuple(streams), tuple(datagrams), tuple(clients)
        return waiting, missed

    def _answer(self, state: Draft, number: int, answer: Message) -> tuple[int, bool]:
        """Tell a client. Gives the client as a bit, 0 if it does not wait for this, and whether its operation ended."""
        at, position, attempt = asked_by(number)
        client = state.clients[at]
        if not client.open or client.asked != position + 1 or all(attempt != live[0] for live in client.live):
            return 0, False
        client, outcome, value = told(client, self.scenario.asks[at][position], attempt, answer)
        if outcome is not None:
            state.seen = self._canonically((*state.seen, (outcome, at, position, value)))
        state.clients = with_item(state.clients, at, client)
        return 1 << at, outcome is not None

    def _broken(self, state: Draft, at: int, step: Step) -> str:
        """Which invariant this node's step has broken; empty if none."""
        assert self.invariants is not None
        try:
            _claim(state, step.local)
            states = {node.node: node.state for node in state.locals}
            disks = {node.node: node.disk for node in state.locals}
            self.invariants.check(Moment(states, disks, state.claims, self.nodes[at], step.events))
        except Breach as breach:
            return str(breach)
        return ""

    def _canonically(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        found = self._canonical.get(seen)
        if found is None:
            found = self._canonical[seen] = canonical(seen)
        return found


def _claim(state: Draft, local: Local) -> None:
    """Add what a node claims for good. Raises `Breach` where that contradicts what was claimed."""
    claims = agreed(state.claims, local.claims)
    if claims is not state.claims:
        state.claims = claims
        state.claims_key = hash(frozenset((*subject, claim.says) for subject, claim in claims.items()))  # type: ignore[misc]


def _without(items: tuple[int, ...], at: int) -> tuple[int, ...]:
    return items[:at] + items[at + 1 :]
