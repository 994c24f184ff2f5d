"""A person as the scheduler: a path through an explored world that can be gone back, forked and told."""

from __future__ import annotations

from typing import Any

import msgspec

from kvsim.core.message import fields_of
from kvsim.core.replica import Replica
from kvsim.explore import shown
from kvsim.explore.action import Action
from kvsim.explore.always import Always
from kvsim.explore.beginning import begin
from kvsim.explore.clients import FAIL, INFO, INVOKED, OK
from kvsim.explore.scenario import BUDGETS, Bounds, Scenario
from kvsim.explore.state import Outcome, State
from kvsim.explore.told import consequences, sentence, transcript
from kvsim.explore.world import World

_SEEN = {INVOKED: "asks:", OK: "was told ok:", FAIL: "was told that it failed:", INFO: "does not know the end of:"}
WITHOUT_BOUNDS = Bounds(**dict.fromkeys(BUDGETS, 20))


class Session:
    """The path so far, and what may follow."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        settings = msgspec.structs.replace(scenario.settings, bounds=WITHOUT_BOUNDS)
        self.world = World(scenario._replace(settings=settings), seed, merge=False)
        self.beginning = begin(self.world)
        self.always = Always(scenario)
        self.path: list[Action] = []
        self.bookmarks: dict[str, tuple[Action, ...]] = {}
        self._undone: list[Action] = []
        self._states: list[State] = [self.beginning.state]
        self._outcomes: list[Outcome] = []

    @property
    def state(self) -> State:
        """Where the path leads."""
        return self._states[-1]

    def choices(self) -> list[Action]:
        """All that may happen next."""
        return self.world.enabled(self.state)

    def told(self, action: Action) -> str:
        """What this would be, in words."""
        return sentence(self.world, self.state, action)

    def take(self, action: Action) -> list[str]:
        """Let this happen; what it led to, in words, what was sent included."""
        if self._undone and self._undone.pop() != action:
            self._undone.clear()
        outcome = self.world.act(self.state, action)
        self.path.append(action)
        self._states.append(outcome.state)
        self._outcomes.append(outcome)
        sent = []
        if outcome.step is not None:
            sent = [self._sent(to, parcel) for to, parcel, _ in outcome.step.sent]
        wrong = [f"an invariant does not hold: {outcome.wrong}"] if outcome.wrong else []
        return [*sent, *consequences(self.world, outcome), *wrong]

    def _sent(self, to: str, number: int) -> str:
        parcel = self.world.locals.parcels[number]
        return f"{parcel.sender} sends to {to}: {shown.line(parcel.envelope.message)}"

    def undo(self) -> bool:
        """Go one step back; whether there was one."""
        if not self.path:
            return False
        self._undone.append(self.path.pop())
        self._states.pop()
        self._outcomes.pop()
        return True

    def undone(self) -> Action | None:
        """The step that was gone back from here; None where there was none."""
        return self._undone[-1] if self._undone else None

    def seen(self) -> list[str]:
        """What clients asked and were told, in its order, in words."""
        scenario = self.world.scenario
        found = []
        for what, client, position, value in self.state.seen:
            name, words = scenario.clients[client], scenario.asks[client][position].words
            answer = f" {shown.shown(value)}" if value is not None else ""
            found.append(f"{name} {_SEEN[what]} {words}{answer if what == OK else ''}")
        return found

    def mark(self, name: str) -> None:
        """Remember this moment under a name."""
        self.bookmarks[name] = tuple(self.path)

    def go_to(self, name: str) -> None:
        """Go to a moment remembered. Raises KeyError."""
        path = self.bookmarks[name]
        while self.path:
            self.undo()
        for action in path:
            self.take(action)
        self._undone.clear()

    def node_state(self, node: str, steps_back: int = 0) -> dict[str, Any]:
        """What a node holds that outlives one operation, as plain data; of a moment so many steps ago."""
        state = self._states[max(0, len(self._states) - 1 - steps_back)]
        local = state.locals[self.world.place[node]]
        program = self.world.locals.program(local)
        if program is None:
            return {"": "down"}
        plain: dict[str, Any] = {"clock_ns": local.clock_ns, "incarnation": local.incarnation}
        for component in program.components:
            held = getattr(component, "state", None)
            if isinstance(held, msgspec.Struct):
                plain |= fields_of(held)
            replica = getattr(getattr(component, "site", None), "replica", None)
            if isinstance(replica, Replica):
                plain["records"] = {
                    key.decode(errors="replace"): fields_of(record) for key, record in sorted(replica.records.items())
                }
        plain["disk"] = {file: f"{len(data)} bytes" for file, data in local.disk.items()}
        return plain

    def verdict(self) -> str:
        """What the judges say of what the clients have seen; empty where nothing speaks against it."""
        wrong = next((outcome.wrong for outcome in self._outcomes if outcome.wrong), "")
        return wrong or self.always.refutes(self.state.seen)

    def transcript(self, head: str) -> str:
        """The path as a transcript that has not been run yet."""
        return transcript(self.world, self.beginning, self.path, head)
