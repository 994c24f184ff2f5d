"""A real cluster's nodes, replayed from their recordings, do again what they did; an altered recording shows."""

import asyncio
from pathlib import Path

import pytest

from kvsim.core.message import SECOND
from kvsim.core.operation import OperationError
from kvsim.real.recording import (
    AnyEntry,
    Calendar,
    Clock,
    Delivered,
    Failed,
    Fired,
    Full,
    Happened,
    Input,
    RecordingError,
    Sent,
    Settled,
    Written,
    read_recording,
    write_recording,
)
from kvsim.real.replay import Diverged, replay, replay_entries
from kvsim.real.supervisor import Supervisor
from tests.real.conftest import PATIENCE_S, PATIENT, QUORUM, Session, Start, talk

DESIGNS = {
    "quorum": {**QUORUM, "membership": "heartbeat"},
    "quorum in memory": {**QUORUM, "durability": "memory"},
    "raft": {"replication": "raft"},
    "primary_backup": {"replication": "primary_backup"},
}


async def load(session: Session) -> None:
    await session.until_answered(b"key-0")
    await asyncio.gather(*(session.until_put(b"key-%d" % (number % 20), b"value-%d" % number) for number in range(100)))
    await asyncio.gather(*(session.until_answered(b"key-%d" % (number % 20)) for number in range(100)))


def recordings(cluster: Supervisor) -> list[Path]:
    return sorted(path for node in cluster.nodes for path in cluster.node_dir(node).glob("recording-*"))


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_the_replay_of_every_node_gives_its_sends_writes_and_events_again(
    design: dict[str, object], start: Start
) -> None:
    cluster = start(design, record=True)
    talk(cluster, load)
    cluster.kill("data-2")
    cluster.restart("data-2")
    talk(cluster, load)
    cluster.stop()
    replayed = [replay(path) for path in recordings(cluster)]
    assert len(replayed) == len(cluster.nodes) + 1, "a recording for each life of a node"
    assert sum(one.sends for one in replayed) > 400
    if design.get("durability") != "memory":
        assert sum(one.writes for one in replayed) > 100


def test_what_comes_through_a_door_is_replayed_too(start: Start) -> None:
    import redis

    cluster = start(QUORUM, record=True, resp_ports=[0])
    with redis.Redis(port=cluster.file.resp["frontend-1"]) as client:
        for number in range(20):
            client.set(f"key-{number}", "value")
    cluster.stop()
    frontend = cluster.node_dir("frontend-1") / "recording-1"
    senders = {entry.sender for entry in read_recording(frontend) if isinstance(entry, Delivered)}
    assert "door-frontend-1" in senders
    assert replay(frontend).sends >= 40


def test_a_node_that_failed_fails_in_the_replay_too(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from kvsim.strategies.replication.single_copy import SingleCopy\n"
        "class Mine(SingleCopy):\n"
        "    async def write(self, op):\n"
        "        return 1 // 0\n"
    )
    cluster = start({"replication": "mine.py:Mine", "timeout": "300ms"}, nodes=1, folder=tmp_path, record=True)

    async def conversation(session: Session) -> None:
        with pytest.raises(OperationError):
            await session.put(b"k", b"v")

    talk(cluster, conversation)
    assert cluster.ended.get(timeout=PATIENCE_S).node == "data-1"
    recording = cluster.node_dir("data-1") / "recording-1"
    entries = read_recording(recording)
    assert entries[-1] == Failed("ZeroDivisionError: integer division or modulo by zero")
    replay(recording)
    with pytest.raises(Diverged):
        replay_entries([*entries[:-1], Failed("another reason")])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[AnyEntry]:
    """The recording of a data node of a quorum cluster."""
    from kvsim.real.supervisor import new_cluster_file

    file = new_cluster_file({**QUORUM, **PATIENT}, nodes=3, data_dir=tmp_path_factory.mktemp("recorded"), record=True)
    with Supervisor(file) as cluster:
        talk(cluster, load)
    entries = read_recording(cluster.node_dir("data-1") / "recording-1")
    replay_entries(entries)
    return entries


def altered(entry: AnyEntry) -> AnyEntry | None:
    """The entry with another content, or None where it has none that the node's acts depend on."""
    match entry:
        case Delivered(sender, envelope) if b"value-" in envelope:
            return Delivered(sender, envelope.replace(b"value-", b"VALUE-"))
        case Calendar(time_ns):
            return Calendar(time_ns + 3_600 * SECOND)
        case Full(full):
            return Full(not full)
        case Settled(order, None):
            return Settled(order, "the disk failed")
        case Sent(to, envelope, channel):
            return Sent(to, envelope[:-1] + bytes((envelope[-1] ^ 1,)), channel)
        case Written(order, file, data) if data:
            return Written(order, file, data[:-1] + bytes((data[-1] ^ 1,)))
        case Happened(event, _):
            return Happened(event, b"{}")
    return None


@pytest.mark.parametrize("kind", [Delivered, Calendar, Full, Settled, Sent, Written])
def test_one_altered_entry_makes_the_replay_diverge(kind: type[AnyEntry], recorded: list[AnyEntry]) -> None:
    places = [at for at, entry in enumerate(recorded) if isinstance(entry, kind) and altered(entry) is not None]
    at = places[len(places) // 2]
    changed = altered(recorded[at])
    assert changed is not None
    with pytest.raises(Diverged, match="recorded was"):
        replay_entries([*recorded[:at], changed, *recorded[at + 1 :]])


def led_to_something(entries: list[AnyEntry], at: int) -> bool:
    """Whether the node did anything upon this input; what is no input counts as something."""
    return not (isinstance(entries[at], Input) and isinstance(entries[at + 1], Input))


@pytest.mark.parametrize("kind", [Delivered, Settled, Sent, Written, Calendar])
def test_one_missing_entry_makes_the_replay_diverge(kind: type[AnyEntry], recorded: list[AnyEntry]) -> None:
    places = [
        at for at, entry in enumerate(recorded[:-1]) if isinstance(entry, kind) and led_to_something(recorded, at)
    ]
    at = places[len(places) // 2]
    with pytest.raises(Diverged):
        replay_entries([*recorded[:at], *recorded[at + 1 :]])


def test_a_timer_that_was_never_set_makes_the_replay_diverge(recorded: list[AnyEntry]) -> None:
    with pytest.raises(Diverged, match="no such timer"):
        replay_entries([*recorded, Fired(10**6)])


def test_a_clock_that_nobody_read_makes_the_replay_diverge(recorded: list[AnyEntry]) -> None:
    with pytest.raises(Diverged, match="nothing more"):
        replay_entries([*recorded, Clock(0)])


def test_a_recording_cut_short_anywhere_replays_to_its_end(recorded: list[AnyEntry]) -> None:
    for length in range(1, len(recorded), max(len(recorded) // 50, 1)):
        replay_entries(recorded[:length])


def test_a_recording_survives_its_file(recorded: list[AnyEntry], tmp_path: Path) -> None:
    write_recording(tmp_path / "copy", recorded)
    assert read_recording(tmp_path / "copy") == recorded


def test_what_is_no_recording_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"a shopping list, and nothing that a node ever did")
    with pytest.raises(RecordingError, match=r"no recording|whose recording"):
        replay(tmp_path / "notes")
