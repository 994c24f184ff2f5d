"""`kvsim bench`: experiments on real clusters leave what simulations leave, and are hurt and judged the same way."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvsim.cli.app import run
from kvsim.core.message import Failure
from kvsim.core.operation import Absent, AnyResult
from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import Experiment, load
from kvsim.lab.metrics import successes_ns
from kvsim.lab.real_driver import _begin
from kvsim.lab.real_faults import together
from kvsim.lab.real_run import OwnCluster, on_own_clusters
from kvsim.lab.run import Run
from kvsim.real.filter import LinkFault
from kvsim.sim.faults import Crash

Small = Callable[..., Path]

TINY = """
title = "A tiny experiment"
[design]
{design}
timeout = "300ms"
[cluster]
nodes = {nodes}
[workload]
mix = "ycsb-a"
keys = {{ count = 20, distribution = "uniform" }}
clients = 4
duration = "{duration}"
settle = "100ms"
timeout = "600ms"
"""
QUORUM = 'replication = { strategy = "quorum", n = 3, r = 2, w = 2 }'
RAFT = 'replication = "raft"'
NODES = ("frontend-1", "data-1", "data-2", "data-3")


def tiny(design: str = QUORUM, duration: str = "1s", nodes: int = 3) -> str:
    return TINY.format(design=design, duration=duration, nodes=nodes)


def crash(node: str, at: str, lasts: str = "300ms") -> str:
    return f'[[faults]]\nkind = "crash"\nnode = "{node}"\nat = "{at}"\nlasts = "{lasts}"\n'


def bench(path: Path) -> Run:
    experiment = on_own_clusters(load(path))
    return OwnCluster(experiment, path.parent)(experiment.setups[0], 0, (), None, None)


def successes_between(done: Run, start_ns: int, end_ns: int) -> list[int]:
    return [time_ns for time_ns in successes_ns(done.seen) if start_ns < time_ns < end_ns]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def metric_names(folder: Path) -> set[str]:
    """All but the percentiles that a slow machine may have too few operations for."""
    names = json.loads((folder / "metrics.json").read_text())
    return {name for name in names if "_p99" not in name}


def test_a_bench_leaves_the_same_files_and_metrics_as_a_simulation(small: Small, tmp_path: Path) -> None:
    path = small(text=tiny(), more='[expect]\nacknowledged_writes_lost = "== 0"\n')
    simulated, real = tmp_path / "simulated", tmp_path / "real"
    assert run(["simulate", str(path), "--out", str(simulated), "--json"]) == 0
    assert run(["bench", str(path), "--out", str(real), "--json"]) == 0
    assert files_in(real) == files_in(simulated)
    assert metric_names(real) == metric_names(simulated)
    page = (real / "report.html").read_text()
    assert "A tiny experiment (on a real cluster)" in page
    assert "stated for the simulated world" in page
    assert "kvsim bench small" in page and "kvsim simulate small" not in page
    assert "network" not in json.loads((real / "runs" / "seed=0" / "run.json").read_text())


@pytest.mark.parametrize("design", [QUORUM, RAFT], ids=["quorum", "raft"])
def test_kills_of_a_node_and_of_the_whole_cluster_under_load_lose_no_acknowledged_write(
    design: str, small: Small
) -> None:
    faults = crash("data-2", "300ms") + "".join(crash(node, "1200ms") for node in NODES)
    done = bench(small(text=tiny(design, "2500ms"), more=faults))
    assert done.failures == ()
    assert len(done.seen.faults) == 5
    assert done.metrics["acknowledged_writes_lost"] == 0
    assert {name: verdict.name for name, verdict in done.verdicts.items()}["durability"] == "not_refuted"
    for fault in done.seen.faults[1:]:
        assert fault.end_ns - fault.start_ns >= 300_000_000
    assert done.metrics["messages_per_op"] > 1, "counts survive their processes"


def test_a_cluster_that_keeps_all_in_memory_loses_what_it_acknowledged_when_all_are_killed(small: Small) -> None:
    faults = "".join(crash(node, "500ms") for node in NODES)
    done = bench(small(text=tiny(QUORUM + '\ndurability = "memory"'), more=faults))
    assert done.metrics["acknowledged_writes_lost"] > 0
    assert done.verdicts["durability"].name == "refuted"


def test_a_paused_node_holds_up_what_waits_for_it_and_goes_on_afterwards(small: Small) -> None:
    pause = '[[faults]]\nkind = "pause"\nnode = "data-1"\nat = "300ms"\nlasts = "400ms"\n'
    done = bench(small(text=tiny('replication = "single_copy"', "2s", nodes=1), more=pause))
    [fault] = done.seen.faults
    assert not successes_between(done, fault.start_ns + 50_000_000, fault.start_ns + 400_000_000)
    assert max(successes_ns(done.seen)) > fault.end_ns
    assert done.failures == () and done.metrics["messages_per_op"] > 1


def test_a_moment_that_only_a_simulator_sees_is_refused(small: Small) -> None:
    fault = '[[faults]]\nkind = "crash"\nnode = "data-1"\nwhen = "leader elected"\n'
    with pytest.raises(SettingsError, match="'leader elected' is seen in the simulated world alone"):
        on_own_clusters(load(small(text=tiny(RAFT), more=fault)))


def test_a_leader_is_found_when_its_fault_strikes(small: Small) -> None:
    done = bench(small(text=tiny(RAFT), more=crash("leader", "300ms")))
    [fault] = done.seen.faults
    assert fault.nodes[0] in ("data-1", "data-2", "data-3")


def test_a_partition_is_seen_in_availability_and_heals(small: Small) -> None:
    cut = '[[faults]]\nkind = "partition"\nat = "500ms"\nlasts = "500ms"\nsides = [["frontend-1"]]\n'
    done = bench(small(text=tiny(duration="2500ms"), more=cut))
    [fault] = done.seen.faults
    assert not successes_between(done, fault.start_ns + 50_000_000, fault.start_ns + 400_000_000)
    assert done.metrics["availability_share"] < 1
    before = [op for op in done.seen.measured if op.invoked_ns < fault.start_ns - 700_000_000]
    after = [op for op in done.seen.measured if op.invoked_ns > fault.end_ns + 1_000_000_000]
    assert after and all(map(done.seen.answered, before + after))


@pytest.mark.parametrize("fault", ['kind = "loss"\nshare = 0.2', 'kind = "delay"\ndelay = "50ms"'])
def test_links_are_hurt_while_the_fault_lasts(fault: str, small: Small) -> None:
    done = bench(small(text=tiny(), more=f'[[faults]]\n{fault}\nat = "0s"\nlasts = "1s"\n'))
    slow = [op for op in done.seen.measured if op.outcome != "ok" or done.seen.latency_ns(op) > 50_000_000]
    assert len(slow) > len(done.seen.measured) / 10
    assert done.failures == ()


def test_a_node_that_fails_by_its_own_defect_fails_the_run(small: Small, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from kvsim.strategies.replication.single_copy import SingleCopy\n"
        "class Mine(SingleCopy):\n"
        "    async def write(self, op):\n"
        "        return 1 // 0 if op.request.client == 'client-1' else await super().write(op)\n"
    )
    text = tiny('replication = "mine.py:Mine"', "500ms", nodes=1) + "final_reads = 0\n"
    done = bench(small(text=text))
    [failure] = done.failures
    assert failure.startswith("data-1 ended") and "ZeroDivisionError" in failure
    assert "messages_per_op" not in done.metrics, "its counts are gone"


# Against a running cluster --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The door of `kvsim serve`."""
    data = tmp_path_factory.mktemp("serve")
    command = [
        sys.executable,
        "-c",
        "from kvsim.cli import main; main()",
        "serve",
        "--http",
        "0",
        "--resp",
        "0",
        "--data-dir",
        str(data),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as serving:
        assert serving.stdout is not None
        for line in serving.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
        serving.send_signal(signal.SIGINT)
        serving.stdout.read()


def test_a_running_cluster_can_be_benched_again_and_again(small: Small, url: str, tmp_path: Path) -> None:
    path = small(text=tiny(duration="500ms").replace('"ycsb-a"', "{ read = 0.4, update = 0.3, scan = 0.2, cas = 0.1 }"))
    for out in (tmp_path / "first", tmp_path / "second"):
        assert run(["bench", str(path), "--against", url, "--out", str(out), "--json"]) == 0
        metrics = json.loads((out / "metrics.json").read_text())
        assert metrics["throughput_ops_per_s"] > 0
        assert "messages_per_op" not in metrics
        written = json.loads((out / "runs" / "seed=0" / "run.json").read_text())
        assert written["design"]["replication"]["strategy"] == "raft", "the cluster's own design, not the file's"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (crash("data-1", "100ms"), "--against hurts nobody's cluster; leave them out with --set faults="),
        ('[vary]\n"design.replication.r" = [1, 2]\n', "design: the points differ in it"),
        ('[vary]\n"cluster.nodes" = [3, 4]\n', "cluster: the points differ in it"),
    ],
)
def test_what_cannot_be_done_to_a_running_cluster_is_refused(
    more: str, said: str, small: Small, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", str(small(text=tiny(), more=more)), "--against", url]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("url", "said"), [("http://127.0.0.1:1", "nobody answers"), ("here", "expected an address")])
def test_no_cluster_at_the_address_is_a_short_error(
    url: str, said: str, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", str(small(text=tiny())), "--against", url]) == 2
    assert said in capsys.readouterr().err


# Parts ----------------------------------------------------------------------------------------------------------------


class _Meteor(Crash, frozen=True, tag="meteor", kw_only=True):
    """A fault that no process can have."""


def test_a_fault_that_only_a_simulator_can_have_is_refused_before_anything_starts(small: Small) -> None:
    read = load(small(text=tiny()))
    hit: Experiment = read._replace(setups=(read.setups[0]._replace(faults=(_Meteor(at_ns=0, node="data-1"),)),))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"faults\[0\]: meteor happens in the simulated world alone"):
        on_own_clusters(hit)


def test_faults_of_one_link_add_up() -> None:
    link = ("data-1", "data-2")
    both = together([{link: LinkFault(loss=0.5, delay_ns=3)}, {link: LinkFault(loss=0.5, cut=True, delay_ns=4)}])
    assert both == {"data-1": {"data-2": LinkFault(cut=True, loss=0.75, delay_ns=7)}}
    assert together([]) == {}


def test_an_answer_in_the_turn_of_its_deadline_is_told_once() -> None:
    told: list[AnyResult | Failure] = []

    async def race() -> None:
        future: asyncio.Future[AnyResult] = asyncio.get_running_loop().create_future()
        forget = _begin(lambda: future, told.append)
        future.set_result(Absent())
        forget()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(race())
    assert told == []
