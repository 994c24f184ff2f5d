"""A run that refutes a promise leaves a picture of the witness, with the faults that struck meanwhile."""

from pathlib import Path

import kvsim
from kvsim.lab.plots.style import FAULT
from kvsim.lab.plots.witness import draw_witnesses

WEAK = """
title = "reads of one replica"
[design]
topology = { strategy = "client_server", coordinator = "frontend" }
replication = { strategy = "quorum", n = 3, r = 1, w = 1 }
consistency = "eventual"
[cluster]
nodes = 3
frontends = 3
[network]
latency = { distribution = "lognormal", median = "1ms", p99 = "30ms" }
[workload]
mix = "ycsb-a"
keys = { count = 3, distribution = "uniform" }
clients = 8
duration = "600ms"
[[faults]]
kind = "crash"
node = "data-1"
at = "1ms"
lasts = "598ms"
"""


def test_the_witness_is_drawn_with_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "weak.toml"
    file.write_text(WEAK)
    report = kvsim.load(str(file)).run(seed=1)
    [plot] = draw_witnesses(report, tmp_path)
    assert plot.name == "witness-linearizable"
    assert plot.png.stat().st_size > 5_000
    assert FAULT.lower() in plot.svg.read_text()
    assert "faults are shaded" in plot.caption
