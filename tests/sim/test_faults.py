"""Faults strike who they aim at, when they should, and are healed; wrong ones are refused when they are read."""

from typing import Any

import pytest

from kvsim.core.design import Cluster
from kvsim.core.message import Channel
from kvsim.core.settings import SettingsError
from kvsim.core.trace import Event
from kvsim.sim.events import FaultBegan, FaultEnded
from kvsim.sim.faults import Crash, Delay, Loss, Partition, Pause, Window, install, read_faults
from kvsim.sim.settings import MachineSettings, NetworkSettings
from tests.sim.probes import MS, Probes, S

CLUSTER = Cluster(("data-1", "data-2", "data-3"), ("frontend-1",))


def said(*tables: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        read_faults(tables, "x.toml: faults", CLUSTER, ("zone-1", "zone-2"))
    return str(refused.value)


def test_faults_are_read() -> None:
    tables = [
        {"kind": "crash", "node": "leader", "at": "1s"},
        {"kind": "crash", "node": "data-1", "at": "1s", "lasts": "500ms"},
        {"kind": "partition", "at": "2s", "lasts": "1s", "sides": [["data-1"], ["data-2", "data-3"]]},
        {"kind": "loss", "share": 0.1, "at": "0s", "lasts": "1s"},
        {"kind": "delay", "delay": "5ms", "between": ["data-1", "data-2"], "at": "0s", "lasts": "1s"},
    ]
    assert read_faults(tables, "x.toml: faults", CLUSTER) == [
        Crash(node="leader", at_ns=S),
        Crash(node="data-1", at_ns=S, lasts_ns=500 * MS),
        Partition(sides=(("data-1",), ("data-2", "data-3")), at_ns=2 * S, lasts_ns=S),
        Loss(share=0.1, at_ns=0, lasts_ns=S),
        Delay(delay_ns=5 * MS, between=("data-1", "data-2"), at_ns=0, lasts_ns=S),
    ]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"kind": "partiton", "at": "1s"}, "x.toml: faults[0].kind: unknown 'partiton'; did you mean 'partition'?"),
        ({"at": "1s"}, "x.toml: faults[0].kind: missing; one of bridge, clock_drift"),
        ({"kind": "crash", "node": "dat-1", "at": "1s"}, "faults[0]: there is no node 'dat-1'; did you mean 'data-1'?"),
        ({"kind": "crash", "node": "data-1", "at": "-1s"}, "faults[0].at: "),
        ({"kind": "crash", "node": "data-1", "at_ns": -1}, "faults[0].at_ns: "),
        ({"kind": "crash", "node": "data-1", "at": "1s", "lasts": "0s"}, "faults[0].lasts: "),
        ({"kind": "crash", "at": "1s"}, "faults[0].node: missing"),
        ({"kind": "crash", "node": "data-1", "at": "2s", "until": "1s"}, "faults[0].until: is before at"),
        ({"kind": "loss", "share": 2, "at": "1s", "lasts": "1s"}, "faults[0].share: expected"),
        ({"kind": "partition", "at": "1s", "lasts": "1s", "sides": [["data-1"], []]}, "each side needs"),
        ({"kind": "partition", "at": "1s", "lasts": "1s", "sides": []}, "each side needs at least one node"),
        ({"kind": "partition", "at": "1s", "lasts": "1s", "sides": [["data-1"], ["data-1"]]}, "is on two sides"),
        ({"kind": "loss", "share": 0.1, "at": "1s"}, "faults[0].lasts: missing"),
        ("crash", "faults[0]: expected"),
        ({"kind": "crash", "node": "data-1"}, "faults[0].at: missing; say when it strikes"),
        ({"kind": "pause", "node": "data-1", "at": "1s", "lasts": "-1s"}, "a fault cannot end before it starts"),
        ({"kind": "crash", "node": "data-1", "when": "leader electd"}, "faults[0].when: unknown 'leader electd'"),
        ({"kind": "isolate", "node": "data-9", "at": "1s", "lasts": "1s"}, "faults[0]: there is no node 'data-9'"),
        ({"kind": "zone_outage", "zone": "zone-9", "at": "1s", "lasts": "1s"}, "network has no place 'zone-9'"),
        ({"kind": "pause", "node": "zone:zon-1", "at": "1s", "lasts": "1s"}, "has no place 'zon-1'"),
        ({"kind": "zone_partition", "zones": [], "at": "1s", "lasts": "1s"}, "faults[0].zones: name at least one"),
        ({"kind": "one_way", "senders": [], "at": "1s", "lasts": "1s"}, "faults[0].senders: name at least one node"),
        ({"kind": "flaky", "at": "1s", "lasts": "1s"}, "a flaky link needs at least one of"),
        ({"kind": "slow_cpu", "node": "data-1", "factor": 1, "at": "1s", "lasts": "1s"}, "faults[0].factor: expected"),
        ({"kind": "clock_drift", "node": "data-1", "ppm": -1_000_000, "at": "1s", "lasts": "1s"}, "ppm: expected"),
        ({"kind": "overload", "rate": 0, "at": "1s", "lasts": "1s"}, "faults[0].rate: expected"),
    ],
)  # fmt: skip
def test_wrong_faults_are_refused_with_place_and_reason(table: Any, reason: str) -> None:
    assert reason in said(table)


