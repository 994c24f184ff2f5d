"""Writes the reference pages that are made from the code: `python -m docs.generate`. The tests compare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvsim.core.message import Message, tag_of
from kvsim.core.trace import Event
from kvsim.testing.contract import Check
from kvsim.testing.suites import OF_AXIS, checks_of

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- Made from the code by `python -m docs.generate`; edit the code instead. -->\n\n"


def errors() -> str:
    """The table of errors, and which class raises each."""
    from kvsim.core.operation import ERRORS, OperationError

    meanings = {kind.code: " ".join((kind.__doc__ or "").split()) for kind in OperationError.__subclasses__()}
    rows = [
        f"| `{code}` | {'no' if row.certain else '**perhaps**'} | {'yes' if row.retryable else 'no'} | {row.why} "
        f"| {row.remedy} |"
        for code, row in ERRORS.items()
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            "Every operation ends `ok`, `fail` (it certainly did not happen) or `info` (nobody knows). An error says",
            "which of the two it is. The judges count on it: what failed must never be seen, what is unknown may be.",
            "",
            "| code | did it happen? | may a retry succeed? | why | what to do |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "In the words of the classes in `kvsim/core/operation.py`:",
            "",
            *(f"- `{code}`: {meanings[code]}" for code in ERRORS),
            "",
        ]
    )


def strategies() -> str:
    """A section an axis, a page a strategy."""
    from kvsim.core.design import AXES
    from kvsim.strategies.catalogue import BUILT_IN, DEFAULTS, find_strategy
    from kvsim.strategies.described import described

    parts = [
        "# Strategies",
        "",
        "A design names one strategy on every axis. What it leaves out has the default; what is moot in it is left out",
        'of the file. A name may also be that of a strategy of your own: `strategy = "mine.py:MyQuorum"`.',
        "",
    ]
    for axis in AXES:
        names = BUILT_IN.get(axis, {})
        if not names:
            continue
        default = DEFAULTS.get(axis)
        says = f"Default: `{default}`." if default else "Default: what the replication usually offers."
        parts += [f"## {axis}", "", says, ""]
        for name in names:
            parts += _page(described(axis, name, find_strategy(axis, name)))
    return "\n".join(parts)


def _page(page: Mapping[str, Any]) -> list[str]:
    lines = [f'### {page["axis"]} = "{page["name"]}"', "", page["about"], "", page["page"], ""]
    if page["settings"]:
        lines += ["| setting | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{s['key']}` | {s['default']} | {s['meaning'].replace('|', chr(92) + '|')} |" for s in page["settings"]
        ]
        lines.append("")
    if page["moot"]:
        lines += [f"Moot beside it: {', '.join(f'`{axis}`' for axis in page['moot'])}.", ""]
    if page["promises"]:
        lines += ["It promises, with these defaults:", "", *(f"- {promise}" for promise in page["promises"]), ""]
    return lines


def protocols() -> str:
    """Who says what to whom: every message of every built-in design, by the protocol that owns it."""
    from kvsim.core.message import DATAGRAM_LIMIT_BYTES
    from kvsim.transport.frames import PROTOCOL_VERSION

    parts = [
        "# Protocols",
        "",
        "Three pairs of roles talk to each other:",
        "",
        "- **client – ServerFrontend** (or any peer): [HTTP](http.md), [RESP](resp.md), or the frames below; each",
        "  becomes a `client.perform` and its result.",
        "- **ServerFrontend – ServerData**: `client.perform` passed on, its result or a `core.failure` back; status.",
        "- **ServerData – ServerData**: the messages of the design's replication and membership.",
        "",
        "## On the wire",
        "",
        f"Streams are TCP connections, one for each ordered pair of nodes, protocol version {PROTOCOL_VERSION}. A",
        "frame is its length and CRC-32, four bytes each, big-endian, then MessagePack. The first frame is a",
        "hello: protocol version, cluster, fingerprint of the design, node, incarnation; a stranger is refused with",
        "the reason. Each later frame is an envelope: message, request number (0: no answer wanted), the number it",
        "answers (0: none), and the trace's id of its cause (0: not traced). Heartbeats are UDP datagrams of one",
        f"envelope, at most {DATAGRAM_LIMIT_BYTES} bytes. A message is an array: its tag, then its fields.",
        "",
    ]
    for title, kinds in _messages().items():
        parts += [f"## {title}", "", "| message | fields | who, to whom |", "|---|---|---|"]
        for kind in kinds:
            fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
            parts.append(f"| `{tag_of(kind)}` | {fields or 'none'} | {' '.join((kind.__doc__ or '').split())} |")
        parts.append("")
    return "\n".join(parts)


def _messages() -> dict[str, list[type[Message]]]:
    """The kinds of messages of all built-in strategies, by the package or module that owns them."""
    from kvsim.strategies.catalogue import BUILT_IN, message_kinds, read_design

    found: dict[str, list[type[Message]]] = {}
    for replication in BUILT_IN["replication"]:
        design = read_design({"replication": replication, "membership": "heartbeat"}, "design", 5)
        for kind in message_kinds(design):
            owner = kind.__module__.removeprefix("kvsim.").removeprefix("strategies.")
            title = ".".join(owner.split(".")[:2])
            if kind not in found.setdefault(title, []):
                found[title].append(kind)
    return found


TRACES = """# Traces

`kvsim simulate FILE --trace` (or `kvsim sweep`) leaves in the folder of the first run `trace.jsonl`: all that happened,
one JSON object a line, in the order in which it happened. `--trace-all` does so for every run. The same seed gives the
same bytes.

