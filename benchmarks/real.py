"""How fast a real cluster is: three data nodes and a frontend on loopback, beside redis-server in the same run.

Quorum R=2 W=2 in memory, 64 clients, values of 100 bytes, GET and SET: operations a second, and what an operation costs
the CPU, over all processes of the store; then writes that are on disks before they are acknowledged, by quorum and by
Raft. Run it by `python -m benchmarks.real`; it prints medians of five rounds.
"""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kvsim.core.operation import Put, Read, RequestId
from kvsim.real.cluster_client import ClusterClient
from kvsim.real.process import loop_factory
from kvsim.real.supervisor import Supervisor, new_cluster_file

ROUNDS = 5
CLIENTS, VALUE_BYTES, KEYS = 64, 100, 10_000
OPERATIONS = 10_000
"""For kvsim in each round; redis-server gets four times as many."""
DESIGN = {
    "replication": {"strategy": "quorum", "n": 3, "r": 2, "w": 2},
    "consistency": "eventual",
    "durability": "memory",
}


DURABLE = {
    "quorum on disks": {**DESIGN, "durability": "disk"},
    "Raft on disks": {"replication": "raft", "durability": "disk"},
}
DURABLE_OPERATIONS = 4_000


class Measured(NamedTuple):
    """One measurement."""

    operations_per_s: float
    cpu_us: float
    """Microseconds of CPU for an operation, over all processes of the store; its clients' left out."""


Pids = Sequence[int]
Run = Callable[[str], Measured]
"""Runs one kind of operation, SET or GET."""


def cpu_s(pids: Pids) -> float:
    """Seconds of CPU that the processes have used (proc(5): fields 14 and 15 of stat)."""
    used = 0
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        used += int(after_name[11]) + int(after_name[12])
    return used / os.sysconf("SC_CLK_TCK")


def by_redis_benchmark(port: int, pids: Pids, operations: int, kind: str, clients: int = CLIENTS) -> Measured:
    """What redis-benchmark measures at this port."""
    before = cpu_s(pids)
    command = [
        "redis-benchmark", "-p", str(port), "-c", str(clients), "-n", str(operations), "-d", str(VALUE_BYTES),
        "-r", str(KEYS), "-t", kind.lower(), "--csv",
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [row] = [row for row in csv.reader(said.splitlines()) if row and row[0] == kind]
    return Measured(float(row[1]), (cpu_s(pids) - before) / operations * 1e6)


def by_framed_tcp(cluster: Supervisor, pids: Pids, operations: int, kind: str) -> Measured:
    """What clients measure that speak the cluster's own frames, each waiting for its answer before it asks again."""

    async def client(number: int) -> None:
        talk = ClusterClient(cluster.plan)
        value = b"." * VALUE_BYTES
        [door] = cluster.plan.cluster.doors()
        try:
            for asked in range(operations // CLIENTS):
                request = RequestId(talk.name, asked)
                key = b"key:%d" % ((number * 7_919 + asked * 104_729) % KEYS)
                await talk.perform(Put(request, key, value) if kind == "SET" else Read(request, key), door)
        finally:
            talk.close()

    async def all_clients() -> None:
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))

    before, begun = cpu_s(pids), time.perf_counter()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(all_clients())
    done = operations // CLIENTS * CLIENTS
    return Measured(done / (time.perf_counter() - begun), (cpu_s(pids) - before) / done * 1e6)


@contextmanager
def stores() -> Iterator[dict[str, Run | str]]:
    """Everything to measure, running; or why it cannot be."""
    with tempfile.TemporaryDirectory() as data:
        file = new_cluster_file(DESIGN, nodes=3, data_dir=Path(data), resp_ports=[0])
        with Supervisor(file) as cluster, redis_server(Path(data)) as redis:
            pids = [cluster.pid(node) for node in cluster.nodes]
            [port] = file.resp.values()
            found: dict[str, Run | str] = {
                "kvsim, RESP": lambda kind: by_redis_benchmark(port, pids, OPERATIONS, kind),
                "kvsim, framed TCP": lambda kind: by_framed_tcp(cluster, pids, OPERATIONS, kind),
                "redis-server": redis
                if isinstance(redis, str)
                else lambda kind: by_redis_benchmark(redis[0], [redis[1]], 4 * OPERATIONS, kind),
            }
            if shutil.which("redis-benchmark") is None:
                absent = "not measured: redis-benchmark is not installed (Debian: apt-get install redis-tools)"
                found |= {"kvsim, RESP": absent, "redis-server": absent}
            yield found


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[int, int] | str]:
    """A redis-server in memory: its port and process; or why there is none."""
    if shutil.which("redis-server") is None:
        yield "not measured: redis-server is not installed (Debian: apt-get install redis-server)"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            if not any("Ready to accept connections" in line for line in server.stdout):
                raise RuntimeError("redis-server ended before it was ready")
            yield port, server.pid
        finally:
            server.terminate()


