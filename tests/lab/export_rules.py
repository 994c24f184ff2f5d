"""What ShiViz and Perfetto demand of what they read, after their own parsers; each problem found is a sentence."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from kvsim.lab.shiviz import PARSER

# ShiViz is written in JavaScript, where `.` stops at these, and a group's name has no P.
_JAVASCRIPT = PARSER.replace("(?<", "(?P<").replace(".", r"[^\n\r\u2028\u2029]")
DEEPEST = 512
"""Slices that Perfetto lets lie in each other."""


def shiviz_problems(text: str) -> Iterator[str]:
    """Of a log: `js/model/parser.js`, `vectorTimestamp.js` and `modelGraph.js` of ShiViz."""
    found = list(re.finditer(_JAVASCRIPT + r"\n?", text))
    if "".join(match[0] for match in found) != text:
        yield "something is no event"
    events: dict[str, list[dict[str, int]]] = defaultdict(list)
    for match in found:
        clock = json.loads(match["clock"])
        if not all(isinstance(count, int) and count > 0 for count in clock.values()):
            yield f"{clock} has counts that are none"
        if match["host"] not in clock:
            yield f"{match['host']} is missing from its own clock"
        else:
            events[match["host"]].append(clock)
    for host, clocks in events.items():
        if [clock[host] for clock in clocks] != list(range(1, len(clocks) + 1)):
            yield f"{host} does not count its events one by one from 1"
        known: dict[str, int] = {}
        for clock in clocks:
            yield from _impossible(host, clock, known, events)
            known = clock


def _impossible(
    host: str, clock: dict[str, int], known: dict[str, int], events: dict[str, list[dict[str, int]]]
) -> Iterator[str]:
    if any(clock.get(other, 0) < count for other, count in known.items()):
        yield f"{host} forgets what it knew"
    for other, count in clock.items():
        if other not in events:
            yield f"{host} knows of {other}, which has no event"
        elif count > len(events[other]):
            yield f"{host} knows of more events of {other} than there are"
        elif any(clock.get(third, 0) < seen for third, seen in events[other][count - 1].items()):
            yield f"{host} knows of {other}'s event {count}, and not of all that came before it"


_NEEDED = {
    "M": {"name", "args"}, "X": {"name", "cat", "ts", "dur"}, "i": {"name", "cat", "ts", "s"},
    "s": {"name", "cat", "ts", "id"}, "f": {"name", "cat", "ts", "id", "bp"},
}  # fmt: skip


def chrome_problems(document: Any) -> Iterator[str]:
    """Of a document: "Trace Event Format", and what Perfetto's importer of JSON drops or counts as an error."""
    events = document["traceEvents"]
    for event in events:
        if event.get("ph") not in _NEEDED:
            yield f"{event} is of no known phase"
            return
        if missing := (_NEEDED[event["ph"]] | {"pid", "tid"}) - event.keys():
            yield f"{event} lacks {sorted(missing)}"
            return
        for name in ("ts", "dur"):
            if name in event and not (math.isfinite(event[name]) and event[name] >= 0):
                yield f"{name} = {event[name]} is no time"
        if not (type(event["pid"]) is int and type(event["tid"]) is int and event["pid"] > 0 and event["tid"] > 0):
            yield f"{event} is nowhere"
        if event["ph"] == "i" and event["s"] not in ("t", "p", "g"):
            yield f"an instant's scope is {event['s']}"
    yield from _naming_problems(events)
    yield from _drawing_problems([event for event in events if event["ph"] != "M"])


def _naming_problems(events: list[dict[str, Any]]) -> Iterator[str]:
    named = Counter(
        (event["name"], event["pid"] if event["name"] == "process_name" else event["tid"], event["args"]["name"])
        for event in events
        if event["ph"] == "M"
    )
    processes = {pid for kind, pid, _ in named if kind == "process_name"}
    threads = Counter(tid for kind, tid, _ in named if kind == "thread_name")
    names = Counter(name for kind, _, name in named if kind == "process_name")
    of_thread = defaultdict(set)
    for event in events:
        of_thread[event["tid"]].add(event["pid"])
        if event["pid"] not in processes or event["tid"] not in threads:
            yield f"process {event['pid']} or thread {event['tid']} has no name"
    if any(count > 1 for count in (*threads.values(), *names.values())):
        yield "two names for one thread, or two processes of one name"
    if any(len(pids) > 1 for pids in of_thread.values()):
        yield "a thread belongs to two processes"


def _drawing_problems(events: list[dict[str, Any]]) -> Iterator[str]:
    """Perfetto sorts by time, cut to nanoseconds, keeps a stack of slices a thread, and hangs arrows on the topmost."""
    stacks: dict[int, list[int]] = defaultdict(list)
    begun: set[tuple[str, str, int]] = set()
    for event in sorted(events, key=lambda event: int(event["ts"] * 1_000)):
        at_ns, stack = int(event["ts"] * 1_000), stacks[event["tid"]]
        while stack and (stack[-1] < at_ns or (stack[-1] == at_ns and event["ph"] == "X")):
            stack.pop()
        if event["ph"] == "X":
            end_ns = at_ns + int(event["dur"] * 1_000)
            if stack and stack[-1] < end_ns:
                yield f"{event['name']} at {at_ns} ns overlaps another slice in part"
            stack.append(end_ns)
            if len(stack) > DEEPEST:
                yield f"{event['name']} at {at_ns} ns lies too deep"
        if event["ph"] in "sf":
            arrow = event["cat"], event["name"], event["id"]
            if not stack:
                yield f"an arrow of {event['name']} at {at_ns} ns has no slice"
            if (event["ph"] == "s") == (arrow in begun):
                yield f"the arrow {arrow} begins twice, or ends before it begins"
            begun.add(arrow)
            if event["ph"] == "f" and event["bp"] != "e":
                yield f"the arrow {arrow} ends at the next slice instead of its own"