```json
{"id":7,"time_ns":1204000,"node":"data-1","cause":5,"event":"world.delivered","sender":"data-2","kind":"quorum.store"}
```

| field | meaning |
|---|---|
| `id` | counts the entries of a run from 1 |
| `time_ns` | true time in nanoseconds from the beginning of the run, which no node knows |
| `node` | where it happened: a node or a client; empty for what happens at none |
| `cause` | the `id` of the entry that led to it; left out where nothing did |
| `event` | what happened, as `protocol.name`; the other fields are the event's own |

A delivery and a drop follow from their sending; what a node does while it handles a message, a timer or the end of a
disk's operation follows from that; a timer follows from what set it, a disk's operation from what asked for it, a
client's operation from the end of its last one. So the causes of an entry, one after the other, tell how it came about,
and only messages lead from one node to another. Keys and values are text where they are UTF-8, else `{"b64": "…"}`. The
`index` of a client's entry is the line of `history.jsonl`, counted from 0. Timers of clients (timeouts, pauses) are not
in a trace; what they lead to is.

`kvsim bench FILE --trace` leaves one of a real run, put together from what each node recorded. Its times are the
machine's monotonic clock, which all its processes share: within a node the order is the true one, and between nodes
causes lead along messages alone, so a vector clock (ShiViz) tells more than the times do. What a node recorded last
before a `kill -9` may be missing, and no entries tell of messages that the transport drops or sends again.
`kvsim replay` repeats simulated runs only.
"""
EXPORTS = """## Looking at it

- `kvsim trace DIR --to shiviz` writes a log for [ShiViz](https://bestchai.bitbucket.io/shiviz/): each event with a
  vector clock. ShiViz draws who could have known what, and finds patterns. Its default parser reads the file.
- `kvsim trace DIR --to chrome` writes Chrome's trace-event format, which [Perfetto](https://ui.perfetto.dev) opens: a
  track a node; operations, crashes and faults as slices, messages as arrows, all else as marks.
- `--start 1s --end 1.2s` cut out a part. Both programs get slow beyond some ten thousand events.
- `kvsim replay DIR` repeats the run and stops at the first entry that differs.
"""


def trace() -> str:
    """The format of traces, and every event of the world and of the built-in strategies."""
    parts = [TRACES]
    for title, kinds in _events().items():
        parts += [f"## {title}", "", "| event | fields | meaning |", "|---|---|---|"]
        for kind in kinds:
            fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
            meaning = " ".join((kind.__doc__ or "").split())
            parts.append(f"| `{kind.__struct_config__.tag}` | {fields or 'none'} | {meaning} |")
        parts.append("")
    return "\n".join([*parts, EXPORTS])


def _by_protocol(kind: type[Event]) -> str:
    """Keeps the world's and the clients' in the order of the code, and puts the others in that of their names."""
    tag = str(kind.__struct_config__.tag)
    return "" if tag.startswith(("world.", "client.")) else tag


def _events() -> dict[str, list[type[Event]]]:
    """All kinds of events, the world's and clients' first, then those of the strategies by their protocols."""
    from kvsim.sim import events
    from kvsim.strategies.catalogue import BUILT_IN, find_strategy

    for axis, names in BUILT_IN.items():
        for name in names:
            find_strategy(axis, name)  # which imports its module
    known = [k for k in Event.__subclasses__() if k.__module__.startswith((events.__name__, "kvsim.strategies."))]
    found: dict[str, list[type[Event]]] = {"world": [], "client": []}
    for kind in sorted(known, key=_by_protocol):
        found.setdefault(str(kind.__struct_config__.tag).partition(".")[0], []).append(kind)
    return found


def conformance() -> str:
    """The page of what the conformance kit asks of a strategy: each check by its promise."""
    shared = [check for check in checks_of("storage") if all(check in checks_of(axis) for axis in OF_AXIS)]
    lines = [
        "# Conformance",
        "",
        "`kvsim.testing` puts a strategy through the contract of its axis: in a test by",
        '`check_replication("mine.py:MyProtocol")`, without one by `pytest --kvsim mine.py:MyProtocol`. What is broken',
        "is told with the reason and the remedy. Step by step: [writing a strategy](../writing-a-strategy.md).",
        "",
        "| option of pytest | |",
        "|---|---|",
        "| `--kvsim FILE.py:CLASS` | the strategy, or a built-in one by its name; may be repeated |",
        "| `--kvsim-set replication.w=3` | sets a key of the design in which it is checked; may be repeated |",
        "| `--kvsim-runs 500` | how many runs each hunt has, also those of tests; 20 when not given |",
        "",
        "## Every strategy",
        "",
        *(_check_row(check) for check in shared),
    ]
    for axis in OF_AXIS:
        own = [check for check in checks_of(axis) if check not in shared]
        lines += ["", f"## {axis}: `check_{axis}`", "", *(_check_row(check) for check in own)]
    return "\n".join(lines)


def _check_row(check: Check) -> str:
    return f"- `{check.__name__}`: {' '.join((check.__doc__ or '').split())}"


PAGES: dict[str, Callable[[], str]] = {
    "conformance.md": conformance,
    "errors.md": errors,
    "protocols.md": protocols,
    "strategies.md": strategies,
    "trace.md": trace,
}


def made(name: str) -> str:
    """The page as the code would have it."""
    title, rest = PAGES[name]().split("\n\n", 1)
    return f"{title}\n\n{MADE}{rest.rstrip()}\n"


def main() -> None:
    """Write all pages."""
    for name in PAGES:
        (REFERENCE / name).write_text(made(name), encoding="utf-8")


if __name__ == "__main__":
    main()
