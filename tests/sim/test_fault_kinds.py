"""Each kind of fault does what it says, to whom it says, for as long as it says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kvsim.core.host import DiskError
from kvsim.core.message import Channel
from kvsim.core.waiting import Future
from kvsim.lab.experiment import read_setup
from kvsim.sim.clock import CALENDAR_START_NS
from kvsim.sim.events import Restarted
from kvsim.sim.faults import (
    Bridge,
    ClockDrift,
    ClockJump,
    Crash,
    DiskFull,
    DiskLost,
    FailingSync,
    Fault,
    Flaky,
    FlippedBits,
    Isolate,
    MajoritiesRing,
    OneWay,
    Overload,
    RollingRestart,
    SlowCpu,
    SlowDisk,
    SlowLink,
    ZoneOutage,
    ZonePartition,
    install,
)
from kvsim.sim.settings import DiskSettings, MachineSettings
from kvsim.sim.world import World
from tests.sim.probes import MS, Probes, S, still

FIVE = ("n1", "n2", "n3", "n4", "n5")
DURING = S + 500 * MS


def reached(world: Probes, at_ns: int) -> set[tuple[str, str]]:
    """Who reaches whom by a datagram sent at this time."""
    nodes = list(world.hosts)

    def say() -> None:
        for one in nodes:
            for other in nodes:
                if one != other:
                    world[one].say(other, at_ns // MS, Channel.DATAGRAM)

    world.at(at_ns, say)
    world.run(at_ns + 100 * MS)
    return {(one, other) for other in nodes for one in nodes if at_ns // MS in world[other].numbers(one)}


def with_fault(fault: Fault, **network: Any) -> Probes:
    world = Probes(FIVE, still(**network))
    install(world, [fault])
    return world


ALL = {(one, other) for one in FIVE for other in FIVE if one != other}


def test_isolate_cuts_one_node_off_from_all_others() -> None:
    world = with_fault(Isolate(node="n2", at_ns=S, lasts_ns=S))
    assert ALL - reached(world, DURING) == {link for link in ALL if "n2" in link}
    assert reached(world, 3 * S) == ALL


@pytest.mark.parametrize("clients", [True, False])
def test_isolate_cuts_clients_off_where_it_says_so(clients: bool) -> None:
    world = with_fault(Isolate(node="n2", at_ns=S, lasts_ns=S, clients=clients))
    heard: list[str] = []
    world.client("client", lambda sender, _: heard.append(sender))
    world.at(DURING, lambda: [world[node].say("client", 1, Channel.DATAGRAM) for node in FIVE] and None)
    world.run(2 * S)
    assert heard == [node for node in FIVE if node != "n2" or not clients]


def test_bridge_leaves_one_node_that_reaches_both_halves() -> None:
    seen = reached(with_fault(Bridge(node="n3", at_ns=S, lasts_ns=S)), DURING)
    assert {link for link in ALL if "n3" in link} <= seen
    friends = sorted(sum(link[0] == node for link in seen) for node in FIVE if node != "n3")
    assert friends == [2, 2, 2, 2], "one of its own half, and the bridge"


def test_one_way_cuts_one_direction_only() -> None:
    world = with_fault(OneWay(senders=("n1",), receivers=("n2", "n3"), at_ns=S, lasts_ns=S))
    assert ALL - reached(world, DURING) == {("n1", "n2"), ("n1", "n3")}


def test_each_node_on_the_ring_sees_a_majority_and_no_two_the_same() -> None:
    seen = reached(with_fault(MajoritiesRing(at_ns=S, lasts_ns=S)), DURING)
    views = {node: frozenset({node} | {other for one, other in seen if one == node}) for node in FIVE}
    assert {len(view) for view in views.values()} == {3}
    assert len(set(views.values())) == 5


ZONES = {"graph": "three_zones"}


def test_a_zone_partition_cuts_zones_off_with_their_clients() -> None:
    world = with_fault(ZonePartition(zones=("zone-1",), at_ns=S, lasts_ns=S), **ZONES)
    assert ALL - reached(world, DURING) == {(a, b) for a, b in ALL if (a in ("n1", "n4")) != (b in ("n1", "n4"))}


def test_a_zone_outage_takes_all_its_nodes_down_at_once() -> None:
    world = with_fault(ZoneOutage(zone="zone-2", at_ns=S, lasts_ns=S), **ZONES)
    world.run(DURING)
    assert [node for node in FIVE if not world.hosts[node].up] == ["n2", "n5"]
    world.run(3 * S)
    assert all(world.hosts[node].up for node in FIVE)


def test_a_rolling_restart_takes_one_node_after_the_other_down() -> None:
    world, told = Probes(FIVE), list[tuple[int, str]]()
    world.listen(lambda node, time, event: told.append((time // MS, node)), Restarted)
    install(world, [RollingRestart(at_ns=S, lasts_ns=S)])
    most = 0
    for ms in range(1_000, 2_001, 10):
        world.run(ms * MS)
        most = max(most, sum(not world.hosts[node].up for node in FIVE))
    assert most == 1
    assert told == [(1_100, "n1"), (1_300, "n2"), (1_500, "n3"), (1_700, "n4"), (1_900, "n5")]


def datagrams(fault: Fault, count: int = 1_000) -> list[int]:
    """The numbers in which n2 hears datagrams of n1, one a millisecond while the fault lasts."""
    world = with_fault(fault)
    for number in range(count):
        world.at(S + number * MS, lambda number=number: world["n1"].say("n2", number, Channel.DATAGRAM))  # type: ignore[misc]
    world.run(5 * S)
    return world["n2"].numbers("n1")


def test_a_flaky_link_loses_and_hurts_its_shares() -> None:
    got = datagrams(Flaky(loss=0.2, corrupt=0.1, at_ns=S, lasts_ns=S))
    assert len(got) == pytest.approx(1_000 * 0.8 * 0.9, abs=60)


def test_a_flaky_link_repeats_datagrams() -> None:
    got = datagrams(Flaky(duplicate=0.3, at_ns=S, lasts_ns=S))
    assert len(got) - len(set(got)) == pytest.approx(300, abs=60)
    assert set(got) == set(range(1_000))


def test_a_flaky_link_reorders_datagrams() -> None:
    got = datagrams(Flaky(reorder=0.3, at_ns=S, lasts_ns=S))
    assert sorted(got) == list(range(1_000))
    assert sum(later < earlier for earlier, later in pairwise(got)) > 100


def test_a_slow_link_makes_messages_queue() -> None:
    world = with_fault(SlowLink(bandwidth_bytes_per_s=1_000, between=("n1", "n2"), at_ns=S, lasts_ns=10 * S))
    world.at(
        DURING, lambda: [world["n1"].say(to, 0, Channel.DATAGRAM, b"x" * 900) for to in ("n2", "n2", "n3")] and None
    )
    world.run(10 * S)
    first, second = world["n2"].times
    assert first - DURING > 900 * MS
    assert second - first == pytest.approx(first - DURING, rel=0.01)
    assert world["n3"].times == [DURING + MS]


def test_a_slow_cpu_answers_all_the_same() -> None:
    world = Probes(FIVE, machines=MachineSettings(cpu={"default": "10ms"}))
    world["n2"].on_note = lambda sender, number: world["n2"].say(sender, number)
    install(world, [SlowCpu(node="n2", factor=5, at_ns=S, lasts_ns=S)])
    for at in (500 * MS, DURING, 3 * S):
        world.at(at, lambda: world["n1"].say("n2", 1))
    world.run(5 * S)
    assert [time - at for time, at in zip(world["n1"].times, (500 * MS, DURING, 3 * S), strict=True)] == [
        12 * MS, 52 * MS, 12 * MS,
    ]  # fmt: skip


def test_a_jumping_calendar_leaves_timers_alone() -> None:
    world = with_fault(ClockJump(node="n2", by_ns=3_600 * S, backwards=True, at_ns=S, lasts_ns=S))
    host = world["n2"].host
    fired: list[int] = []
    host.after(DURING, lambda: fired.append(world.now()))
    world.run(DURING)
    assert (host.wall(), host.now()) == (CALENDAR_START_NS + DURING - 3_600 * S, DURING)
    assert fired == [DURING]
    world.run(3 * S)
    assert host.wall() == CALENDAR_START_NS + 3 * S


def test_a_drifting_clock_never_jumps_and_stays_off_afterwards() -> None:
    world = with_fault(ClockDrift(node="n2", ppm=100_000, at_ns=S, lasts_ns=S))
    host = world["n2"].host
    shown = []
    for ms in (999, 1_000, 1_500, 2_000, 3_000):
        world.run(ms * MS)
        shown.append(host.now() // MS)
    assert shown == [999, 1_000, 1_550, 2_100, 3_100]


# Disks ----------------------------------------------------------------------------------------------------------------


def asked(world: Probes, ask: str, *data: Any) -> list[Any]:
    """How a disk's operation of n2 ends, and when: the error or None, filled in when it has."""
    told: list[Any] = []
    began = world.now()
    future: Future[None] = getattr(world["n2"].host.disk, ask)("log", *data)
    future.when_done(lambda done: told.append((done.error, world.now() - began)))
    return told


