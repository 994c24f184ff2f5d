"""A node's CPU takes time, and its clocks may be wrong."""

from pathlib import Path

import pytest

from kvsim.core.message import Envelope
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import read_experiment
from kvsim.sim.clock import CALENDAR_START_NS
from kvsim.sim.events import Crashed, OutOfMemory, Restarted
from kvsim.sim.settings import ClockSettings, MachineSettings, WorldSettings, describe_world, read_world
from tests.sim.probes import MS, US, Note, Probes, S, Work


def echo_times(machines: MachineSettings, *messages: Note | Work) -> list[int]:
    """When the answers of a node to messages that arrive at once reach the client, less the two ways of 1 ms."""
    world, answers = Probes(("a",), machines=machines), []
    world["a"].on_note = lambda sender, number: world["a"].say(sender, number)
    port = world.client("client", lambda sender, envelope: answers.append(world.now() - 2 * MS))
    for message in messages:
        port.send("a", Envelope(message))
    world.run(S)
    return answers


def test_answers_leave_when_the_cpu_is_done_and_messages_wait_for_each_other() -> None:
    assert echo_times(MachineSettings(cpu={"default": "50us"}), Note(1), Note(2), Note(3)) == [
        50 * US,
        100 * US,
        150 * US,
    ]


def test_the_time_is_stated_by_kind() -> None:
    cpu = {"default": "10us", "probe.work": "200us"}
    assert echo_times(MachineSettings(cpu=cpu), Note(1), Work(2), Note(3)) == [10 * US, 210 * US, 220 * US]


def test_by_default_the_cpu_takes_time_and_null_states_that_it_does_not() -> None:
    assert echo_times(MachineSettings(), Note(1)) == [20 * US]
    assert echo_times(MachineSettings(cpu="null"), Note(1)) == [0]


def test_cores_work_side_by_side() -> None:
    assert echo_times(MachineSettings(cpu={"default": "50us"}, cores=2), Note(1), Note(2), Note(3)) == [
        50 * US, 50 * US, 100 * US,
    ]  # fmt: skip


def test_with_several_cores_a_stream_has_the_order_in_which_work_is_done() -> None:
    machines = MachineSettings(cpu={"probe.note": "100us", "probe.work": "10us"}, cores=2)
    world, told = Probes(("a",), machines=machines), []
    world["a"].on_note = lambda sender, number: world["a"].say(sender, number)
    port = world.client("client", lambda sender, envelope: told.append(envelope.message.number))
    port.send("a", Envelope(Note(1)))
    port.send("a", Envelope(Work(2)))
    world.run(S)
    assert told == [2, 1]


def test_work_is_counted() -> None:
    world = Probes(machines=MachineSettings(cpu={"default": "50us"}))
    for number in range(3):
        world["a"].say("b", number)
    world["b"].say("b", 4)
    world.run(S)
    assert world.counts.by_node == {"a": 0, "b": 4}
    assert world.counts.busy_ns == {"a": 0, "b": 200 * US}
    assert world.counts.messages_to_self == 1
    assert world.counts.messages_sent == 3


def test_a_queue_of_poisson_arrivals_waits_as_theory_says() -> None:
    """M/D/1 at 60 % load: the mean wait is rho / (2 (1 - rho)) service times (Pollaczek and Khinchine)."""
    world = Probes(("a",), machines=MachineSettings(cpu={"default": "100us"}))
    arrived, waits = dict[int, int](), []
    chance = world.chance.stream("arrivals")
    world["a"].on_note = lambda sender, number: waits.append(world.now() - arrived[number])
    port = world.client("client", lambda sender, envelope: None)

    def arrive() -> None:
        number = len(arrived)
        arrived[number] = world.now() + MS
        port.send("a", Envelope(Note(number)))
        if number < 40_000:
            port.after(round(chance.exponential(100_000 / 0.6)), arrive)

    world.at(0, arrive)
    world.run(20 * S)
    assert sum(waits) / len(waits) == pytest.approx(0.6 / (2 * 0.4) * 100_000, rel=0.05)


