"""`[initial]`: runs that begin in the middle of a story: nodes are down, disks hold less than others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kvsim.check.verdict import NotRefuted, Refuted
from kvsim.core.settings import SettingsError
from kvsim.lab.artefacts import describe_run
from kvsim.lab.experiment import load
from kvsim.lab.hunt.case import draw_case
from kvsim.lab.real_run import OwnCluster, on_own_clusters, on_running_cluster
from kvsim.lab.run import Run, simulate

Small = Callable[..., Path]

READING = """
title = "Reads alone"
[design]
topology = {{ strategy = "client_server", coordinator = "frontend" }}
replication = {{ strategy = "quorum", n = 3, r = {r}, w = 2, read_repair = false }}
consistency = "eventual"
timeout = "300ms"
[cluster]
nodes = 3
[workload]
mix = "ycsb-c"
keys = {{ count = 10, distribution = "uniform" }}
clients = 3
duration = "200ms"
settle = "100ms"
timeout = "600ms"
[initial]
{initial}
"""


def reading(initial: str, r: int = 1) -> str:
    return READING.format(initial=initial, r=r)


def run(small: Small, text: str, more: str = "") -> Run:
    return simulate(load(small(more, text=text)).setups[0], seed=0)


def keys_held(done: Run) -> dict[str, int]:
    assert done.seen.stock is not None
    return done.seen.stock.keys_by_node


def test_a_stale_node_has_missed_the_second_writing_of_every_key(small: Small) -> None:
    done = run(small, reading('stale = ["data-3"]'))
    loaded = [op for op in done.seen.operations if op.invoked_ns < done.seen.phases.workload_ns]
    assert len(loaded) == 20, "each key is put twice"
    assert len({op.value for op in loaded}) == 20, "with other values"
    assert set(keys_held(done).values()) == {10}
    assert done.metrics["diverged_keys"] == 10
    assert done.metrics["stale_read_share"] > 0
    assert isinstance(done.verdicts["linearizable"], Refuted)


def test_the_judges_know_of_both_writings(small: Small) -> None:
    done = run(small, reading('stale = ["data-3"]', r=2))
    assert done.metrics["stale_read_share"] == 0
    assert isinstance(done.verdicts["linearizable"], NotRefuted)
    assert isinstance(done.verdicts["durability"], NotRefuted)


def test_an_empty_node_has_missed_all_of_the_loading(small: Small) -> None:
    done = run(small, reading('empty = ["data-2"]'))
    assert keys_held(done) == {"data-1": 10, "data-2": 0, "data-3": 10}


def test_a_node_that_is_down_stays_down_with_what_it_held(small: Small) -> None:
    done = run(small, reading('down = ["data-1"]'))
    assert keys_held(done) == {"data-1": 0, "data-2": 10, "data-3": 10}
    assert done.seen.costs.load_by_node["data-1"] == 0
    assert done.metrics["availability_share"] == 1


def test_a_fault_brings_a_node_back_that_was_down(small: Small) -> None:
    fault = '[[faults]]\nkind = "crash"\nnode = "data-1"\nat = "0s"\nlasts = "50ms"\n'
    done = run(small, reading('stale = ["data-1"]\ndown = ["data-1"]'), fault)
    assert keys_held(done)["data-1"] == 10
    assert done.metrics["diverged_keys"] == 10, "it comes back with the first values"


@pytest.mark.parametrize("replication", ['"raft"', '{ strategy = "primary_backup" }'])
def test_a_node_that_missed_much_catches_up_where_the_protocol_sees_to_it(small: Small, replication: str) -> None:
    text = reading('stale = ["data-1"]').replace(
        '{ strategy = "client_server", coordinator = "frontend" }', '"client_server"'
    )
    text = text.replace('{ strategy = "quorum", n = 3, r = 1, w = 2, read_repair = false }', replication)
    done = run(small, text.replace('consistency = "eventual"', ""))
    assert done.metrics.get("keys_not_loaded", 0) == 0
    assert done.metrics["diverged_keys"] == 0
    assert isinstance(done.verdicts["linearizable"], NotRefuted)


@pytest.mark.parametrize(
    ("initial", "said"),
    [
        ('stale = ["data-4"]', "initial.stale: there is no 'data-4' to be so; did you mean 'data-3'?"),
        ('empty = ["frontend-1"]', "initial.empty: there is no 'frontend-1' to be so"),
        ('stale = ["data-1"]\nempty = ["data-1"]', "initial.stale: data-1 is empty too"),
        ('empty = ["data-1", "data-2", "data-3"]', "initial.empty: somebody must take what is loaded"),
        ('stail = ["data-1"]', "initial.stail: unknown key; did you mean 'stale'?"),
    ],
)
def test_what_makes_no_sense_is_refused(small: Small, initial: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(small(text=reading(initial)))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ('durability = "memory"', "in memory a node that was down holds nothing"),
        ('replication = "raft"\nstorage = { strategy = "objects", written = "once" }', "writes each key once"),
    ],
)
def test_older_values_need_a_disk_and_a_key_that_may_change(small: Small, design: str, said: str) -> None:
    text = f'[design]\n{design}\n[cluster]\nnodes = 3\n[initial]\nstale = ["data-1"]\n'
    with pytest.raises(SettingsError, match=said):
        load(small(text=text))


def test_it_may_vary_and_belongs_to_what_runs_again(small: Small, tmp_path: Path) -> None:
    vary = '[vary]\n"initial.stale" = [[], ["data-3"]]\n'
    experiment = load(small(vary, text=reading("")))
    runs = [simulate(setup, seed=0) for setup in experiment.setups]
    assert [done.metrics["diverged_keys"] for done in runs] == [0, 10]
    left = tmp_path / "run.json"
    left.write_text(json.dumps(describe_run(runs[1], experiment, tmp_path)))
    again = load(left)
    assert again.setups[0].initial.stale == ("data-3",)
    assert simulate(again.setups[0], again.first_seed).metrics == runs[1].metrics
    assert draw_case(again, 0).setup().initial.stale == ("data-3",)


def test_a_real_cluster_begins_in_the_middle_of_a_story_too(small: Small) -> None:
    path = small(text=reading('stale = ["data-3"]'))
    experiment = on_own_clusters(load(path))
    done = OwnCluster(experiment, path.parent)(experiment.setups[0], 0, (), None, None)
    assert done.failures == ()
    assert done.metrics["diverged_keys"] == 10
    assert set(keys_held(done).values()) == {10}


def test_a_cluster_of_others_is_left_as_it_is(small: Small) -> None:
    with pytest.raises(SettingsError, match="initial: --against finds a cluster as it is"):
        on_running_cluster(load(small(text=reading('down = ["data-1"]'))), "http://127.0.0.1:1", {})
