"""A refuted run without its time: what reached its nodes, in its order, as the commands of a transcript.

The run's deliveries, disks, timers, crashes and breaks are given to the same nodes in the stepped world, as far as they
are possible there: its draws are others, so an election may take some more timers. What is refuted there too is cut to
the fewest steps that still show it. A stream may break there as in the run, and never loses a message in its middle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kvsim.core.history import Operation, operations
from kvsim.core.message import MILLISECOND
from kvsim.core.operation import Perform
from kvsim.lab.experiment import Setup
from kvsim.lab.hunt.shrink import fewest
from kvsim.lab.hunt.stepped import Act, Stepped
from kvsim.lab.hunt.trial import Finding, Played

LIMIT_S = 20.0
PERFORM = str(Perform.__struct_config__.tag)
JUDGED = ("linearizable", "sequential", "causal", "durability", "invariant", "defect")
"""What can be refuted without time."""
Entry = Mapping[str, Any]


def transcript_of(played: Played, finding: Finding, trace: bytes, head: str) -> str | None:
    """The transcript, not run yet; None where the stepped world does not refute it, or cannot."""
    if played.run is None or finding.judge not in JUDGED:
        return None
    entries = [msgspec.json.decode(line, type=dict[str, Any]) for line in trace.splitlines()]
    acts = _converted(played.setup, list(_acts(entries, played)))
    until_s = time.monotonic() + LIMIT_S

    def refuted(kept: Sequence[Act]) -> bool:
        return time.monotonic() < until_s and Stepped(played.setup, kept).refutes(finding)

    if not refuted(acts):
        return None
    whole = Stepped(played.setup, acts)
    whole.refutes(finding)
    acts = fewest(whole.done, refuted)
    done = Stepped(played.setup, acts)
    done.run()
    lines = [*(f"# {line}".rstrip() for line in head.splitlines()), _cluster_command(played.setup)]
    return "\n".join([*lines, "----", "", *(f"{command}\n----\n" for command in done.commands)])


# What happened in the run ---------------------------------------------------------------------------------------------


def _acts(entries: Sequence[Entry], played: Played) -> Iterator[Act]:
    """What reached the nodes, in the order of the trace."""
    assert played.run is not None, "checked by the caller"
    cluster = played.setup.cluster.everyone()
    sent = {entry["id"]: entry for entry in entries if entry["event"] == "world.sent"}
    led_to: dict[int, list[str]] = {}
    for entry in sent.values():
        led_to.setdefault(entry.get("cause", 0), []).append(entry["kind"])
    words = _words(operations(played.run.seen.history), played.asked)
    asked: dict[Any, None] = {}
    waited_ns = 0
    for entry in entries:
        if entry["node"] not in cluster:
            continue
        passed_ms = (entry["time_ns"] - waited_ns) // MILLISECOND
        if entry["event"] == "world.delivered" and entry["sender"] not in cluster and passed_ms:
            waited_ns += passed_ms * MILLISECOND
            yield Act("wait", entry["node"], tags=(f"{passed_ms}ms",))
        if entry["event"] in ("world.delivered", "world.dropped"):
            act = _of_message(entry, sent.get(entry.get("cause", 0), {}), words, asked)
            if act is not None and {act.node, act.peer or act.node} <= set(cluster):
                yield act
        elif (act := _of_node(entry, led_to)) is not None and (act.peer or act.node) in cluster:
            yield act


def _of_message(
    entry: Entry, sent: Entry, words: Mapping[tuple[str, int], tuple[str, str]], asked: dict[Any, None]
) -> Act | None:
    """A delivery or a loss, or a client's question that has come."""
    node, channel, tags = entry["node"], sent.get("channel", "stream"), (entry["kind"],)
    if entry["event"] == "world.dropped":
        return Act("drop", entry["to"], node, channel, tags)
    if entry["kind"] != PERFORM or sent["message"]["hops"]:
        return Act("deliver", node, entry["sender"], channel, tags)
    named = sent["message"]["operation"]["request"]
    request = (named["client"], named["number"])
    if request in asked:
        return Act("retry", node, asked=(named["client"], str(named["number"])))
    asked[request] = None
    return Act("ask", node, asked=(request[0], *words[request])) if request in words else None


def _of_node(entry: Entry, led_to: Mapping[int, list[str]]) -> Act | None:
    """What else can reach a node; timers that led to nothing are left out."""
    node, event = entry["node"], entry["event"]
    if event == "world.peer_lost":
        return Act("lost", node, entry["peer"])
    if event == "world.disk" and entry["operation"] != "append":
        return Act("sync", node)
    if event == "world.timer" and entry["id"] in led_to:
        return Act("timer", node, tags=tuple(led_to[entry["id"]]))
    return {"world.crashed": Act("crash", node), "world.restarted": Act("restart", node)}.get(event)


def _words(found: Sequence[Operation], asked: Mapping[int, tuple[str, str]]) -> dict[tuple[str, int], tuple[str, str]]:
    """The name and the words of each client's operations, by client and number; scans are left out."""
    count: dict[str, int] = {}
    words: dict[tuple[str, int], tuple[str, str]] = {}
    for o in found:
        client = asked.get(o.invoked, ("",))[0]
        count[client] = number = count.get(client, 0) + 1
        if o.op != "scan":
            name = "get" if o.op == "read" else o.op
            old = "" if o.op != "cas" else f"{_text(o.expected) if o.expected is not None else '-'}->"
            value = "" if o.value is None else f"={old}{_text(o.value)}"
            words[client, number] = (name, f"{_text(o.key)}{value}")
    return words


def _text(token: Any) -> str:
    return token.decode(errors="replace") if isinstance(token, bytes) else str(token)


def _converted(setup: Setup, acts: Sequence[Act]) -> list[Act]:
    """The acts that were possible; where one took several there, those."""
    replay = Stepped(setup, acts)
    replay.run()
    return replay.done


def _cluster_command(setup: Setup) -> str:
    """The command that builds the same cluster."""
    words: list[str] = []
    replication = ""
    for key, value in setup.table["design"].items():
        given = dict(value) if isinstance(value, dict) else {"strategy": value}
        if key == "replication":
            replication = str(given.pop("strategy"))
            words += [f"{name}={_setting(each)}" for name, each in given.items()]
        elif not isinstance(value, dict) and key in ("durability", "timeout"):
            words.append(f"{key}={value}")
        else:
            words += [
                f"{key}={_setting(v)}" if n == "strategy" else f"{key}.{n}={_setting(v)}" for n, v in given.items()
            ]
    words.append(f"nodes={','.join(setup.cluster.data)}")
    if setup.cluster.frontends:
        words.append(f"frontends={','.join(setup.cluster.frontends)}")
    return " ".join(["cluster", replication, *words])


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
