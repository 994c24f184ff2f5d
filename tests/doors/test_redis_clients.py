"""The clients that people have: redis-cli, redis-benchmark, and redis-py in both its forms and both protocols."""

import asyncio
import subprocess

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvsim.core.operation import OutcomeUnknown, Unavailable
from tests.doors.conftest import PATIENCE_S, OpenDoors

NO_RETRY = Retry(NoBackoff(), 0)


def cli(doors: OpenDoors, *words: str, given: bytes = b"") -> str:
    command = ["redis-cli", "-p", str(doors.resp_port), *words]
    ran = subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode()


@pytest.mark.needs_command("redis-cli")
def test_redis_cli_sets_gets_and_scans(doors: OpenDoors) -> None:
    assert cli(doors, "set", "k", "v") == "OK\n"
    assert cli(doors, "-3", "get", "k") == "v\n"
    assert cli(doors, "-3", "get", "absent") == "\n"
    assert cli(doors, "--scan") == "k\n"
    assert cli(doors, "--scan", "--pattern", "x*") == ""
    assert cli(doors, "info").startswith("# Server")
    assert cli(doors, "mset", "a", "1", "b", "2") == "OK\n"
    assert cli(doors, "del", "a", "b", "c") == "2\n"


@pytest.mark.needs_command("redis-cli")
def test_redis_cli_reads_commands_from_its_input(doors: OpenDoors) -> None:
    assert cli(doors, given=b"set k v\nget k\nincr k\n").startswith("OK\nv\nERR INCR is not served")


@pytest.mark.needs_command("redis-cli")
def test_redis_cli_pipes_raw_commands(doors: OpenDoors) -> None:
    told = cli(doors, "--pipe", given=b"".join(b"SET k%d v\r\n" % number for number in range(1_000)))
    assert "errors: 0, replies: 1000" in told
    assert len(doors.store.records) == 1_000


@pytest.mark.needs_command("redis-cli")
def test_redis_cli_finds_big_keys(doors: OpenDoors) -> None:
    cli(doors, "set", "large", "x" * 1_000)
    [summary] = [line for line in cli(doors, "--bigkeys").splitlines() if line.startswith("Biggest string found")]
    assert "large" in summary
    assert summary.endswith("has 1000 bytes")


@pytest.mark.needs_command("redis-benchmark")
@pytest.mark.parametrize("options", [[], ["-P", "16", "-r", "1000"], ["-3"]])
def test_redis_benchmark_finishes(doors: OpenDoors, options: list[str]) -> None:
    command = ["redis-benchmark", "-p", str(doors.resp_port), "-n", "2000", "-c", "20", "-t", "ping,set,get,mset"]
    command += ["--csv", *options]
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    measured = [line.split(",")[0] for line in ran.stdout.decode().splitlines()[1:]]
    assert measured == ['"PING_INLINE"', '"PING_MBULK"', '"SET"', '"GET"', '"MSET (10 keys)"']
    assert b"rror" not in ran.stdout.replace(b"WARNING", b"")


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(doors: OpenDoors, protocol: int) -> None:
    with redis.Redis(port=doors.resp_port, protocol=protocol, client_name="test", retry=NO_RETRY) as client:
        assert client.ping()
        assert client.set("k", "v")
        assert client.set("k", "w", nx=True) is None
        assert client.set("k", "w", xx=True)
        assert client.get("k") == b"w"
        assert client.mset({"a": "1", "b": "2"})
        assert client.mget("a", "x", "b") == [b"1", None, b"2"]
        assert client.exists("a", "b", "x") == 2
        assert sorted(client.scan_iter(match="[ab]")) == [b"a", b"b"]
        assert client.dbsize() == 3
        assert client.delete("a", "b", "x") == 2
        assert client.info()["cluster_enabled"] == 0
        assert client.client_getname() in ("test", b"test")
        assert client.config_get("save") == {}
        assert client.time()[0] > 1_700_000_000
        pipeline = client.pipeline(transaction=False)
        assert pipeline.set("p", "1").get("p").delete("p").get("p").execute() == [True, b"1", 1, None]
        with pytest.raises(redis.ResponseError, match="expiry is not served"):
            client.set("k", "v", ex=10)
        with pytest.raises(redis.ResponseError, match="INCR"):
            client.incr("k")


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_on_asyncio(doors: OpenDoors, protocol: int) -> None:
    async def talk() -> None:
        async with redis.asyncio.Redis(port=doors.resp_port, protocol=protocol, retry=NO_RETRY) as client:
            await asyncio.gather(*(client.set(f"k{number}", str(number)) for number in range(50)))
            assert await client.mget([f"k{number}" for number in range(50)]) == [b"%d" % n for n in range(50)]
            assert await client.set("k0", "v", nx=True) is None
            assert len([key async for key in client.scan_iter(count=7)]) == 50
            pipeline = client.pipeline(transaction=False)
            assert await pipeline.get("k1").get("k2").execute() == [b"1", b"2"]

    asyncio.run(talk())


def test_redis_py_sends_an_unknown_write_only_once(doors: OpenDoors) -> None:
    """With its own retries on: an answered UNKNOWN is no broken connection, so nothing is sent again."""
    with redis.Redis(port=doors.resp_port) as client:
        client.ping()
        with (
            doors.store.failing(OutcomeUnknown("no answer in time")),
            pytest.raises(redis.ResponseError, match="UNKNOWN"),
        ):
            client.set("k", "v")
        assert len(doors.store.seen) == 1
        with doors.store.failing(Unavailable("away")), pytest.raises(redis.exceptions.ClusterDownError):
            client.set("k", "v")
