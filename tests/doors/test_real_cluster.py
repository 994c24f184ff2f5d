"""The doors of real clusters: node processes behind them, people's own clients before them."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvsim.client import AsyncClient, Client
from kvsim.core.operation import AlreadyExists, Create, Found, Mismatch, NotServed, OperationError, RequestId
from kvsim.real.supervisor import Supervisor, new_cluster_file
from tests.doors.conftest import PATIENCE_S

RAFT = {
    # On a busy machine a leader may be silent for a while; a new election would make writes on their way unknown.
    "replication": {"strategy": "raft", "election_timeout": "2s"},
    "consistency": "linearizable",
    "durability": "disk",
    "timeout": "20s",
}
QUORUM = {
    "replication": {"strategy": "quorum", "n": 3, "r": 2, "w": 2},
    "consistency": "linearizable",
    "durability": "memory",
    "timeout": "20s",
}


def started(design: dict[str, Any], folder: Path) -> Supervisor:
    file = new_cluster_file(design, nodes=3, frontends=2, data_dir=folder, http_ports=[0, 0], resp_ports=[0, 0])
    return Supervisor(file, ready_timeout_s=PATIENCE_S)


def url(cluster: Supervisor, frontend: str = "frontend-1") -> str:
    return f"http://127.0.0.1:{cluster.file.http[frontend]}"


def resp(cluster: Supervisor, frontend: str = "frontend-1") -> redis.Redis:
    return redis.Redis(port=cluster.file.resp[frontend], socket_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 0))


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with started(RAFT, tmp_path_factory.mktemp("raft")) as cluster:
        with Client(url(cluster), retries=50) as client:
            client.put("warm", "up")  # a leader is there
        yield cluster


@pytest.fixture(scope="module")
def quorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with started(QUORUM, tmp_path_factory.mktemp("quorum")) as cluster:
        yield cluster


@pytest.fixture
def hasty_quorum(tmp_path: Path) -> Iterator[Supervisor]:
    with started({**QUORUM, "timeout": "300ms"}, tmp_path) as cluster:
        yield cluster


def until_answered(ask: Callable[[], Any]) -> Any:
    """Ask until there is an answer: a cluster without patience may fail an operation that it serves later."""
    while True:
        try:
            return ask()
        except (OperationError, redis.RedisError):
            continue


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True).stdout.decode().strip()


@pytest.mark.needs_command("redis-cli")
@pytest.mark.needs_command("curl")
def test_both_doors_of_all_frontends_show_one_store(raft: Supervisor) -> None:
    assert output("redis-cli", "-p", str(raft.file.resp["frontend-1"]), "set", "shared", "by redis-cli") == "OK"
    assert output("curl", "--silent", f"{url(raft, 'frontend-2')}/v1/kv/shared") == "by redis-cli"
    output("curl", "--silent", "-X", "PUT", "--data", "by curl", f"{url(raft, 'frontend-2')}/v1/kv/shared")
    with resp(raft, "frontend-2") as other:
        assert other.get("shared") == b"by curl"
        assert other.set("shared", "x", nx=True) is None
        assert other.set("shared", "y", xx=True)
        assert other.delete("shared", "absent") == 1


@pytest.mark.needs_command("redis-benchmark")
def test_redis_benchmark_runs_against_a_cluster(raft: Supervisor) -> None:
    port = str(raft.file.resp["frontend-1"])
    told = output("redis-benchmark", "-p", port, "-n", "300", "-c", "20", "-r", "50", "-t", "set,get", "--csv")
    assert [line.split(",")[0] for line in told.splitlines()[1:]] == ['"SET"', '"GET"']


def test_a_request_is_done_once_whichever_frontend_it_is_sent_to(raft: Supervisor) -> None:
    operation = Create(RequestId("ada", 1), b"once", b"v")
    with Client(url(raft)) as one, Client(url(raft, "frontend-2")) as two:
        assert one.perform(operation) == two.perform(operation)
        with pytest.raises(AlreadyExists):
            two.create("once", "v")


def test_compare_and_set_lets_one_of_many_win(raft: Supervisor) -> None:
    with Client(url(raft)) as client:
        client.put("counter", "0")

    async def add_one(client: AsyncClient) -> None:
        while True:
            found = await client.read("counter")
            assert isinstance(found, Found)
            with suppress(Mismatch):
                await client.cas("counter", str(int(found.value) + 1), expected_version=found.version)
                return

    async def race() -> bytes | None:
        async with AsyncClient(url(raft)) as one, AsyncClient(url(raft, "frontend-2")) as two:
            await asyncio.gather(*(add_one(client) for client in (one, two) for _ in range(5)))
            return await one.get("counter")

    assert asyncio.run(asyncio.wait_for(race(), PATIENCE_S)) == b"10"


def test_a_listing_has_the_keys_of_all_nodes_in_order(quorum: Supervisor) -> None:
    keys = [f"listed{number:03}".encode() for number in range(60)]
    with Client(url(quorum)) as client, resp(quorum) as other:
        for key in keys:
            client.put(key, b"v")
        first = client.scan("listed", limit=40)
        assert first.next is not None
        rest = client.scan(first.next)
        assert [item.key for item in (*first.items, *rest.items)] == keys
        assert sorted(other.scan_iter(count=7)) == keys
        assert other.dbsize() == 60


def test_a_design_that_cannot_judge_says_so_at_both_doors(quorum: Supervisor) -> None:
    with Client(url(quorum)) as client, resp(quorum) as other:
        client.put("k", "v")
        with pytest.raises(NotServed):
            client.delete("k")
        with pytest.raises(redis.ResponseError, match=r"KVSIM\.REMOVE"):
            other.delete("k")
        with pytest.raises(redis.ResponseError, match="conditional"):
            other.set("k", "w", nx=True)
        assert other.execute_command("KVSIM.REMOVE", "k") in ("OK", b"OK")
        assert client.get("k") is None


def test_without_a_majority_every_request_is_answered_and_the_connection_stays(hasty_quorum: Supervisor) -> None:
    with Client(url(hasty_quorum), retries=0) as client, resp(hasty_quorum) as other:
        until_answered(lambda: client.put("k", "v"))
        assert until_answered(lambda: other.get("k")) == b"v"
        connection = other.client_id()
        hasty_quorum.kill("data-2")
        hasty_quorum.kill("data-3")
        with ThreadPoolExecutor() as threads:
            waiting = [threads.submit(other.set, "k", "w") for _ in range(4)]
            replies = [str(one.exception(PATIENCE_S)) for one in waiting]
        assert all(reply.startswith(("UNKNOWN", "CLUSTERDOWN", "The cluster", "TRYAGAIN")) for reply in replies), (
            replies
        )
        with pytest.raises(OperationError) as failed:
            client.put("k", "w")
        assert failed.value.kind.retryable
        assert other.ping()
        assert connection in [int(known["id"]) for known in other.client_list()]


def test_the_cluster_is_described(raft: Supervisor) -> None:
    told = output("curl", "--silent", f"{url(raft)}/v1/cluster?key=k")
    assert '"raft"' in told
    assert '"data-3"' in told
