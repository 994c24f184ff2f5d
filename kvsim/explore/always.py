"""What must hold in every schedule, and what must happen in some: the judges of the design's promises, and goals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvsim.check import Refuted, Undecided, durability, linearizable
from kvsim.check.verdict import Verdict
from kvsim.core.history import History
from kvsim.explore.action import Action
from kvsim.explore.clients import INVOKED, OK, Seen, client_of, history_of
from kvsim.explore.scenario import Scenario
from kvsim.explore.state import Outcome, State

JUDGE_LIMIT_S = 5.0
ANSWERED = "answered"
"""The goal that every operation ends well in some schedule."""

_JUDGES: dict[str, Callable[[History], Verdict]] = {
    "linearizable": lambda history: linearizable(history, JUDGE_LIMIT_S),
    "durability": durability,
}


class Always:
    """The judges of what the design promises; histories of few operations repeat, so verdicts are remembered."""

    def __init__(self, scenario: Scenario) -> None:
        self.asks, self.clients, self.past = scenario.asks, scenario.clients, scenario.past
        claimed = {promise.judge for promise in scenario.design.promises()}
        self.judges = tuple(name for name in _JUDGES if name in claimed)
        self.undecided: dict[str, None] = {}
        self._verdicts: dict[tuple[Seen, ...], str] = {}

    def refutes(self, seen: tuple[Seen, ...]) -> str:
        """Why these operations break a promise; empty where they do not. A longer history only breaks more."""
        found = self._verdicts.get(seen)
        if found is None:
            found = self._verdicts[seen] = self._judged(history_of(seen, self.asks, self.past))
        return found

    @property
    def histories(self) -> int:
        """Different histories judged so far."""
        return len(self._verdicts)

    def _judged(self, history: History) -> str:
        for name in self.judges:
            verdict = _JUDGES[name](history)
            if isinstance(verdict, Refuted):
                what = "not linearizable" if name == "linearizable" else "an acknowledged write is lost"
                return f"{what}: {self._in_words(verdict.witness.sentence)}"
            if isinstance(verdict, Undecided):
                self.undecided[verdict.reason] = None
        return ""

    def _in_words(self, sentence: str) -> str:
        """A witness of a world that has no time: clients by their names, and no moments."""
        timeless = re.sub(r" at [0-9.]+ s\b", "", sentence)
        return re.sub(r"process (\d+)", self._name_of, timeless)

    def _name_of(self, process: re.Match[str]) -> str:
        at = client_of(int(process[1]), self.past, len(self.clients))
        return process[0] if at is None else self.clients[at]


class Goal(NamedTuple):
    """Something that must happen in some schedule, and how near one came."""

    name: str
    reached: bool
    nearest: int
    """Operations answered, or steps, of the schedule that came nearest."""
    of: int
    """Operations there are; 0 for an event."""
    path: tuple[Action, ...]


class Sometimes:
    """Keeps the nearest approach to each goal."""

    def __init__(self, scenario: Scenario) -> None:
        wanted = scenario.settings.sometimes
        self.names = [ANSWERED] if wanted is None else list(wanted)
        self.operations = sum(map(len, scenario.asks))
        self._nearest: dict[str, tuple[int, tuple[Action, ...]]] = dict.fromkeys(self.names, (-1, ()))
        self._open = dict.fromkeys(self.names)

    @property
    def is_met(self) -> bool:
        """Whether every goal was reached."""
        return not self._open

    def look(self, state: State, outcome: Outcome, path: Callable[[], Sequence[Action]]) -> None:
        """A step was taken; `path` gives how one came there."""
        for name in list(self._open):
            if name == ANSWERED:
                near = sum(line[0] == OK for line in state.seen)
                met = near == self.operations
            else:
                events = outcome.step.events if outcome.step is not None else ()
                met = any(event.__struct_config__.tag == name for event in events)
                near = sum(line[0] != INVOKED for line in state.seen)
            if met or near > self._nearest[name][0]:
                self._nearest[name] = (near, tuple(path()))
            if met:
                del self._open[name]

    def goals(self) -> list[Goal]:
        """How it stands."""
        return [
            Goal(name, name not in self._open, max(near, 0), self.operations if name == ANSWERED else 0, path)
            for name, (near, path) in self._nearest.items()
        ]
