"""The story of a shrunk run: the fewest steps, in words, with times and nodes, made from its trace.

Told are the operations that the witness speaks of, what they led nodes to do before their disks had it, the faults, and
what the protocol noted of its own accord (elections, new views) while all that went on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kvsim.check.wording import listed
from kvsim.core.history import Key, Operation, operations
from kvsim.core.message import MILLISECOND, SECOND
from kvsim.core.settings import duration_ns
from kvsim.lab.grid import Table
from kvsim.lab.hunt.trial import Finding, Played
from kvsim.sim.faults import ROLES

STEPS_AIMED_AT = 12
BEFORE_NS = 2 * SECOND
"""How much of what a protocol did before it broke its own invariant is told, where there is room."""
OF_NO_PROTOCOL = ("world.", "client.", "replica.")
"""How the names of events begin that no protocol has written."""
NO_FACTS = ("id", "time_ns", "node", "event", "cause", "group", "role")
"""Fields of an event that are told in other words, or not at all."""
TOGETHER_NS = 50 * MILLISECOND
"""Nodes that note the same within this time share a step."""
Entry = dict[str, Any]


class Step(NamedTuple):
    """One sentence of the story."""

    time_ns: int
    order: int
    """Of steps at the same time."""
    text: str
    weight: int
    """What is left out first where there are too many: the lightest."""


def story_of(played: Played, finding: Finding, trace: bytes) -> list[str]:
    """The steps, in the order in which they happened."""
    entries = [msgspec.json.decode(line, type=Entry) for line in trace.splitlines()]
    told = [] if played.run is None else _told_operations(played, finding)
    first_ns, last_ns = _span(played, finding, told, entries)
    cones = {o.invoked: _Cone(entries, o, played.asked.get(o.invoked, ("", ""))) for o in told}
    steps = [
        *_faults(entries, played.setup.table.get("faults", ())),
        *_failures(entries),
        *_protocol(entries, first_ns, last_ns),
        *_before_disk(entries, cones.values(), finding),
    ]
    if finding.at_ns is not None:
        _, name, what = re.split(": ", f"{finding.kind}: {finding.sentence.partition(': ')[2]}", maxsplit=2)
        steps.append(Step(finding.at_ns, 8, f"here {name} breaks: {what}", 6))
    busy = sorted(step.time_ns for step in steps)
    named = {} if finding.witness is None else {o.invoked for o in finding.witness.operations}
    for o in told:
        steps += cones[o.invoked].steps(o, played, busy, 4 if o.invoked in named else 1)
    return [f"{_at(step.time_ns)}  {step.text}" for step in _at_most(steps, STEPS_AIMED_AT)]


def _span(played: Played, finding: Finding, told: Sequence[Operation], entries: Sequence[Entry]) -> tuple[int, int]:
    """Between which times is told what nodes did of their own accord: up to what broke, or the last answer."""
    first_ns = min([o.invoked_ns for o in told], default=0)
    broke_ns = finding.at_ns
    if finding.judge == "defect":
        broke_ns = next((entry["time_ns"] for entry in entries if entry["event"] == "world.failed"), None)
    if broke_ns is not None:
        return min(first_ns, broke_ns - BEFORE_NS), broke_ns
    return first_ns, max([o.completed_ns or o.invoked_ns for o in told], default=played.simulated_ns)


def _told_operations(played: Played, finding: Finding) -> list[Operation]:
    """Those that the witness names, and those of the script that had some part in it, or else it were shrunk away."""
    assert played.run is not None, "checked by the caller"
    found = operations(played.run.seen.history)
    named = set() if finding.witness is None else {o.invoked for o in finding.witness.operations}
    return [o for o in found if o.invoked in named or played.asked.get(o.invoked, ("",))[0].startswith("client-")]


class _Cone:
    """All that one operation led to."""

    def __init__(self, entries: Sequence[Entry], o: Operation, asked: tuple[str, str]) -> None:
        self.client, self.door = asked
        self.ids: set[int] = set()
        self.entries: list[Entry] = []
        for entry in entries:
            begins = entry["event"] == "client.invoked" and entry["index"] == o.invoked
            if begins or entry.get("cause") in self.ids:
                self.entries.append(entry)
                # What a client does next follows from the end of this operation, and is no part of it.
                if entry["event"] != "client.completed":
                    self.ids.add(entry["id"])
        self.by_id = {entry["id"]: entry for entry in self.entries}
        mine = [e for e in entries if e["event"] == "world.sent" and e["node"] == self.client]
        first = next((e for e in mine if e["id"] in self.ids), None)
        self.sendings = 1
        """How often the client asked the same."""
        if first is not None:
            request = first["message"]["operation"]["request"]
            self.sendings = sum(e["message"]["operation"]["request"] == request for e in mine)

    def way(self) -> list[str]:
        """The nodes that the answer came by, in the order in which the question reached them."""
        end = next((e for e in self.entries if e["node"] == self.client and e["event"] == "world.delivered"), None)
        nodes: dict[str, None] = {}
        while end is not None:
            nodes[end["node"]] = None
            end = self.by_id.get(end.get("cause", 0))
        return [node for node in reversed(nodes) if node != self.client]

    def steps(self, o: Operation, played: Played, busy: Sequence[int], weight: int) -> Iterator[Step]:
        """What was asked and what was told: one step if nothing that is told happened in between."""
        who = f"{self.client} (process {o.process})"
        ends_ns = o.completed_ns if o.completed_ns is not None else o.invoked_ns
        way = f"; the answer came by {listed(self.way())}" if self.way() else ""
        again = f", having asked {self.sendings} times," if self.sendings > 1 else ""
        answer = f"{again} {_answer(o, played)}{way}".lstrip(" ")
        if any(o.invoked_ns <= at <= ends_ns for at in busy):
            yield Step(o.invoked_ns, 0, f"{who} asks {self.door} to {_asks(o)}", weight)
            yield Step(ends_ns, -1, f"{who}{'' if again else ' '}{answer}", weight)
        else:
            yield Step(o.invoked_ns, 0, f"{who} asks {self.door} to {_asks(o)}: at {_at(ends_ns)} it {answer}", weight)


def _asks(o: Operation) -> str:
    key = as_words(o.key)
    what = {
        "read": f"read {key}",
        "remove": f"remove {key}",
        "delete": f"delete {key}",
        "create": f"create {key} as {o.value}",
        "cas": f"set {key} from {o.expected or 'absent'} to {o.value}",
        "scan": f"scan from {key}",
    }
    return what.get(o.op, f"write {o.value} to {key}")


def as_words(key: Key | None) -> str:
    """A key as text."""
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


def _answer(o: Operation, played: Played) -> str:
    if o.outcome == "ok":
        if o.op == "read":
            return "finds nothing there" if o.answer is None else f"reads {o.answer}"
        return "gets the scan's page" if o.op == "scan" else "is told that it is done"
    error = played.run.seen.errors.get(o.invoked, "no answer") if played.run is not None else "no answer"
    return f"is refused ({error})" if o.outcome == "fail" else f"never learns whether it happened ({error})"


def _before_disk(entries: Sequence[Entry], cones: Iterable[_Cone], finding: Finding) -> Iterator[Step]:
    """Messages that an operation made nodes send while their disks lacked what they had just written, and then lost.

    An invariant is broken by the mere sending."""
    lost = [(e["node"], e["time_ns"]) for e in entries if e["event"] == "world.crashed" and e["lost_bytes"]]
    ids = set().union(*(cone.ids for cone in cones))
    unsynced: dict[tuple[str, str], int] = {}
    written: dict[str, None] = {}
    by_id = {entry["id"]: entry for entry in entries}
    for entry in entries:
        node, event = entry["node"], entry["event"]
        if event == "world.disk":
            place = (node, entry["file"])
            if entry["operation"] == "append":
                unsynced[place] = entry["size_bytes"]
                if entry["id"] in ids:
                    written[node] = None
            elif entry["size_bytes"] >= unsynced.get(place, 0):
                unsynced.pop(place, None)
        elif event == "world.crashed":
            unsynced = {place: size for place, size in unsynced.items() if place[0] != node}
            written.pop(node, None)
        elif event == "world.sent" and entry["id"] in ids and node in written:
            cause = by_id.get(entry.get("cause", 0))
            is_answer = cause is not None and cause["event"] == "world.delivered" and cause.get("sender") == entry["to"]
            has_unsynced = any(place[0] == node for place in unsynced)
            is_lost = any(n == node and at >= entry["time_ns"] for n, at in lost)
            if is_answer and has_unsynced and (is_lost or finding.judge == "invariant"):
                text = f"{node} answers {entry['to']} ({entry['kind']}) before its disk has what it wrote"
                yield Step(entry["time_ns"], 5, text, 3)
                written.pop(node, None)


# Faults and protocol --------------------------------------------------------------------------------------------------


class _Window(NamedTuple):
    """A fault in force."""

    kind: str
    start_ns: int
    end_ns: int | None
    nodes: tuple[str, ...]
    table: Table


def _windows(entries: Sequence[Entry], tables: Sequence[Table]) -> list[_Window]:
    """All that struck, with what the schedule said of each."""
    waiting = sorted(tables, key=lambda table: duration_ns(table["at"]))
    open_: list[_Window] = []
    over: list[_Window] = []
    for entry in entries:
        kind, nodes = entry.get("fault", ""), tuple(entry.get("nodes", ()))
        if entry["event"] == "world.fault_began":
            table = next((table for table in waiting if table["kind"] == kind), {})
            waiting = [other for other in waiting if other is not table]
            open_.append(_Window(kind, entry["time_ns"], None, nodes, table))
        elif entry["event"] == "world.fault_ended":
            window = next(window for window in open_ if (window.kind, window.nodes) == (kind, nodes))
            open_.remove(window)
            over.append(window._replace(end_ns=entry["time_ns"]))
    return sorted([*over, *open_], key=lambda window: window.start_ns)


def _faults(entries: Sequence[Entry], tables: Sequence[Table]) -> Iterator[Step]:
    """A step for each fault, with its end; nodes that lose power together, and come back together, share one."""
    lost = {(e["node"], e["time_ns"]): e["lost_bytes"] for e in entries if e["event"] == "world.crashed"}
    together: dict[tuple[int, int | None], list[tuple[str, int]]] = {}
    for window in _windows(entries, tables):
        if window.kind == "crash":
            cut = together.setdefault((window.start_ns, window.end_ns), [])
            cut.extend((node, lost.get((node, window.start_ns), 0)) for node in window.nodes)
        else:
            end = "" if window.end_ns is None else f", until {_at(window.end_ns)}"
            yield Step(window.start_ns, 6, _begins(window.kind, window.nodes, window.table) + end, 5)
    for (start_ns, end_ns), crashes in together.items():
        back = "" if end_ns is None else f"; at {_at(end_ns)} {'it is' if len(crashes) == 1 else 'they are'} back"
        yield Step(start_ns, 6, _power_cut(crashes) + back, 5)


def _power_cut(crashes: Sequence[tuple[str, int]]) -> str:
    nodes = [node for node, _ in crashes]
    lose = "loses" if len(nodes) == 1 else "lose"
    gone = [f"{size} bytes of {node}" if len(nodes) > 1 else f"{size} bytes" for node, size in crashes if size]
    left = f"{listed(gone)} had not been synced and are gone" if gone else "all that was written is on the disk"
    return f"{listed(nodes)} {lose} power; {left}"


def _begins(kind: str, nodes: Sequence[str], table: Mapping[str, Any]) -> str:
    where = listed(list(nodes)) if nodes else "all links"
    if kind == "partition":
        sides = table.get("sides", [])
        # A role is told by the name of who had it; roles come first on their sides, and so they do among the nodes.
        known = dict(zip((n for side in sides for n in side), nodes, strict=False))
        named = [[known[n] if n in ROLES else n for n in side] for side in sides]
        parts = [side if i == 0 else [n for n in side if n not in named[0]] for i, side in enumerate(named)]
        rest = " | all other nodes" if len(sides) == 1 else ""
        return f"the network parts: {' | '.join(', '.join(side) for side in parts) or where}{rest}"
    return _in_words(kind, where, table)


def _in_words(kind: str, where: str, table: Mapping[str, Any]) -> str:
    """A fault as one would tell it; kinds without words of their own by their settings."""
    hearing = listed(table["receivers"]) if table.get("receivers") else "anybody"
    words = {
        "bridge": f"{where} fall into two halves that do not reach each other",
        "isolate": f"{where} is cut off from all nodes{' and clients' if table.get('clients') else ''}",
        "one_way": f"what {listed(table.get('senders', []))} says is not heard by {hearing}",
        "pause": f"{where} stands still",
        "slow_disk": f"the disk of {where} takes {table.get('factor', 0):g} times as long",
        "slow_cpu": f"{where} works {table.get('factor', 0):g} times as slowly",
    }
    settings = {k: v for k, v in table.items() if k not in ("kind", "at", "lasts", "node", "between", "when")}
    rest = ", ".join(f"{key} = {value}" for key, value in settings.items())
    return words.get(kind) or f"{kind} at {where}" + (f" ({rest})" if rest else "")


def _failures(entries: Sequence[Entry]) -> Iterator[Step]:
    for entry in entries:
        if entry["event"] == "world.failed":
            yield Step(entry["time_ns"], 5, f"{entry['node']} fails: {entry['error']}", 5)


def _protocol(entries: Sequence[Entry], first_ns: int, last_ns: int) -> Iterator[Step]:
    """What nodes noted of their own accord, not as a part of a client's operation. The same of several is told once."""
    of_clients: set[int] = set()
    told: dict[tuple[str, str], tuple[int, dict[str, None]]] = {}
    for entry in entries:
        if entry["event"] == "client.invoked" or entry.get("cause") in of_clients:
            of_clients.add(entry["id"])
        elif not entry["event"].startswith(OF_NO_PROTOCOL) and first_ns <= entry["time_ns"] <= last_ns:
            facts = {k: v for k, v in entry.items() if k not in NO_FACTS}
            shown = ", ".join(f"{key} = {_plain(value)}" for key, value in facts.items())
            what = (_words(entry["event"]), shown)
            since_ns, nodes = told.get(what, (entry["time_ns"], {}))
            if entry["time_ns"] > since_ns + TOGETHER_NS:
                yield _noted(what, since_ns, nodes)
                since_ns, nodes = entry["time_ns"], {}
            told[what] = since_ns, {**nodes, entry["node"]: None}
    for what, (since_ns, nodes) in told.items():
        yield _noted(what, since_ns, nodes)


def _noted(what: tuple[str, str], time_ns: int, nodes: Mapping[str, None]) -> Step:
    return Step(time_ns, 4, f"{listed(list(nodes))}: {what[0]} ({what[1]})", 0)


def _words(tag: str) -> str:
    return tag.replace("_", " ").replace(".", " ")


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = re.sub(r'["{}]', "", text)
    return text if len(text) <= 70 else text[:70] + "…"


def _at_most(steps: Sequence[Step], most: int) -> list[Step]:
    """In the order of time; the lightest left out where there are too many, of them those told before first."""
    ordered = sorted(steps, key=lambda step: (step.time_ns, step.order))
    kept = set(sorted(range(len(ordered)), key=lambda i: (-ordered[i].weight, -i))[:most])
    return [step for i, step in enumerate(ordered) if i in kept or step.weight >= 3]


def _at(time_ns: int) -> str:
    return f"{time_ns / 1e9:.4f} s"
