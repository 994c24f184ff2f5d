"""The smallest core of a key that the search refuted: drop what the contradiction does not need, and tell the rest.

Every cut is sound: what is left can be refuted only if the whole can. Work is bounded by configurations, not by time,
so that equal histories have equal witnesses.
"""

from collections.abc import Sequence

import msgspec

from kvsim.check.search import Limits, Stuck, search
from kvsim.check.verdict import Witness
from kvsim.check.wording import listed, shown, told
from kvsim.core.history import ERASURES, NEVER, Operation

_CONFIGURATIONS = 300_000
_MANY = 8


def explain(operations: Sequence[Operation], stuck: Stuck) -> Witness:
    """A witness from the operations of one key, for which the search found no order."""
    return _Shrink(operations, stuck).witness()


class _Shrink:
    def __init__(self, operations: Sequence[Operation], stuck: Stuck) -> None:
        self.all = list(operations)
        self.farthest = stuck.farthest
        self.budget = _CONFIGURATIONS

    def witness(self) -> Witness:
        self.all = self._shortest_prefix()
        start = self._latest_start()
        core = self._minimal(_since(self.all, start), self._possible_before(start))
        certain = [o for o in core if o.completed != NEVER]
        if len(certain) > _MANY:
            return self._vague()
        sources = self._sources(certain, start)
        together = {o.invoked: o for o in [*sources, *certain]}
        ordered = tuple(together[i] for i in sorted(together))
        return Witness(self.farthest.key, ordered, _sentence(certain, sources))

    def _sources(self, core: list[Operation], start: int) -> list[Operation]:
        """Who wrote the values that the core speaks of: all since the start, or else the last before it."""
        asked = {o.answer if o.op == "read" else o.expected for o in core if o.op in ("read", "cas")} - {None}
        appended = [o for o in self.all if o.op == "append" and any(str(o.value) in str(text) for text in asked)]
        if appended:
            return appended[:_MANY]
        last: dict[object, Operation] = {}
        for o in self.all:
            if o.op != "read" and o.value in asked and o.invoked < start:
                last[o.value] = o
        since = [o for o in self.all if o.op != "read" and o.value in asked and o.invoked >= start]
        return [*(o for value, o in last.items() if all(value != later.value for later in since)), *since]

    def _vague(self) -> Witness:
        """No small core within bounds: what was going on where no order goes on."""
        end = self.farthest.completed
        begin = self.farthest.invoked
        around = [o for o in self.all if o.invoked < end and begin < o.completed and o.completed != NEVER][:_MANY]
        sentence = f"no order of the {len(self.all):,} operations on this key explains that {told(self.farthest)}"
        return Witness(self.farthest.key, tuple(around), sentence)

    def _stuck(self, operations: Sequence[Operation], before: Sequence[object] = (None,)) -> bool:
        if self.budget <= 0:
            return False
        found = search(operations, Limits(float("inf"), self.budget), before)
        self.budget -= found.configurations
        return isinstance(found, Stuck)

    def _shortest_prefix(self) -> list[Operation]:
        """What had been seen when the contradiction was complete: at the earliest where the search stopped."""
        ends = sorted(o.completed for o in self.all if self.farthest.completed <= o.completed < NEVER)
        low, high = -1, 0
        while high < len(ends) - 1 and not self._stuck(_until(self.all, ends[high])):
            low, high = high, min(2 * high + 1, len(ends) - 1)
        while high - low > 1:
            middle = (low + high) // 2
            if self._stuck(_until(self.all, ends[middle])):
                high = middle
            else:
                low = middle
        return _until(self.all, ends[high])

    def _latest_start(self) -> int:
        """The latest event from which on the operations contradict each other, whatever the key held before."""
        starts = [0, *(o.invoked for o in self.all)]
        low, high = 0, len(starts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._stuck(_since(self.all, starts[middle]), self._possible_before(starts[middle])):
                low = middle
            else:
                high = middle - 1
        return starts[low]

    def _possible_before(self, start: int) -> list[object]:
        """All that the key may have held at an event: absence, and what had begun to be written."""
        return [None, *(o.value for o in self.all if o.invoked < start and o.op not in ERASURES and o.op != "read")]

    def _minimal(self, window: list[Operation], before: Sequence[object]) -> list[Operation]:
        """Drop reads, and make writes optional: in halves, quarters, and at last one by one."""
        size = max(1, len(window) // 2)
        while True:
            i = 0
            while i < len(window):
                part = window[i : i + size]
                kept = [_relaxed(o) for o in part if o.op != "read"]
                less = window[:i] + kept + window[i + size :]
                if less != window and self._stuck(less, before):
                    window = less
                    i += len(kept)
                else:
                    i += size
            if size == 1:
                return window
            size //= 2


def _relaxed(o: Operation) -> Operation:
    return o if o.completed == NEVER else msgspec.structs.replace(o, completed=NEVER, outcome="info")


def _until(operations: Sequence[Operation], end: int) -> list[Operation]:
    """The history up to an event: what completes later is open, and open reads say nothing."""
    seen = (o for o in operations if o.invoked < end)
    return [o if o.completed <= end else _relaxed(o) for o in seen if o.completed <= end or o.op != "read"]


def _since(operations: Sequence[Operation], start: int) -> list[Operation]:
    """The history from an event on: what was open then may have taken effect before."""
    left = (o for o in operations if o.completed >= start)
    return [o if o.invoked >= start else _relaxed(o) for o in left if o.invoked >= start or o.op != "read"]


def _sentence(core: list[Operation], sources: list[Operation]) -> str:
    """What the last conditional operation of the core was told, and what speaks against it."""
    by_end = sorted(core, key=lambda o: o.completed)
    subject = next((o for o in reversed(by_end) if o.op not in ("put", "remove")), by_end[-1])
    others = [told(o) for o in by_end if o is not subject]
    wanted = subject.answer if subject.op == "read" else subject.expected if subject.op == "cas" else None
    if wanted is not None:
        written = [o for o in sources if o.value == wanted]
        if not written and any(o.op == "append" for o in core + sources):
            missing = f"no appends add up to {shown(wanted)} by then"
        elif not written:
            return f"{told(subject)}, although nobody wrote {shown(wanted)}"
        else:
            missing = (
                f"nothing wrote {shown(wanted)} {'in time' if subject.completed < written[-1].invoked else 'again'}"
            )
    elif subject.op in ("update", "delete"):
        missing = f"nothing was there to {subject.op}"
    else:
        missing = "nothing deleted it"
    if not others:
        return f"{told(subject)}, although {missing}"
    if len(others) > 2:
        missing = "no order of these explains it"
    return f"{told(subject)}, although {listed(others)}, and {missing}"
