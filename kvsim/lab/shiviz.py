"""A trace as a log for ShiViz, which draws who could have known what (https://bestchai.bitbucket.io/shiviz/).

Beschastnikh, Wang, Brun and Ernst, "Debugging distributed systems", CACM 59(8), 2016. Each event has a vector clock: a
node counts its own events, and one that follows from another node's takes over what that node knew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from kvsim.lab.traces import TraceEntry

Clock = dict[str, int]
PARSER = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"
"""The regular expression that ShiViz asks for; it is its own default."""


def shiviz_log(entries: Iterable[TraceEntry]) -> Iterator[str]:
    """Two lines an event: what happened; where, and the clock."""
    clocks: dict[str, Clock] = {}
    sent: dict[int, tuple[str, Clock]] = {}
    for entry in entries:
        clock = clocks.setdefault(entry.node, {})
        cause = sent.get(entry.cause)  # only messages lead from node to node
        if cause is not None and cause[0] != entry.node:
            for host, count in cause[1].items():
                clock[host] = max(count, clock.get(host, 0))
        clock[entry.node] = clock.get(entry.node, 0) + 1
        if entry.event == "world.sent":
            sent[entry.id] = entry.node, dict(clock)
        yield f"{_said(entry)}\n{entry.node} {json.dumps(clock)}\n"


def _said(entry: TraceEntry) -> str:
    fields = " ".join(f"{name}={_short(value)}" for name, value in entry.fields.items() if name != "message")
    return f"{entry.time_ns / 1e6:.6f} ms {entry.event} {fields}".rstrip()


def _short(value: object) -> str:
    """A value in one line of printable characters: to ShiViz, a line also ends at U+2028 and other odd places."""
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    return json.dumps(value, separators=(",", ":"))