class Durable(NamedTuple):
    """One measurement of durable writes."""

    measured: Measured
    syncs: float
    """Syncs of a disk for a write, over all nodes: below the number of copies, since writes share them."""


def measure_durable(design: dict[str, object], clients: int, operations: int) -> Durable | str:
    """Durable writes on a cluster of its own, median of the rounds; or why they were not measured."""
    if shutil.which("redis-benchmark") is None:
        return "not measured: redis-benchmark is not installed (Debian: apt-get install redis-tools)"
    with tempfile.TemporaryDirectory() as data:
        file = new_cluster_file(design, nodes=3, data_dir=Path(data), resp_ports=[0])
        with Supervisor(file) as cluster:
            pids = [cluster.pid(node) for node in cluster.nodes]
            [port] = file.resp.values()

            def once() -> Durable:
                before = _syncs(cluster)
                measured = by_redis_benchmark(port, pids, operations, "SET", clients)
                return Durable(measured, (_syncs(cluster) - before) / operations)

            once()  # until there is a leader, and a warm cluster
            rounds = [once() for _ in range(ROUNDS)]
    measured = Measured(*map(statistics.median, zip(*(one.measured for one in rounds), strict=True)))
    return Durable(measured, statistics.median(one.syncs for one in rounds))


def _syncs(cluster: Supervisor) -> int:
    return sum(int(cluster.status(node)["counts"]["syncs"]) for node in cluster.nodes)


def measure(rounds: int = ROUNDS) -> dict[tuple[str, str], Measured | str]:
    """The median of each figure by store and operation; the stores take turns in every round."""
    found: dict[tuple[str, str], list[Measured]] = {}
    with stores() as running:
        absent: dict[tuple[str, str], Measured | str] = {
            (name, "SET and GET"): run for name, run in running.items() if isinstance(run, str)
        }
        for _ in range(rounds):
            for name, run in running.items():
                for kind in ("SET", "GET"):
                    if not isinstance(run, str):
                        found.setdefault((name, kind), []).append(run(kind))
    medians = {case: Measured(*map(statistics.median, zip(*seen, strict=True))) for case, seen in found.items()}
    return {**medians, **absent}


def main() -> None:
    """Print a line for each store and operation, the ratios to redis-server, and durable writes."""
    if not Path("/proc/self/stat").exists():
        print("not measured: the CPU of processes is read from /proc, which only Linux has")
        return
    print(f"{CLIENTS} clients, {VALUE_BYTES}-byte values; kvsim: quorum N=3 R=2 W=2 in memory, 4 processes")
    measured = measure()
    for (name, kind), found in measured.items():
        if isinstance(found, str):
            print(f"{name:18} {found}")
            continue
        print(
            f"{name:18} {kind}  {found.operations_per_s:10,.0f} op/s  {found.cpu_us:8.1f} µs of CPU an operation",
            end="",
        )
        beside = measured.get(("redis-server", kind))
        if isinstance(beside, Measured) and name != "redis-server":
            rate, cpu = found.operations_per_s / beside.operations_per_s, found.cpu_us / beside.cpu_us
            print(f"   {rate:.3f} × redis-server's rate, {cpu:.0f} × its CPU", end="")
        print()
    print_durable()


def print_durable() -> None:
    """Print a line for each durable design, with many clients and with one."""
    for name, design in DURABLE.items():
        for clients in (CLIENTS, 1):
            durable = measure_durable(design, clients, DURABLE_OPERATIONS if clients > 1 else DURABLE_OPERATIONS // 10)
            if isinstance(durable, str):
                print(f"{name:18} {durable}")
                continue
            found = durable.measured
            print(
                f"{name:18} SET  {found.operations_per_s:10,.0f} op/s  {found.cpu_us:8.1f} µs of CPU an operation   "
                f"{durable.syncs:.2f} syncs a write over all disks, {clients} client{'s' * (clients > 1)}"
            )


if __name__ == "__main__":
    main()
