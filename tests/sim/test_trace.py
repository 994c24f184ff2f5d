"""A trace tells all that happened, which led to which, and changes nothing."""

import json
from typing import Any

from kvsim.core.message import Channel, Envelope
from kvsim.core.trace import Entry
from kvsim.sim.events import Crashed, Sent
from kvsim.sim.faults import Crash, Partition, install
from kvsim.sim.settings import MachineSettings, NetworkSettings
from tests.sim.probes import MS, Note, Probes, S


def busy_run(seed: int = 1, trace: list[Entry] | None = None, wire: bool = False) -> Probes:
    """Three nodes that answer each other, with loss, faults, disks and timers."""
    machines = MachineSettings()
    world = Probes(("a", "b", "c"), NetworkSettings(loss=0.02, bandwidth_bytes_per_s=1_000_000), machines, seed, wire)
    if trace is not None:
        world.trace_to(trace.append)

    def live(node: str) -> None:
        if not world.hosts[node].up:
            return
        probe = world[node]

        def note(sender: str, number: int) -> None:
            _ = probe.host.disk.append("log", b"x" * number), probe.host.disk.sync("log")
            if number:
                probe.say(sender, number - 1, Channel.STREAM if number % 3 else Channel.DATAGRAM)

        probe.on_note = note
        for other in "abc":
            probe.host.after(MS, lambda other=other: probe.say(other, 5))  # type: ignore[misc]

    for time in range(0, 2_000, 50):
        for node in "abc":
            world.at(time * MS, lambda node=node: live(node))  # type: ignore[misc]
    install(world, [Crash(node="b", at_ns=500 * MS, lasts_ns=300 * MS)])
    install(world, [Partition(sides=(("a",), ("c",)), at_ns=S, lasts_ns=200 * MS)])
    world.run(10 * S)
    assert not world.failures
    return world


def outcome(world: Probes) -> Any:
    return world.counts, [(world[node].got, world[node].times, world[node].lost) for node in "abc"]


def test_tracing_changes_nothing() -> None:
    trace: list[Entry] = []
    assert outcome(busy_run()) == outcome(busy_run(trace=trace))
    assert len(trace) > 1_000


def test_wire_mode_changes_nothing() -> None:
    assert outcome(busy_run()) == outcome(busy_run(wire=True))


def test_entries_are_numbered_in_order_of_time_and_their_causes_come_before() -> None:
    trace: list[Entry] = []
    busy_run(trace=trace)
    assert [entry.id for entry in trace] == list(range(1, len(trace) + 1))
    assert [entry.time_ns for entry in trace] == sorted(entry.time_ns for entry in trace)
    assert all(entry.cause < entry.id for entry in trace)


def test_every_kind_of_event_is_there_and_follows_from_what_it_should() -> None:
    trace: list[Entry] = []
    busy_run(trace=trace)
    lines = [json.loads(entry.line()) for entry in trace]
    by_id = {line["id"]: line for line in lines}
    kinds = {line["event"] for line in lines}
    assert kinds == {
        "world.sent", "world.delivered", "world.dropped", "world.retransmitted", "world.peer_lost", "world.timer",
        "world.disk", "world.crashed", "world.restarted", "world.fault_began", "world.fault_ended",
    }  # fmt: skip
    for line in lines:
        cause = by_id.get(line.get("cause"), {})
        if line["event"] == "world.delivered":
            assert cause["event"] == "world.sent"
            assert (cause["node"], cause["to"]) == (line["sender"], line["node"])
        if line["event"] in ("world.dropped", "world.retransmitted"):
            assert cause["event"] == "world.sent"
        if line["event"] == "world.disk":
            assert cause["event"] == "world.delivered"
            assert cause["node"] == line["node"]
        if line["event"] in ("world.crashed", "world.restarted", "world.fault_began", "world.fault_ended"):
            assert "cause" not in line, "it comes from outside"
        if line["event"] == "world.sent":
            assert cause["event"] in ("world.delivered", "world.timer")
            assert cause["node"] == line["node"]


def test_each_message_sent_is_delivered_or_dropped_once_with_a_reason() -> None:
    trace: list[Entry] = []
    busy_run(trace=trace)
    lines = [json.loads(entry.line()) for entry in trace]
    ends: dict[int, int] = {line["id"]: 0 for line in lines if line["event"] == "world.sent"}
    for line in lines:
        if line["event"] in ("world.delivered", "world.dropped"):
            ends[line["cause"]] += 1
        if line["event"] == "world.dropped":
            assert line["reason"]
    assert set(ends.values()) == {1}


def test_who_listens_to_rare_events_does_not_slow_down_messages() -> None:
    world, crashes = Probes(), list[str]()
    world.sinks.listen(lambda node, time, event: crashes.append(node), Crashed)
    world["a"].say("b", 1)
    world.run(S)
    assert world.hosts["a"].links["b"].plain
    world.hosts["b"].crash()
    assert crashes == ["b"]
    assert not world.sinks.wants(Sent)


def test_in_wire_mode_no_object_is_shared() -> None:
    for wire in (False, True):
        world, seen = Probes(wire=wire), list[Envelope[Any]]()
        world.client("client", lambda sender, envelope, seen=seen: seen.append(envelope))  # type: ignore[misc]
        sent = Envelope(Note(1, b"x"))
        world["a"].host.send("client", sent)
        world.run(S)
        assert seen == [sent]
        assert (seen[0] is sent) is not wire
