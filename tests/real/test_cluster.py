"""Real clusters: they keep what they acknowledged through kills, say why they do not start, leave nothing behind."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from kvsim.core.operation import OperationError, TooLarge, Unavailable
from kvsim.real.cluster_file import ClusterFileError, read_cluster_file
from kvsim.real.control import AskStatus
from kvsim.real.filter import LinkFault
from kvsim.real.process import EXIT_BAD_INPUT, EXIT_DEFECT, EXIT_DISK
from kvsim.real.supervisor import Supervisor, SupervisorError, new_cluster_file
from tests.real.conftest import PATIENCE_S, PATIENT, QUORUM, Session, Start, talk

RAFT = {"replication": "raft"}
PRIMARY_BACKUP = {"replication": "primary_backup"}


async def write_some(session: Session) -> dict[bytes, bytes]:
    """Write until fifty writes are acknowledged; gives these."""
    acknowledged = {}
    number = 0
    while len(acknowledged) < 50:
        number += 1
        try:
            await session.put(b"key-%d" % number, b"value-%d" % number)
        except OperationError as error:
            if not error.kind.retryable:
                raise
        else:
            acknowledged[b"key-%d" % number] = b"value-%d" % number
    return acknowledged


async def missing(session: Session, acknowledged: dict[bytes, bytes]) -> list[bytes]:
    """Which acknowledged writes a reader does not find."""
    return [key for key, value in acknowledged.items() if await session.until_answered(key) != value]


@pytest.mark.parametrize("design", [QUORUM, RAFT, PRIMARY_BACKUP], ids=["quorum", "raft", "primary_backup"])
def test_no_acknowledged_write_is_lost_when_all_nodes_are_killed(design: dict[str, object], start: Start) -> None:
    cluster = start(design)
    acknowledged = talk(cluster, write_some)
    cluster.kill_all()
    cluster.restart(*cluster.nodes)
    assert talk(cluster, lambda session: missing(session, acknowledged)) == []


def test_a_node_killed_under_load_and_restarted_loses_no_acknowledged_write(start: Start) -> None:
    cluster = start(QUORUM)

    async def load(session: Session) -> dict[bytes, bytes]:
        writing = asyncio.create_task(write_some(session))
        await asyncio.to_thread(cluster.kill, "data-2")
        before = await writing
        await asyncio.to_thread(cluster.restart, "data-2")
        session.number = 1_000
        return before | await write_some(session)

    acknowledged = talk(cluster, load)
    assert cluster.ended.empty(), "a kill that was asked for is no surprise"
    for lost in ("data-1", "data-3"):  # whichever replica is asked, data-2 among them
        cluster.kill(lost)
        cluster.restart(lost)
    assert talk(cluster, lambda session: missing(session, acknowledged)) == []


def test_a_node_that_dies_unasked_is_reported_with_its_signal(start: Start) -> None:
    cluster = start(QUORUM)
    os.kill(cluster.pid("data-3"), signal.SIGKILL)
    assert str(cluster.ended.get(timeout=PATIENCE_S)) == "data-3 was killed by SIGKILL"
    assert not cluster.running("data-3")


def test_a_node_that_dies_while_it_is_asked_is_named_and_the_cluster_stops_in_good_order(start: Start) -> None:
    cluster = start(QUORUM)
    process = cluster._process("data-3")
    os.kill(cluster.pid("data-3"), signal.SIGKILL)
    cluster.ended.get(timeout=PATIENCE_S)
    with pytest.raises(SupervisorError, match="data-3 has ended"):
        process.order(AskStatus())
    cluster.stop()  # what it was asked still lies in the pipe
    assert not any(cluster.running(node) for node in cluster.nodes)


def test_the_node_s_name_ends_its_command_line(start: Start) -> None:
    cluster = start(QUORUM)
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(cluster.pid("data-2"))], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[-1] == "data-2"


def test_stop_ends_every_process_in_good_order_paused_ones_too(start: Start) -> None:
    cluster = start(QUORUM)
    pids = [cluster.pid(node) for node in cluster.nodes]
    cluster.pause("data-1")
    cluster.stop()
    assert not any(_runs(pid) for pid in pids)
    assert {node: cluster.exit_code(node) for node in cluster.nodes} == dict.fromkeys(cluster.nodes, 0)


def test_a_paused_node_answers_nothing_until_it_is_resumed(start: Start) -> None:
    cluster = start({"replication": "single_copy", "timeout": "300ms"}, nodes=1)

    async def conversation(session: Session) -> bytes | None:
        await session.until_put(b"k", b"v")
        cluster.pause("data-1")
        with pytest.raises(OperationError, match=r"no answer|second|ms"):
            await session.get(b"k")
        cluster.resume("data-1")
        return await session.until_answered(b"k")

    assert talk(cluster, conversation) == b"v"


def test_a_partition_stops_the_minority_and_healing_brings_it_back(start: Start) -> None:
    cluster = start({**QUORUM, "timeout": "300ms"})

    async def conversation(session: Session) -> bytes | None:
        await session.until_put(b"k", b"before")
        cluster.partition(["frontend-1", "data-1"], ["data-2", "data-3"])
        with pytest.raises(OperationError):
            await session.put(b"k", b"during")
        cluster.set_faults({})
        await session.until_put(b"another", b"after")  # what became of the former write is not known, even now
        return await session.until_answered(b"another")

    assert talk(cluster, conversation) == b"after"


@pytest.mark.parametrize("how", ["restarted", "resumed"])
def test_faults_stand_for_a_node_that_was_down_or_paused_when_they_began(how: str, start: Start) -> None:
    cluster = start({"replication": "single_copy", "timeout": "300ms"}, nodes=1)
    cut = {"frontend-1": {"data-1": LinkFault(cut=True)}}
    if how == "restarted":
        cluster.kill("frontend-1")
        cluster.set_faults(cut)
        cluster.restart("frontend-1")
    else:
        cluster.pause("frontend-1")
        cluster.set_faults(cut)
        assert cluster.role("leader") is None, "who is paused is not asked, as it could not answer"
        cluster.resume("frontend-1")

    async def conversation(session: Session) -> bytes | None:
        with pytest.raises(OperationError):
            await session.get(b"k")
        cluster.set_faults({})
        return await session.until_answered(b"k")

    assert talk(cluster, conversation) is None


def test_nodes_die_with_their_supervisor_however_it_ends(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from kvsim.real.supervisor import *\n"
        "s = Supervisor(new_cluster_file({'replication': 'single_copy'}, nodes=1, data_dir=Path(sys.argv[1])))\n"
        "s.start(); print(*(s.pid(n) for n in s.nodes), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        supervisor.kill()
    deadline = time.monotonic() + PATIENCE_S
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a node outlived its supervisor"


def test_a_nearly_full_disk_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    file = new_cluster_file({"replication": "single_copy", **PATIENT}, nodes=1, data_dir=tmp_path)

    async def write(session: Session) -> None:
        await session.until_put(b"k", b"before")

    async def write_more(session: Session) -> bytes | None:
        with pytest.raises(Unavailable, match="disk"):
            await session.put(b"k", b"more")
        return await session.get(b"k")

    with Supervisor(file) as cluster:
        talk(cluster, write)
    with Supervisor(msgspec.structs.replace(file, reserve_bytes=1 << 60)) as cluster:
        assert talk(cluster, write_more) == b"before"
        assert cluster.ended.empty(), "the node goes on"


def test_values_up_to_the_limit_pass_and_larger_ones_are_refused(start: Start) -> None:
    cluster = start({**QUORUM, "durability": "memory"})
    limit = cluster.plan.design.limits.value_bytes

    async def conversation(session: Session) -> bytes | None:
        await session.until_put(b"k", bytes(limit))
        with pytest.raises(TooLarge, match="split it"):
            await session.put(b"k", bytes(limit + 1))
        return await session.get(b"k")

    assert talk(cluster, conversation) == bytes(limit)


def test_limits_that_no_message_could_hold_are_refused(tmp_path: Path) -> None:
    design = {"replication": "single_copy", "limits": {"value_bytes": 1 << 30}}
    with pytest.raises(ClusterFileError, match="lower key_bytes or value_bytes"):
        Supervisor(new_cluster_file(design, nodes=1, data_dir=tmp_path))


def test_garbage_at_a_node_s_port_is_counted_and_harms_nobody(start: Start) -> None:
    cluster = start(QUORUM)
    address = ("127.0.0.1", cluster.file.addresses["data-1"].port)
    with socket.create_connection(address) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        datagrams.sendto(b"garbage", address)
        stream.settimeout(PATIENCE_S)
        assert _rest_of(stream) == b"", "the node hangs up"
    assert talk(cluster, lambda session: session.until_put(b"k", b"v"))
    while "corrupt_datagrams" not in (counts := cluster.status("data-1")["counts"]):
        continue  # the datagram may be read after the question
    assert (counts["corrupt_frames"], counts["corrupt_datagrams"]) == (1, 1)
    assert "a stranger sent a frame of 1195725856 bytes" in cluster.log("data-1").read_text()


def test_peers_serve_clients_themselves(start: Start) -> None:
    cluster = start({**QUORUM, "topology": "peer_to_peer"})
    assert cluster.nodes == ("node-1", "node-2", "node-3")
    assert talk(cluster, lambda session: session.until_put(b"k", b"v"), door="node-3")
    assert talk(cluster, lambda session: session.until_answered(b"k"), door="node-1") == b"v"


def test_a_port_in_use_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = new_cluster_file(QUORUM, nodes=3, data_dir=tmp_path, http_ports=[port])
        with pytest.raises(SupervisorError, match=f"127.0.0.1:{port}: Address already in use; stop what uses it"):
            Supervisor(file).start()


def test_a_node_that_cannot_start_says_why_and_the_others_are_stopped(tmp_path: Path) -> None:
    file = new_cluster_file(QUORUM, nodes=3, data_dir=tmp_path)
    (tmp_path / "data-2").write_text("not a directory")
    cluster = Supervisor(file)
    with pytest.raises(SupervisorError, match=r"data-2 did not start: .*choose another data directory"):
        cluster.start()
    assert not any(cluster.running(node) for node in cluster.nodes)


def test_two_clusters_cannot_share_a_data_directory(start: Start, tmp_path: Path) -> None:
    cluster = start(QUORUM)
    again = new_cluster_file(QUORUM, nodes=3, data_dir=Path(cluster.file.data_dir))
    with pytest.raises(SupervisorError, match=f"in use by process {os.getpid()}"):
        Supervisor(again).start()
    assert talk(cluster, lambda session: session.until_put(b"k", b"v"))


def test_a_data_directory_of_another_design_is_refused(start: Start) -> None:
    cluster = start(QUORUM)
    cluster.stop()
    other = new_cluster_file(RAFT, nodes=3, data_dir=Path(cluster.file.data_dir))
    with pytest.raises(SupervisorError, match="holds the data of another design"):
        Supervisor(other).start()


def test_a_damaged_journal_stops_its_node_and_no_restart_hides_it(start: Start) -> None:
    cluster = start({"replication": "single_copy"}, nodes=1)
    talk(cluster, write_some)
    cluster.kill("data-1")
    [journal] = (cluster.node_dir("data-1") / "files").iterdir()
    damaged = bytearray(journal.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    journal.write_bytes(damaged)
    with pytest.raises(SupervisorError, match="is damaged and others follow it"):
        cluster.restart("data-1")
    with pytest.raises(SupervisorError, match="not started again"):
        cluster.restart("data-1")
    assert cluster.exit_code("data-1") == EXIT_DISK


def test_a_defect_in_a_student_s_strategy_is_named_with_its_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from kvsim.strategies.replication.single_copy import SingleCopy\n"
        "class Mine(SingleCopy):\n"
        "    async def write(self, op):\n"
        "        return 1 // 0\n"
    )
    cluster = start({"replication": "mine.py:Mine"}, nodes=1, folder=tmp_path)

    async def conversation(session: Session) -> None:
        with pytest.raises(OperationError):
            await session.put(b"k", b"v")

    talk(cluster, conversation)
    ended = cluster.ended.get(timeout=PATIENCE_S)
    assert (ended.node, ended.code) == ("data-1", EXIT_DEFECT)
    assert "ZeroDivisionError" in ended.reason and "mine.py line 4" in ended.reason


def test_a_wrong_command_line_or_file_is_a_short_error(tmp_path: Path) -> None:
    file = new_cluster_file(QUORUM, nodes=3, data_dir=tmp_path)
    file.write(tmp_path / "cluster.json")
    for arguments, said in (
        ([], "usage"),
        ([str(tmp_path / "nothing.json"), "data-1"], "No such file"),
        ([str(tmp_path / "cluster.json"), "data-9"], "no node 'data-9'; there are frontend-1, data-1"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "kvsim.real.process", *arguments], capture_output=True, text=True, check=False
        )
        assert ended.returncode == EXIT_BAD_INPUT
        assert said in ended.stderr and "Traceback" not in ended.stderr and ended.stderr.count("\n") == 1


def test_a_cluster_file_that_another_version_reads_otherwise_is_refused(tmp_path: Path) -> None:
    file = new_cluster_file(QUORUM, nodes=3, data_dir=tmp_path)
    msgspec.structs.replace(file, fingerprint="0123456789abcdef").write(tmp_path / "cluster.json")
    with pytest.raises(ClusterFileError, match="run one version on all nodes"):
        read_cluster_file(tmp_path / "cluster.json")


def test_a_client_of_another_cluster_is_refused_with_the_reason(start: Start) -> None:
    one = start({"replication": "single_copy"}, nodes=1)
    other = start({"replication": "single_copy"}, nodes=1)
    stranger = Supervisor(msgspec.structs.replace(other.file, addresses=one.file.addresses))

    async def conversation(session: Session) -> None:
        with pytest.raises(OperationError, match=f"belongs to cluster {one.file.cluster_id}"):
            await session.put(b"k", b"v")

    talk(stranger, conversation)
    assert talk(one, lambda session: session.until_answered(b"k")) is None


def _rest_of(stream: socket.socket) -> bytes:
    try:
        return stream.recv(1_000)
    except ConnectionResetError:
        return b""


def _runs(pid: int) -> bool:
    """Whether a process is there that is more than a zombie, which its new parent may not have buried yet."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()[:1] not in ("", "Z")
