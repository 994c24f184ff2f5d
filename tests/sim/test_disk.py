"""A simulated disk keeps what was synced, forgets the rest in a crash, and takes its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.core.host import DiskError
from kvsim.core.waiting import Future
from kvsim.sim.settings import DiskSettings, MachineSettings
from tests.sim.probes import MS, US, Probes, S

SLOW = DiskSettings(sync_ns=MS, replace_ns=2 * MS, bandwidth_bytes_per_s=1_000_000)


def world_with(disk: DiskSettings, seed: int = 0) -> Probes:
    return Probes(("a",), machines=MachineSettings(cpu="null", disk=disk), seed=seed)


def done_at(world: Probes, *futures: Future[None]) -> list[int]:
    times: list[int] = []
    for future in futures:
        future.when_done(lambda _: times.append(world.now()))
    world.run(world.now() + S)
    return times


def test_operations_queue_and_bytes_take_time() -> None:
    world = world_with(SLOW)
    disk = world["a"].host.disk
    _ = disk.append("log", bytes(500))
    assert done_at(world, disk.sync("log"), disk.replace("other", bytes(1_000)), disk.sync("log")) == [
        MS + 500 * US,
        MS + 500 * US + 2 * MS + 1_000 * US,
        MS + 500 * US + 2 * MS + 1_000 * US + MS,
    ]
    counts = world.counts
    assert (counts.syncs, counts.disk_bytes) == (3, 1_500)


def test_an_append_is_done_at_once_unless_it_is_said_to_take_time() -> None:
    quick, slow = world_with(DiskSettings()), world_with(DiskSettings(append_ns=30 * US))
    assert done_at(quick, quick["a"].host.disk.append("log", b"x")) == [0]
    assert done_at(slow, slow["a"].host.disk.append("log", b"x")) == [30 * US]


def test_a_full_disk_refuses_and_keeps_a_reserve() -> None:
    world = world_with(DiskSettings(size_bytes=1_000, reserve=0.1))
    disk = world["a"].host.disk
    _ = disk.append("log", bytes(900))
    assert not disk.full()
    _ = disk.append("log", bytes(50))
    assert disk.full()
    refused = disk.append("log", bytes(51))
    assert isinstance(refused.error, DiskError)
    assert isinstance(disk.replace("new", bytes(51)).error, DiskError)
    assert "no space left" in str(refused.error)
    assert disk.append("log", bytes(50)).error is None


def test_a_crash_forgets_a_sync_that_was_not_done() -> None:
    world = world_with(SLOW)
    _ = world["a"].host.disk.append("log", b"lost"), world["a"].host.disk.sync("log")
    world.run(MS // 2)
    world.hosts["a"].crash()
    world.hosts["a"].restart()
    assert world["a"].recovered.files == {}
    world.run(S)
    assert world.hosts["a"].storage.contents() == {}, "the old life's sync came through"


def test_a_replace_that_was_not_done_leaves_the_old_content_and_what_follows_is_gone() -> None:
    world = world_with(SLOW)
    disk = world["a"].host.disk
    _ = disk.append("f", b"old"), disk.sync("f")
    world.run(S)
    _ = disk.replace("f", b"new"), disk.append("f", b" and more")
    world.run(S + MS)
    world.hosts["a"].crash()
    world.hosts["a"].restart()
    assert world["a"].recovered.files == {"f": b"old"}


def test_a_replace_that_was_done_stays_but_not_what_was_appended_after_it() -> None:
    world = world_with(SLOW)
    disk = world["a"].host.disk
    _ = disk.append("f", b"old"), disk.replace("f", b"new"), disk.append("f", b" and more")
    world.run(S)
    world.hosts["a"].crash()
    world.hosts["a"].restart()
    assert world["a"].recovered.files == {"f": b"new"}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.binary(min_size=1, max_size=5)),
        st.tuples(st.just("sync"), st.just(b"")),
        st.tuples(st.just("replace"), st.binary(max_size=5)),
        st.tuples(st.just("wait"), st.binary(min_size=1, max_size=1)),
        st.tuples(st.just("crash"), st.just(b"")),
    ),
    max_size=30,
)


@pytest.mark.parametrize("torn", [False, True])
@given(steps=STEPS, seed=st.integers(0, 3))
def test_a_crash_keeps_no_unsynced_bytes_but_a_torn_part_where_that_is_asked_for(
    torn: bool, steps: list[tuple[str, bytes]], seed: int
) -> None:
    """Compared with a few obvious lines: what the file held when the last operation was issued that is now done."""
    world = world_with(DiskSettings(sync_ns=MS, replace_ns=MS, torn=torn), seed)
    content, durable = b"", b""
    replaced_after_durable = False

    for step, data in [*steps, ("crash", b"")]:
        disk = world["a"].host.disk
        if step == "append":
            content += data
            _ = disk.append("f", data)
        elif step in ("sync", "replace"):
            if step == "replace":
                content, replaced_after_durable = data, True

            def keep(_: Future[None], held: bytes = content, replaced: bool = step == "replace") -> None:
                nonlocal durable, replaced_after_durable
                durable = held
                replaced_after_durable = replaced_after_durable and not replaced

            (disk.replace("f", data) if step == "replace" else disk.sync("f")).when_done(keep)
        elif step == "wait":
            world.run(world.now() + data[0] * MS // 50)
        else:
            world.hosts["a"].crash()
            world.hosts["a"].restart()
            kept = world["a"].recovered.files.get("f", b"")
            if torn and not replaced_after_durable:
                assert kept.startswith(durable)
                assert content.startswith(kept) or kept == durable
            elif torn:
                assert kept == durable or kept.startswith(durable)
            else:
                assert kept == durable
            content = durable = kept
            replaced_after_durable = False


def test_torn_writes_differ_from_crash_to_crash() -> None:
    kept = []
    for seed in range(8):
        world = world_with(DiskSettings(torn=True), seed)
        _ = world["a"].host.disk.append("f", bytes(100))
        world.hosts["a"].crash()
        kept.append(len(world.hosts["a"].storage.contents().get("f", b"")))
    assert len(set(kept)) > 4
    assert all(0 <= length <= 100 for length in kept)