def test_clocks_are_right_by_default_and_the_calendar_begins_on_a_fixed_date() -> None:
    world = Probes()
    world.run(S)
    assert world["a"].host.now() == S
    assert world["a"].host.wall() == CALENDAR_START_NS + S


def test_a_fast_clock_runs_ahead_and_its_timers_come_early() -> None:
    clock = ClockSettings(node="a", drift_ppm=100_000, offset_ns=-5 * S)
    world, fired = Probes(machines=MachineSettings(clocks=(clock,))), []
    world["a"].host.after(1_100 * MS, lambda: fired.append((world.now(), world["a"].host.now())))
    world.run(2 * S)
    assert fired == [(S, 1_100 * MS)]
    assert world["a"].host.wall() == CALENDAR_START_NS + 2_200 * MS - 5 * S
    assert world["b"].host.now() == 2 * S


def test_settings_are_read_with_units() -> None:
    table = {
        "network": {"graph": "star", "bandwidth": "8Mbit/s", "min_rto": "300ms", "loss": 0.01},
        "machines": {
            "cpu": {"default": "5us", "quorum.store": "1ms"},
            "disk": {"sync": "3ms", "size": "1MiB", "torn": True},
            "clocks": [{"node": "data-1", "drift_ppm": 40, "offset": "10ms"}],
        },
    }
    settings = read_world(table, "x.toml")
    assert settings.network.bandwidth_bytes_per_s == 1_000_000
    assert settings.network.min_rto_ns == 300 * MS
    assert settings.machines.service_times() == {"default": 5 * US, "quorum.store": MS}
    assert settings.machines.disk.sync_ns == 3 * MS
    assert settings.machines.clocks == (ClockSettings("data-1", 40, 10 * MS),)
    assert describe_world(WorldSettings())["machines"]["cpu"] == {"default": 20 * US}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"network": {"los": 0.1}}, "network.los: unknown key; did you mean 'loss'?"),
        ({"network": {"loss": 1.5}}, "network.loss: expected"),
        ({"network": {"order": "lifo"}}, "network.order: unknown 'lifo'"),
        ({"network": {"bandwidth": "fast"}}, "network.bandwidth: expected a quantity"),
        ({"machines": {"cpu": {"default": "-5us"}}}, "machines"),
        ({"machines": {"cpu": {"default": "soon"}}}, "expected a quantity like"),
        ({"machines": {"cpu": "none"}}, "machines.cpu"),
        ({"machines": {"cores": 0}}, "machines.cores: expected"),
        ({"machines": {"disk": {"sync": "-1ms"}}}, "machines.disk.sync: must not be negative"),
    ],
)
def test_bad_settings_are_refused_with_key_and_reason(table: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_world(table, "x.toml")
    assert said in str(refused.value)


# Memory ---------------------------------------------------------------------------------------------------------------


def holding(memory: object, **machines: object) -> tuple[Probes, list[tuple[int, str]]]:
    """A world in which b works for 10 ms on each message, and what befell it."""
    settings = read_world({"machines": {"memory": memory, "cpu": {"default": "10ms"}, **machines}}, "x.toml").machines
    world, told = Probes(machines=settings), list[tuple[int, str]]()
    kinds = (OutOfMemory, Crashed, Restarted)
    world.listen(lambda node, time, event: told.append((time // MS, type(event).__name__)), *kinds)
    return world, told


def test_a_node_that_holds_more_than_its_memory_is_killed_and_restarts_where_its_disk_was() -> None:
    world, told = holding("20kB", restart_after="500ms")
    first = world["b"]
    first.host.disk.append("log", b"kept in the cache")
    for number in range(30):
        world["a"].say("b", number, padding=b"x" * 1_000)
    world.run(S)
    assert told == [(10, "OutOfMemory"), (10, "Crashed"), (510, "Restarted")]
    assert world.hosts["b"].kills == 1
    assert world["b"].recovered.files == {"log": b"kept in the cache"}, "the machine did not lose power"
    [(peer, learned)] = world["a"].lost
    assert (peer, learned // MS) == ("b", 11), "the machine closed the connection"


def test_what_a_node_finds_after_it_was_killed_outlives_a_power_cut() -> None:
    world, _ = holding("20kB", restart_after="500ms")
    world["b"].host.disk.append("log", b"kept in the cache")
    for number in range(30):
        world["a"].say("b", number, padding=b"x" * 1_000)
    world.run(S)
    world.hosts["b"].crash()
    world.hosts["b"].restart()
    assert world["b"].recovered.files == {"log": b"kept in the cache"}, "it may have vouched for it"


def test_a_node_that_holds_less_or_has_no_limit_or_another_node_s_is_left_alone() -> None:
    for memory in ("50kB", {"default": "1kB", "b": "50kB"}, {"a": "20kB"}):
        world, told = holding(memory)
        for number in range(30):
            world["a"].say("b", number, padding=b"x" * 1_000)
        world.run(S)
        assert told == []
        assert len(world["b"].got) == 30


def test_a_killed_node_may_stay_down_and_a_power_cut_meanwhile_takes_the_cache_and_its_restart() -> None:
    for machines, cut in (({"out_of_memory": "stay down"}, False), ({"restart_after": "500ms"}, True)):
        world, told = holding("20kB", **machines)
        world["b"].host.disk.append("log", b"kept in the cache")
        for number in range(30):
            world["a"].say("b", number, padding=b"x" * 1_000)
        world.run(100 * MS)
        if cut:
            world.hosts["b"].crash()
        world.run(5 * S)
        assert [name for _, name in told] == ["OutOfMemory", "Crashed"]
        world.hosts["b"].restart()
        assert bool(world["b"].recovered.files) is not cut


def test_a_replace_that_a_kill_cuts_short_has_not_happened() -> None:
    world, _ = holding("20kB", disk={"replace": "1s"})
    disk = world["b"].host.disk
    disk.append("log", b"old")
    disk.replace("log", b"new")
    disk.replace("never", b"new")
    for number in range(30):
        world["a"].say("b", number, padding=b"x" * 1_000)
    world.run(3 * S)
    assert world["b"].recovered.files == {"log": b"old"}


@pytest.mark.parametrize("replication", ["quorum", "raft", "primary_backup", "single_copy"])
def test_data_that_outgrows_a_node_s_memory_is_in_metrics_and_notes(replication: str) -> None:
    table = {
        "design": {"replication": replication},
        "machines": {"memory": {"default": "1GiB", "data-1": "20kB"}, "out_of_memory": "stay down"},
        "workload": {
            "keys": {"count": 100, "distribution": "uniform"}, "value_size": "1KiB", "clients": 2, "duration": "1s",
            "settle": "10ms", "mix": {"put": 1},
        },
    }  # fmt: skip
    report = read_experiment(table, Path("x.toml")).run()
    [run] = report.runs
    assert run.metrics["out_of_memory_kills"] == 1
    assert "seed=0: data-1 held more than its memory and was killed once" in report.notes
    assert run.failures == ()
    unlimited = read_experiment({**table, "machines": {}}, Path("x.toml")).run()
    assert "out_of_memory_kills" not in unlimited.runs[0].metrics


def test_memory_of_a_node_that_is_not_there_is_refused() -> None:
    table = {"design": {"replication": "quorum"}, "machines": {"memory": {"data-9": "1MiB"}}}
    with pytest.raises(SettingsError, match=r"x.toml: machines.memory.data-9: there is no node 'data-9'"):
        read_experiment(table, Path("x.toml"))