def test_a_full_disk_refuses_what_is_written_and_says_that_it_is_full() -> None:
    world = with_fault(DiskFull(node="n2", at_ns=S, lasts_ns=S))
    world.run(DURING)
    [(error, _)] = asked(world, "append", b"x")
    assert isinstance(error, DiskError)
    assert world["n2"].host.disk.full()
    world.run(3 * S)
    assert asked(world, "append", b"x") == [(None, 0)]


def test_a_slow_disk_takes_longer() -> None:
    world = Probes(FIVE, machines=MachineSettings(cpu="null", disk=DiskSettings(sync_ns=MS)))
    install(world, [SlowDisk(node="n2", factor=20, at_ns=S, lasts_ns=S)])
    times = []
    for at in (DURING, 3 * S):
        world.run(at)
        told = asked(world, "sync")
        world.run(at + 100 * MS)
        times.append(told[0][1])
    assert times == [20 * MS, MS]


def test_a_failing_sync_keeps_nothing() -> None:
    world = with_fault(FailingSync(node="n2", at_ns=S, lasts_ns=S))
    world.run(DURING)
    asked(world, "append", b"x")
    told = asked(world, "sync")
    world.run(DURING + 100 * MS)
    assert isinstance(told[0][0], DiskError)
    world.hosts["n2"].crash()
    assert world.hosts["n2"].storage.contents() == {}