def test_all_problems_are_told_at_once() -> None:
    problems = said({"kind": "crash", "node": "x", "at": "1s"}, {"kind": "crash", "node": "y", "at": "1s"})
    assert "faults[0]" in problems
    assert "faults[1]" in problems


NODES = ("data-1", "data-2", "data-3")


def talk(world: Probes, every_ns: int = 10 * MS, until_ns: int = 3 * S) -> None:
    """Every node that is up sends every other a datagram, again and again; its number is the millisecond."""
    for time in range(every_ns // 2, until_ns, every_ns):
        world.at(time, lambda: _round(world))


def _round(world: Probes) -> None:
    up = [node for node in NODES if world.hosts[node].up]
    for source in up:
        for target in NODES:
            if source != target:
                world[source].say(target, world.now() // MS, Channel.DATAGRAM)


def silence(world: Probes, source: str, target: str) -> tuple[int, int] | None:
    """The first and the last millisecond of which no datagram arrived between two nodes."""
    missing = [ms for ms in range(5, 3_000, 10) if ms not in world[target].numbers(source)]
    return (missing[0], missing[-1]) if missing else None


def test_a_partition_cuts_its_sides_apart_for_its_time() -> None:
    world = Probes(NODES)
    talk(world)
    install(world, [Partition(sides=(("data-1",), ("data-2",)), at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    assert silence(world, "data-1", "data-2") == silence(world, "data-2", "data-1") == (1_005, 1_995)
    assert silence(world, "data-1", "data-3") is None, "who is on no side reaches all"


def test_one_side_alone_is_cut_off_from_all_other_nodes() -> None:
    world = Probes(NODES)
    talk(world)
    install(world, [Partition(sides=(("data-1",),), at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    assert silence(world, "data-1", "data-3") == silence(world, "data-2", "data-1") == (1_005, 1_995)
    assert silence(world, "data-2", "data-3") is None


def test_a_crashed_node_is_silent_and_restarts() -> None:
    world = Probes(NODES)
    talk(world)
    [window] = install(world, [Crash(node="data-2", at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    assert silence(world, "data-2", "data-1") == (1_005, 1_995)
    assert world["data-2"].recovered.incarnation == 2
    assert window == Window("crash", S, 2 * S, ("data-2",), True)


def test_what_reaches_a_paused_node_waits_and_nothing_is_lost() -> None:
    world = Probes(NODES)
    woken: list[int] = []
    for number in (1, 2):
        world.at(S + number * MS, lambda n=number: world["data-1"].say("data-2", n))  # type: ignore[misc]
    host = world["data-2"].host
    host.after(S + 5 * MS, lambda: woken.append(world.now()))
    world.at(S - 1, lambda: host.disk.append("log", b"x") and None)
    world.at(S - 1, lambda: host.disk.sync("log").when_done(lambda _: woken.append(world.now())))
    [window] = install(world, [Pause(node="data-2", at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    assert world["data-2"].numbers("data-1") == [1, 2]
    assert world["data-2"].times == [2 * S, 2 * S]
    assert woken == [2 * S, 2 * S], "a timer and an answer of the disk"
    assert window == Window("pause", S, 2 * S, ("data-2",), True)


def test_messages_that_waited_for_the_cpu_when_the_pause_began_wait_on() -> None:
    world = Probes(NODES, machines=MachineSettings(cpu={"probe.note": 10 * MS}))
    world.at(0, lambda: [world["data-1"].say("data-2", number) for number in range(5)] and None)
    install(world, [Pause(node="data-2", at_ns=25 * MS, lasts_ns=S)])
    world.run(4 * S)
    assert world["data-2"].times == [1 * MS, 11 * MS, 21 * MS, 1_025 * MS, 1_035 * MS]


def test_a_crash_ends_a_pause() -> None:
    world = Probes(NODES)
    install(world, [Pause(node="data-2", at_ns=S, lasts_ns=S), Crash(node="data-2", at_ns=S + MS, lasts_ns=MS)])
    world.at(S + 10 * MS, lambda: world["data-1"].say("data-2", 1))
    woken: list[int] = []
    world.at(S + 10 * MS, lambda: world["data-2"].host.after(MS, lambda: woken.append(world.now())) and None)
    world.run(4 * S)
    assert world["data-2"].times == woken == [S + 11 * MS]


def test_a_crash_without_an_end_is_for_good() -> None:
    world = Probes(NODES)
    [window] = install(world, [Crash(node="data-2", at_ns=S)])
    world.run(100 * S)
    assert not world.hosts["data-2"].up
    assert (window.start_ns, window.end_ns) == (S, S)


def test_loss_loses_its_share_where_it_should() -> None:
    world = Probes(NODES)
    talk(world, every_ns=MS)
    install(world, [Loss(share=0.3, between=("data-1", "data-2"), at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    got = world["data-2"].numbers("data-1")
    assert len([ms for ms in got if 1_000 <= ms < 2_000]) == pytest.approx(700, abs=60)
    assert len([ms for ms in got if not 1_000 <= ms < 2_000]) == 2_000
    assert len(world["data-3"].got) == 6_000


def test_delay_delays_for_its_time() -> None:
    world = Probes(NODES)
    talk(world)
    install(world, [Delay(delay_ns=50 * MS, at_ns=S, lasts_ns=S)])
    world.run(4 * S)
    probe = world["data-2"]
    delays = {
        ms: time // MS - ms for (sender, ms), time in zip(probe.got, probe.times, strict=True) if sender == "data-1"
    }
    assert {delay for ms, delay in delays.items() if 1_000 <= ms < 2_000} == {51}
    assert {delay for ms, delay in delays.items() if not 1_000 <= ms < 2_000} == {1}


def test_times_count_from_the_beginning_of_the_workload() -> None:
    world = Probes(NODES)
    world.run(S)
    [window] = install(world, [Crash(node="data-1", at_ns=S, lasts_ns=S)], start_ns=world.now())
    world.run(10 * S)
    assert (window.start_ns, window.end_ns) == (2 * S, 3 * S)


def test_a_fault_on_a_role_waits_until_somebody_has_it() -> None:
    world = Probes(NODES)
    leaders: list[str] = []
    world.role = lambda name: leaders[0] if leaders and name == "leader" else None  # type: ignore[method-assign]
    world.at(1_500 * MS, lambda: leaders.append("data-3"))
    leader, follower = install(
        world, [Crash(node="leader", at_ns=S, lasts_ns=S), Crash(node="a follower", at_ns=2 * S, lasts_ns=MS)]
    )
    world.run(10 * S)
    assert leader.nodes == ("data-3",)
    assert leader.start_ns == pytest.approx(1_500 * MS, abs=10 * MS)
    assert leader.end_ns == leader.start_ns + S
    assert follower.nodes in (("data-1",), ("data-2",))


def test_a_fault_on_a_role_that_nobody_ever_has_does_not_strike() -> None:
    world = Probes(NODES)
    [window] = install(world, [Crash(node="primary", at_ns=S, lasts_ns=S)])
    world.run(100 * S)
    assert not window.struck
    assert window.nodes == ()


def test_who_listens_is_told() -> None:
    world, told = Probes(NODES), list[tuple[int, str, Event]]()
    world.sinks.listen(lambda node, time, event: told.append((time, node, event)), FaultBegan, FaultEnded)
    install(world, [Crash(node="data-1", at_ns=S, lasts_ns=S)])
    world.run(3 * S)
    assert told == [
        (S, "data-1", FaultBegan("crash", ("data-1",))),
        (2 * S, "data-1", FaultEnded("crash", ("data-1",))),
    ]


def test_adding_a_fault_leaves_the_networks_draws_unchanged() -> None:
    def arrivals(*faults: Loss | Partition) -> dict[int, int]:
        world = Probes(NODES, NetworkSettings(loss=0.1), seed=5)
        talk(world)
        install(world, faults)
        world.run(4 * S)
        probe = world["data-2"]
        return {ms: at for (sender, ms), at in zip(probe.got, probe.times, strict=True) if sender == "data-1"}

    calm = arrivals()
    loss = Loss(share=0.5, at_ns=S, lasts_ns=S)
    lossy = arrivals(loss)
    both = arrivals(loss, Partition(sides=(("data-1",),), at_ns=2 * S, lasts_ns=500 * MS))
    assert len(both) < len(lossy) < len(calm)
    assert lossy.items() <= calm.items(), "what still arrives does so at the same time"
    assert both.items() <= lossy.items()
