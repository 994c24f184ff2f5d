"""The disk of a node: durable when it says so, many syncs in one, whole after failures, and one process's alone."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.core.host import DiskError
from kvsim.core.waiting import Future
from kvsim.real import data_directory, disk
from kvsim.real.data_directory import DataDirectory, DataDirectoryError, incarnation_by_clock
from kvsim.real.disk import FileDisk
from tests.transport.ends import run


def settle(future: Future[None], error: Exception | None) -> None:
    if error is None:
        future.complete(None)
    else:
        future.fail(error)


async def outcome(future: Future[None]) -> Exception | None:
    """How an order to the disk ended."""
    done = asyncio.Event()
    future.when_done(lambda _: done.set())
    await done.wait()
    return future.error


def on_disk(folder: Path, test: Callable[[FileDisk], object], reserve_bytes: int = 0) -> None:
    async def with_disk() -> None:
        some = FileDisk(folder, settle, reserve_bytes)
        try:
            await test(some)  # type: ignore[misc]
        finally:
            some.close()

    run(with_disk)


def test_orders_take_effect_in_the_order_of_issue(tmp_path: Path) -> None:
    async def test(some: FileDisk) -> None:
        some.append("a", b"1")
        some.append("b", b"2")
        some.append("a", b"3")
        some.replace("b", b"new")
        some.append("b", b"er")
        assert await outcome(some.sync("b")) is None
        assert (tmp_path / "a").read_bytes() == b"13"
        assert (tmp_path / "b").read_bytes() == b"newer"
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]

    on_disk(tmp_path, test)


def test_many_who_wait_share_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = disk.sync_to_platter
    monkeypatch.setattr(disk, "sync_to_platter", lambda descriptor: (syncs.append(descriptor), real(descriptor)))

    async def test(some: FileDisk) -> None:
        waiting = []
        for number in range(500):
            some.append("log", b"%d;" % number)
            waiting.append(some.sync("log"))
        for future in waiting:
            assert await outcome(future) is None
        assert some.syncs == len(syncs)

    on_disk(tmp_path, test)
    assert (tmp_path / "log").read_bytes() == b"".join(b"%d;" % number for number in range(500))
    assert len(syncs) < 250


def test_a_sync_is_done_only_after_the_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story: list[str] = []
    monkeypatch.setattr(disk, "sync_to_platter", lambda _: story.append((tmp_path / "log").read_text()))

    async def test(some: FileDisk) -> None:
        some.append("log", b"acknowledged")
        some.sync("log").when_done(lambda _: story.append("told"))
        await outcome(some.sync("log"))

    on_disk(tmp_path, test)
    assert story[0] == "acknowledged" and "told" in story[1:]


def test_a_full_disk_fails_the_append_and_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if len(data) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:7])

    async def test(some: FileDisk) -> None:
        assert await outcome(some.append("log", b"sound record")) is None
        monkeypatch.setattr(disk.os, "write", write)
        error = await outcome(some.append("log", b"0123456789"))
        assert isinstance(error, DiskError) and "No space left" in str(error) and "make room" in str(error)
        monkeypatch.undo()
        assert isinstance(await outcome(some.sync("log")), DiskError), "after a failure nothing is promised any more"
        assert isinstance(await outcome(some.append("log", b"more")), DiskError)

    on_disk(tmp_path, test)
    assert (tmp_path / "log").read_bytes() == b"sound record"


def test_a_failed_sync_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def fail(descriptor: int) -> None:
        tries.append(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, "sync_to_platter", fail)

    async def test(some: FileDisk) -> None:
        some.append("log", b"record")
        assert isinstance(await outcome(some.sync("log")), DiskError)
        assert isinstance(await outcome(some.sync("log")), DiskError)
        assert isinstance(await outcome(some.replace("log", b"new")), DiskError)

    on_disk(tmp_path, test)
    assert len(tries) == 1
    assert (tmp_path / "log").read_bytes() == b"record"


def test_on_macos_the_drive_itself_is_made_to_write_files_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def full_sync(descriptor: int, request: int) -> int:
        assert request == 51
        status = os.fstat(descriptor)
        asked.extend(path.name for path in (tmp_path, *tmp_path.iterdir()) if os.path.samestat(status, path.stat()))
        return 0

    monkeypatch.setattr(disk, "FULL_SYNC", 51)
    monkeypatch.setattr(disk.fcntl, "fcntl", full_sync)
    monkeypatch.delattr(os, "fdatasync", raising=False)  # which macOS does not have
    monkeypatch.setattr(os, "fsync", None)  # which does not reach the platter there

    async def test(some: FileDisk) -> None:
        some.append("log", b"record")
        assert await outcome(some.sync("log")) is None
        assert await outcome(some.replace("log", b"snapshot")) is None

    on_disk(tmp_path, test)
    assert asked == [tmp_path.name, "log", "log.new", tmp_path.name], "a name is durable when its folder is"
    assert (tmp_path / "log").read_bytes() == b"snapshot"


def test_the_disk_counts_as_full_below_the_reserve(tmp_path: Path) -> None:
    async def roomy(some: FileDisk) -> None:
        assert not some.full()

    async def tight(some: FileDisk) -> None:
        assert some.full()

    on_disk(tmp_path, roomy, reserve_bytes=0)
    on_disk(tmp_path, tight, reserve_bytes=1 << 60)


def test_what_is_written_counts_against_the_space_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = os.statvfs(tmp_path)
    free = space.f_bavail * space.f_frsize
    monkeypatch.setattr(disk.os, "statvfs", lambda _: space)
    monkeypatch.setattr(disk, "SPACE_KNOWN_FOR_NS", 1 << 60)

    async def test(some: FileDisk) -> None:
        some._space_read_ns = -(1 << 61)
        assert not some.full()
        some.append("log", bytes(2_000))
        assert some.full()

    on_disk(tmp_path, test, reserve_bytes=free - 1_000)


def test_a_directory_is_one_process_s_alone(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path / "data-1"),
        pytest.raises(DataDirectoryError, match=f"in use by process {os.getpid()}"),
        DataDirectory(tmp_path / "data-1"),
    ):
        pass
    with DataDirectory(tmp_path / "data-1"):
        pass


def test_starts_are_counted_and_half_replacements_forgotten(tmp_path: Path) -> None:
    for start in (1, 2, 3):
        with DataDirectory(tmp_path / "data-1") as directory:
            recovered = directory.recover()
            assert recovered.incarnation == start
            assert "log.new" not in recovered.files
            (directory.files / "log").write_bytes(b"%d" % start)
            (directory.files / "log.new").write_bytes(b"half")
    assert recovered.files["log"] == b"2"


def test_what_a_killed_process_wrote_is_synced_before_the_node_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []

    def sync(descriptor: int) -> None:
        synced.append(os.pread(descriptor, 100, 0))

    with DataDirectory(tmp_path / "data-1") as directory:
        (directory.files / "log").write_bytes(b"in the cache")
        monkeypatch.setattr("kvsim.real.data_directory.sync_to_platter", sync)
        assert directory.recover().files == {"log": b"in the cache"}
    assert synced == [b"in the cache"]


def test_a_damaged_count_of_starts_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data-1") as directory:
        (tmp_path / "data-1" / "incarnation").write_text("lots")
        with pytest.raises(DataDirectoryError, match="delete this node's directory"):
            directory.recover()


def test_incarnations_by_the_clock_never_repeat() -> None:
    async def test() -> None:
        first, second = await incarnation_by_clock(), await incarnation_by_clock()
        assert first < second < 1 << 31

    run(test)
    assert data_directory.TICK_NS == 125_000_000
