"""A node's CPU takes time, and its clocks may be wrong."""

import pytest

from kvsim.core.message import Envelope
from kvsim.core.settings import SettingsError
from kvsim.sim.clock import CALENDAR_START_NS
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