def synced(world: Probes, data: bytes) -> None:
    world["n2"].host.disk.append("log", data)
    world["n2"].host.disk.sync("log")


def test_a_lost_disk_comes_back_empty() -> None:
    world = with_fault(DiskLost(node="n2", at_ns=S, lasts_ns=S))
    synced(world, b"written")
    world.run(3 * S)
    assert world["n2"].recovered.incarnation == 2
    assert world["n2"].recovered.files == {}


def test_flipped_bits_are_read_at_a_restart_and_only_while_it_lasts() -> None:
    world = with_fault(FlippedBits(node="n2", bits=1, at_ns=S, lasts_ns=S))
    synced(world, b"written")
    install(world, [Crash(node="n2", at_ns=1_200 * MS, lasts_ns=MS), Crash(node="n2", at_ns=3 * S, lasts_ns=MS)])
    world.run(2 * S)
    read = world["n2"].recovered.files["log"]
    assert sum((one ^ other).bit_count() for one, other in zip(read, b"written", strict=True)) == 1
    world.run(4 * S)
    assert world["n2"].recovered.files["log"] == b"written"


def test_a_crash_may_tear_what_was_not_synced_where_it_says_so() -> None:
    def kept(torn: bool) -> bytes:
        world = with_fault(Crash(node="n2", at_ns=S, lasts_ns=S, torn=torn))
        synced(world, b"safe")
        world.at(S - 1, lambda: world["n2"].host.disk.append("log", b"x" * 1_000) and None)
        world.run(3 * S)
        return world["n2"].recovered.files["log"]

    assert kept(torn=False) == b"safe"
    assert b"safe" < kept(torn=True) < b"safe" + b"x" * 1_000


# When, and whom -------------------------------------------------------------------------------------------------------


def test_an_event_sets_a_fault_off_once_it_happens() -> None:
    world = Probes(FIVE)
    [first, second] = install(
        world,
        [
            Crash(node="n2", when="node crashed", lasts_ns=S),
            Crash(node="n1", at_ns=S, lasts_ns=10 * S),
        ],
    )
    world.run(5 * S)
    assert (first.start_ns, first.end_ns, first.nodes) == (S, 2 * S, ("n2",))
    assert second.struck


def test_a_fault_gives_up_its_moment_and_its_role_at_the_time_that_it_says() -> None:
    world = Probes(FIVE)
    late: dict[str, Any] = {"lasts_ns": S, "until_ns": 2 * S}
    faults = [
        Crash(node="n2", when="node crashed", **late),
        Crash(node="leader", **late),
        Crash(node="n1", at_ns=3 * S, lasts_ns=S),
        Crash(node="n2", when="node crashed", lasts_ns=S, until_ns=3 * S),
    ]
    windows = install(world, faults)
    world.run(20 * S)
    assert [window.struck for window in windows] == [False, False, True, True]


def test_a_fault_does_not_wait_for_what_was_before_its_time() -> None:
    world = Probes(FIVE)
    faults: list[Fault] = [Crash(node="n1", at_ns=at * S, lasts_ns=MS) for at in (1, 3)]
    window, *_ = install(world, [Crash(node="n2", when="world.restarted", at_ns=2 * S, lasts_ns=S), *faults])
    world.run(5 * S)
    assert window.start_ns == 3 * S + MS


@pytest.mark.parametrize(("target", "count"), [("majority", 3), ("minority", 2), ("random", 1), ("zone:zone-1", 2)])
def test_targets_are_drawn(target: str, count: int) -> None:
    world = Probes(FIVE, still(graph="three_zones"))
    [window] = install(world, [Crash(node=target, at_ns=S, lasts_ns=S)])
    world.run(DURING)
    assert len(window.nodes) == count
    assert [node for node in FIVE if not world.hosts[node].up] == list(window.nodes)


def test_overload_asks_the_doors_at_its_rate() -> None:
    table = {
        "design": {"topology": "client_server", "replication": "single_copy"},
        "cluster": {"nodes": 1, "frontends": 2},
    }
    setup = read_setup((), table, Path("x.toml"))
    assert setup.world is not None
    world = World(setup.design, setup.cluster, setup.world, 0)
    world.start()
    install(world, [Overload(rate=2_000, at_ns=S, lasts_ns=S)])
    world.run(S)
    before = world.counts.by_node
    world.run(4 * S)
    asked = {node: world.counts.by_node[node] - before[node] for node in ("frontend-1", "frontend-2", "data-1")}
    assert asked["data-1"] == pytest.approx(2_000, abs=200)
    assert asked["frontend-1"] == pytest.approx(asked["frontend-2"], abs=4)
