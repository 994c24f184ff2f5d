"""A trace in Chrome's trace-event format, which Perfetto opens (https://ui.perfetto.dev): a process a node.

Operations of clients, crashes and faults are slices, messages are arrows, all else are marks. Google, "Trace Event
Format". Slices of one track must lie inside each other or apart: Perfetto drops those that overlap in part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

from kvsim.core.message import MICROSECOND, Nanoseconds
from kvsim.lab.traces import WORLD, TraceEntry

MARK_NS = MICROSECOND
"""How long a send or a delivery is shown, unless the next follows sooner: arrows begin and end at slices."""
MESSAGES, OPERATIONS, LIFE = "messages", "operations", "life"
"""Tracks of a node."""


def chrome_events(entries: Iterable[TraceEntry]) -> Iterator[dict[str, Any]]:
    """The `traceEvents`."""
    drawing = _Drawing()
    for entry in entries:
        yield from drawing.draw(entry)
    yield from drawing.rest()


class _Track(NamedTuple):
    """Where events are drawn: a thread, as the format calls it."""

    pid: int
    tid: int


class _Begun(NamedTuple):
    """An operation, a crash or a fault that has not ended."""

    entry: TraceEntry
    track: _Track


class _Mark(NamedTuple):
    """A send or a delivery, drawn as a slice and an arrow's beginning or end at it."""

    time_ns: Nanoseconds
    events: list[dict[str, Any]]
    """The slice comes first; it has its duration when the next of its track is known."""


class _Drawing:
    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._open: dict[tuple[str, Any], _Begun] = {}
        self._marks: deque[_Mark] = deque()
        """In the order of their entries, which Perfetto keeps where times are equal; those of the last moments."""
        self._latest: dict[_Track, list[_Mark]] = {}
        """Those of a track's last moment, which lie inside each other."""
        self._sent: set[int] = set()
        self._last_ns: Nanoseconds = 0

    def draw(self, entry: TraceEntry) -> Iterator[dict[str, Any]]:
        """What one entry adds."""
        self._last_ns = entry.time_ns
        yield from self._shown(entry.time_ns - MARK_NS)
        match entry.event:
            case "world.sent" | "world.delivered":
                yield from self._message(entry)
            case "client.invoked" | "world.crashed" | "world.fault_began":
                what = _what(entry)
                track = yield from self._track(what[0], self._lane(what))
                self._open[what] = _Begun(entry, track)
            case "client.completed" | "world.restarted" | "world.fault_ended":
                begun = self._open.pop(_what(entry), None)
                if begun is not None:
                    yield _slice(begun, entry.time_ns, entry.fields)
            case _:
                track = yield from self._track(entry.node, MESSAGES)
                yield {
                    "ph": "i", "s": "t", "name": entry.event, "cat": entry.event.partition(".")[0], **_at(entry, track),
                }  # fmt: skip

    def rest(self) -> Iterator[dict[str, Any]]:
        """The last marks, and what never ended, up to the last entry."""
        yield from self._shown(self._last_ns)
        for begun in self._open.values():
            yield _slice(begun, self._last_ns, {"ended": False})

    def _message(self, entry: TraceEntry) -> Iterator[dict[str, Any]]:
        """Note a mark."""
        track = yield from self._track(entry.node, MESSAGES)
        at, kind = _at(entry, track), entry.fields["kind"]
        sending = entry.event == "world.sent"
        events = [{"ph": "X", "name": f"{'send' if sending else 'handle'} {kind}", "cat": "message", **at}]
        arrow = {"name": kind, "cat": "message", "ts": at["ts"], **track._asdict()}
        if sending:
            self._sent.add(entry.id)
            events.append({"ph": "s", "id": entry.id, **arrow})
        elif entry.cause in self._sent:  # else it was sent before the part that is exported
            events.append({"ph": "f", "bp": "e", "id": entry.cause, **arrow})
        mark = _Mark(entry.time_ns, events)
        self._marks.append(mark)
        before = self._latest.get(track, [])
        if before and before[0].time_ns == entry.time_ns:
            before.append(mark)
            return
        for earlier in before:
            earlier.events[0].setdefault("dur", _us_before(min(entry.time_ns - earlier.time_ns, MARK_NS)))
        self._latest[track] = [mark]

    def _shown(self, until_ns: Nanoseconds) -> Iterator[dict[str, Any]]:
        """The marks up to this time; those that no other followed have their full length."""
        while self._marks and self._marks[0].time_ns <= until_ns:
            events = self._marks.popleft().events
            events[0].setdefault("dur", _us_before(MARK_NS))
            yield from events

    def _track(self, node: str, lane: str) -> Generator[dict[str, Any], None, _Track]:
        """The track of this name; at its first use the format's own events come before, which tell its name."""
        track = self._tracks.get((node, lane))
        if track is None:
            track = _Track(self._pids.setdefault(node, len(self._pids) + 1), len(self._tracks) + 1)
            self._tracks[node, lane] = track
            for kind, name in (("process_name", node), ("thread_name", lane)):
                yield {"ph": "M", "name": kind, "args": {"name": name}, **track._asdict()}
        return track

    def _lane(self, what: tuple[str, Any]) -> str:
        """Faults may overlap, so each that is in force has a track of its own."""
        node, which = what
        if node != WORLD:
            return str(which)
        taken = {begun.track for begun in self._open.values()}
        number = 1
        while self._tracks.get((WORLD, f"faults {number}")) in taken:
            number += 1
        return f"faults {number}"


def _at(entry: TraceEntry, track: _Track) -> dict[str, Any]:
    args = {"entry": entry.id, "cause": entry.cause, **entry.fields}
    return {"ts": entry.time_ns / 1_000, **track._asdict(), "args": args}


def _us_before(lasts_ns: Nanoseconds) -> float:
    """A duration that ends before another slice may begin. Perfetto cuts times to whole nanoseconds, each for itself,
    so that slices which meet would overlap by one."""
    return max(lasts_ns - 1, 0) / 1_000


def _slice(begun: _Begun, end_ns: Nanoseconds, ended: dict[str, Any]) -> dict[str, Any]:
    entry = begun.entry
    at = _at(entry, begun.track)
    at["args"] |= {name: value for name, value in ended.items() if name not in at["args"] or name == "value"}
    return {"ph": "X", "dur": _us_before(end_ns - entry.time_ns), "name": _name(entry), "cat": entry.event, **at}


def _what(entry: TraceEntry) -> tuple[str, Any]:
    """What begins or ends with this entry, and where: a client has one operation at a time, a node is down once."""
    if entry.event.startswith("world.fault_"):
        return WORLD, (entry.fields["fault"], tuple(entry.fields["nodes"]))
    return entry.node, OPERATIONS if entry.event.startswith("client.") else LIFE


def _name(begun: TraceEntry) -> str:
    if begun.event == "client.invoked":
        return f"{begun.fields['operation']} {begun.fields['key']}"
    return str(begun.fields["fault"]) if begun.event == "world.fault_began" else "down"
