"""How fast the judges are: operations a second, by judge, from file to verdict.

    python -m benchmarks.judges [NAME ...]

Each measurement runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from msgspec import structs

from kvsim.check import linearizable, read
from kvsim.check.judges import JUDGES, Limited
from kvsim.check.transactions import transactions
from kvsim.core.history import History, Recorder


class Case(NamedTuple):
    """A history to make, and the judge to put it before."""

    make: Callable[[], History]
    judge: Callable[[History], Any]
    bound_s: float | None = None


def registers(operations: int, clients: int, keys: int, unique: bool = True, unknown: float = 0.0) -> History:
    """Clients against one atomic store of registers, half of them reading."""
    random = Random(1)
    recorder = Recorder()
    state: dict[str, Any] = {}
    names = [f"key-{i:08d}" for i in range(keys)]
    open_: dict[int, tuple[int, str, Any, str]] = {}
    processes = list(range(clients))
    now, begun, token = 0, 0, 0
    while begun < operations or open_:
        now += random.randrange(1000, 100_000)
        client = random.randrange(clients)
        call = open_.pop(client, None)
        if call is None:
            if begun == operations:
                continue
            begun += 1
            key = names[random.randrange(keys)]
            if random.random() < 0.5:
                recorder.invoke(processes[client], now, "read", key)
                open_[client] = (processes[client], "read", state.get(key), key)
            else:
                token += 1
                value = f"c{client}-{token}" if unique else str(random.randrange(5))
                recorder.invoke(processes[client], now, "put", key, value)
                state[key] = value
                open_[client] = (processes[client], "put", None, key)
            continue
        process, op, answer, _ = call
        if op == "put" and random.random() < unknown:
            recorder.complete(process, now, "info")
            processes[client] = max(processes) + 1
        else:
            recorder.complete(process, now, "ok", answer)
    return recorder.history


def shifted(operations: int, clients: int, keys: int) -> History:
    """The same clients, each with a clock of its own: sequentially consistent, and hardly ever linearizable."""
    random = Random(3)
    offsets = [random.randrange(50_000_000) for _ in range(clients)]
    moved = sorted(registers(operations, clients, keys).events, key=lambda e: (e.time_ns + offsets[e.process], e.index))
    return History(structs.replace(e, index=i, time_ns=e.time_ns + offsets[e.process]) for i, e in enumerate(moved))


def old_reads(operations: int, clients: int, keys: int) -> History:
    """Writes are linearizable, and each client reads what it has heard of: sequentially consistent, not more."""
    random = Random(5)
    recorder = Recorder()
    log: list[tuple[str, str]] = []
    heard = [0] * clients
    known: list[dict[str, str]] = [{} for _ in range(clients)]
    open_: dict[int, list[Any]] = {}
    now = begun = 0
    while begun < operations or open_:
        now += random.randrange(1000, 100_000)
        client = random.randrange(clients)
        if client not in open_:
            if begun < operations:
                begun += 1
                key = f"key-{random.randrange(keys)}"
                value = f"v{begun}" if random.random() < 0.5 else None
                recorder.invoke(client, now, "put" if value else "read", key, value)
                open_[client] = [key, value, False]
            continue
        key, value, done = open_[client]
        if done:
            recorder.complete(client, now, "ok", value)
            del open_[client]
            continue
        if value:
            log.append((key, value))
        until = len(log) if value else max(heard[client], len(log) - random.randrange(200))
        known[client].update(log[heard[client] : until])
        heard[client] = until
        open_[client] = [key, value or known[client].get(key), True]
    return recorder.history


def lists(count: int, clients: int = 20, keys: int = 5_000, skewed: bool = False) -> History:
    """Transactions of four micro-operations on lists, serializable; or of snapshot isolation, with write skew."""
    random = Random(2)
    recorder = Recorder()
    state: dict[str, list[int]] = {}
    open_: dict[int, list[Any]] = {}
    now = begun = token = 0
    lives = [0] * keys
    while begun < count or open_:
        now += random.randrange(1000, 100_000)
        client = random.randrange(clients)
        if client not in open_:
            if begun == count:
                continue
            begun += 1
            asked: list[list[Any]] = []
            for _ in range(4):
                slot = random.randrange(keys // 50)
                key = f"{slot}-{lives[slot] // 64}"
                if random.random() < 0.5:
                    asked.append(["r", key, None])
                else:
                    token += 1
                    lives[slot] += 1
                    asked.append(["append", key, token])
            recorder.invoke(client, now, "txn", None, asked)
            seen = {key: list(state.get(key, [])) for _, key, _ in asked} if skewed else None
            open_[client] = [asked, seen]
            continue
        asked, seen = open_.pop(client)
        answer = []
        view = state if seen is None else seen
        for f, key, value in asked:
            if f == "append":
                state.setdefault(key, []).append(value)
                if seen is not None:
                    seen[key].append(value)
                answer.append([f, key, value])
            else:
                answer.append([f, key, list(view.get(key, []))])
        recorder.complete(client, now, "ok", answer)
    return recorder.history


def _level(name: str, **bounds: Any) -> Callable[[History], Any]:
    return lambda history: JUDGES[name].judge(history, Limited(**bounds))


CASES: dict[str, Case] = {
    "linearizable, 1,000,000 operations, 100 clients, 1,000 keys": Case(
        lambda: registers(1_000_000, 100, 1_000), linearizable, 6.0
    ),
    "linearizable, one key, 15 clients": Case(lambda: registers(100_000, 15, 1), linearizable, 1.8),
    "linearizable, one key, 50 clients": Case(lambda: registers(100_000, 50, 1), linearizable, 1.8),
    "linearizable, 10 keys, ten in flight on each": Case(lambda: registers(100_000, 100, 10), linearizable, 1.8),
    "linearizable, one key, a tenth of the writes unknown": Case(
        lambda: registers(100_000, 15, 1, unknown=0.1), linearizable, 1.8
    ),
    "linearizable by search, values repeat, 8 clients": Case(
        lambda: registers(20_000, 8, 1, unique=False), linearizable
    ),
    "sequential, clocks differ": Case(lambda: shifted(20_000, 20, 100), _level("sequential", time_limit_s=120.0)),
    "sequential, reads are old": Case(lambda: old_reads(20_000, 20, 100), _level("sequential", time_limit_s=120.0)),
    "causal": Case(lambda: shifted(20_000, 20, 100), _level("causal")),
    "causal-memory": Case(lambda: shifted(20_000, 20, 100), _level("causal-memory")),
    "causal-convergence": Case(lambda: shifted(20_000, 20, 100), _level("causal-convergence")),
    "session-guarantees": Case(lambda: shifted(20_000, 20, 100), _level("session-guarantees")),
    "bounded-staleness, versions": Case(lambda: registers(100_000, 20, 100), _level("bounded-staleness", versions=2)),
    "durability": Case(lambda: registers(100_000, 20, 100), _level("durability")),
    "convergence": Case(lambda: registers(100_000, 20, 100), _level("convergence")),
    "exactly-once": Case(lambda: registers(100_000, 20, 100), _level("exactly-once")),
    "transactions, serializable, 100,000 of four": Case(lambda: lists(100_000), transactions, 20.0),
    "transactions, weaker than snapshots, 100,000 of four": Case(
        lambda: lists(100_000, skewed=True), transactions, 20.0
    ),
}


class Measured(NamedTuple):
    """What one measurement showed."""

    operations: int
    seconds: float
    peak_bytes: int
    verdict: str


def measure(name: str, path: Path) -> Measured:
    """From file to verdict, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, str(path)))


