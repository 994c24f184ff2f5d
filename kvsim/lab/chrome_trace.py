"""A trace in Chrome's trace-event format, which Perfetto opens (https://ui.perfetto.dev): a track a node.

Operations of clients, crashes and faults are slices, messages are arrows, all else are marks. Google, "Trace Event
Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kvsim.lab.traces import WORLD, TraceEntry

MARK_US = 1.0
"""How long a send or a delivery is shown: arrows begin and end at slices."""


def chrome_events(entries: Iterable[TraceEntry]) -> Iterator[dict[str, Any]]:
    """The `traceEvents`."""
    drawing = _Drawing()
    for entry in entries:
        yield from drawing.draw(entry)
    yield from drawing.rest()


class _Drawing:
    def __init__(self) -> None:
        self._tracks: dict[str, int] = {}
        self._open: dict[tuple[str, Any], TraceEntry] = {}
        """What has begun and not ended: an operation, a crash, a fault."""
        self._last_us = 0.0

    def draw(self, entry: TraceEntry) -> Iterator[dict[str, Any]]:
        """What one entry adds."""
        node = WORLD if entry.event.startswith("world.fault_") else entry.node
        if node not in self._tracks:
            self._tracks[node] = pid = len(self._tracks) + 1
            yield {"ph": "M", "pid": pid, "tid": 1, "name": "process_name", "args": {"name": node}}
            yield {"ph": "M", "pid": pid, "tid": 1, "name": "thread_name", "args": {"name": node}}
        at = self._at(node, entry)
        self._last_us = at["ts"]
        match entry.event:
            case "world.sent":
                yield {"ph": "X", "dur": MARK_US, "name": f"send {entry.fields['kind']}", "cat": "message", **at}
                yield _arrow("s", entry, entry.id, at)
            case "world.delivered":
                yield {"ph": "X", "dur": MARK_US, "name": f"handle {entry.fields['kind']}", "cat": "message", **at}
                if entry.cause:
                    yield _arrow("f", entry, entry.cause, at)
            case "client.invoked" | "world.crashed" | "world.fault_began":
                self._open[_what(node, entry)] = entry
            case "client.completed" | "world.restarted" | "world.fault_ended":
                begun = self._open.pop(_what(node, entry), None)
                if begun is not None:
                    yield self._slice(node, begun, at["ts"], entry.fields)
            case _:
                yield {"ph": "i", "s": "t", "name": entry.event, "cat": entry.event.partition(".")[0], **at}

    def rest(self) -> Iterator[dict[str, Any]]:
        """What never ended, up to the last entry."""
        for (node, _), begun in self._open.items():
            yield self._slice(node, begun, self._last_us, {"ended": False})

    def _at(self, node: str, entry: TraceEntry) -> dict[str, Any]:
        args = {"entry": entry.id, "cause": entry.cause, **entry.fields}
        return {"ts": entry.time_ns / 1_000, "pid": self._tracks[node], "tid": 1, "args": args}

    def _slice(self, node: str, begun: TraceEntry, end_us: float, ended: dict[str, Any]) -> dict[str, Any]:
        at = self._at(node, begun)
        at["args"] |= {name: value for name, value in ended.items() if name not in at["args"] or name == "value"}
        return {"ph": "X", "dur": max(end_us - at["ts"], 0.0), "name": _name(begun), "cat": begun.event, **at}


def _arrow(phase: str, entry: TraceEntry, sending: int, at: dict[str, Any]) -> dict[str, Any]:
    """Begins (`s`) or ends (`f`) an arrow, known by the entry of the sending, at the slice that encloses it."""
    end = {"bp": "e"} if phase == "f" else {}
    where = {name: at[name] for name in ("ts", "pid", "tid")}
    return {"ph": phase, "id": sending, "name": entry.fields["kind"], "cat": "message", **end, **where}


def _what(node: str, entry: TraceEntry) -> tuple[str, Any]:
    """What begins or ends with this entry: a client has one operation at a time, a node is down once."""
    if entry.event.startswith("world.fault_"):
        return node, (entry.fields["fault"], tuple(entry.fields["nodes"]))
    return node, "operation" if entry.event.startswith("client.") else "down"


def _name(begun: TraceEntry) -> str:
    if begun.event == "client.invoked":
        return f"{begun.fields['operation']} {begun.fields['key']}"
    return str(begun.fields["fault"]) if begun.event == "world.fault_began" else "down"
