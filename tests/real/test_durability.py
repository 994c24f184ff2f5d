"""No durable write is acknowledged before its sync has ended: seen from outside, with syncs that the kernel delays."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kvsim.real.supervisor import Supervisor
from tests.conftest import require_command
from tests.real.conftest import PATIENCE_S, QUORUM, Session, Start, talk, until_done

SYNC_TAKES_S = 0.2
DESIGNS = {
    "single_copy": ({"replication": "single_copy"}, 1),
    "quorum": (QUORUM, 3),
    "raft": ({"replication": "raft"}, 3),
    "primary_backup": ({"replication": "primary_backup"}, 3),
}


@contextmanager
def slow_syncs(cluster: Supervisor) -> Iterator[None]:
    """Every fdatasync of the data nodes begins so much later."""
    strace = require_command("strace")
    tracers = []
    try:
        for node in cluster.plan.cluster.data:
            inject = f"inject=fdatasync:delay_enter={int(SYNC_TAKES_S * 1e6)}"
            command = [strace, "-f", "-e", "trace=fdatasync", "-e", inject, "-p", str(cluster.pid(node))]
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            tracers.append(tracer)
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace may not attach to processes here: {said.strip()}")
        yield
    finally:
        for tracer in tracers:
            tracer.terminate()
            tracer.communicate()


@pytest.mark.needs_command("strace")
@pytest.mark.parametrize(("design", "nodes"), DESIGNS.values(), ids=DESIGNS)
def test_a_write_is_acknowledged_only_after_the_sync(design: dict[str, object], nodes: int, start: Start) -> None:
    cluster = start(design, nodes=nodes)

    async def how_long(session: Session) -> float:
        async def write() -> float:
            begun = time.monotonic()
            await session.put(b"k", b"v")
            return time.monotonic() - begun

        return await until_done(write)

    while talk(cluster, how_long) >= SYNC_TAKES_S:
        continue  # without strace a write is fast, or the test would show nothing; on a busy machine not the first one
    with slow_syncs(cluster):
        assert talk(cluster, how_long) >= SYNC_TAKES_S


@pytest.mark.needs_command("strace")
def test_a_failed_sync_stops_the_node_and_nothing_is_acknowledged(start: Start) -> None:
    strace = require_command("strace")
    cluster = start({"replication": "single_copy", "timeout": "500ms"}, nodes=1)

    async def write(session: Session) -> str:
        try:
            await session.put(b"k", b"v")
        except Exception as error:  # noqa: BLE001 - which one is not the point
            return type(error).__name__
        return "acknowledged"

    talk(cluster, lambda session: session.until_put(b"k", b"v"))
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    with subprocess.Popen(
        [strace, "-f", *inject, "-p", str(cluster.pid("data-1"))], stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        assert talk(cluster, write) in ("OutcomeUnknown", "Unavailable")
        tracer.communicate()
    ended = cluster.ended.get(timeout=PATIENCE_S)
    assert ended.code == 74
    assert re.search(r"replica\.journal: Input/output error; the node stops", ended.reason)