def _measure(name: str, path: str) -> Measured:
    began = time.process_time()
    history = read(path)
    verdict = CASES[name].judge(history)
    seconds = time.process_time() - began
    peak = _peak_bytes()
    told = getattr(verdict, "name", None) or verdict.strongest
    return Measured(len(history) // 2, seconds, peak, told)


def _peak_bytes() -> int:
    """Peak of resident memory; Linux's own figure leaves out what the process was before it became this program."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(names: list[str]) -> None:
    """Print a line a case, and compare two searches; with names, only the cases whose names begin so."""
    print(f"{'judge':60} {'operations':>10} {'s':>7} {'op/s':>10} {'MiB':>6}  verdict")
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if names and not any(name.startswith(asked) for asked in names):
                continue
            path = Path(folder) / "history.jsonl"
            case.make().to_jsonl(path)
            found = measure(name, path)
            rate = found.operations / found.seconds
            late = f"  over {case.bound_s} s" if case.bound_s is not None and found.seconds > case.bound_s else ""
            print(
                f"{name:60} {found.operations:10,} {found.seconds:7.2f} {rate:10,.0f} {found.peak_bytes >> 20:6,}"
                f"  {found.verdict}{late}",
                flush=True,
            )
    if not names:
        from benchmarks import searches

        print()
        searches.main()


if __name__ == "__main__":
    main(sys.argv[1:])
