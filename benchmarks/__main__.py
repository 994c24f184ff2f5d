"""Runs the benchmarks, all or those that are named: `python -m benchmarks [NAME …] [--write FILE]`.

With `--write`, what each prints becomes its section of the page; sections of those that did not run stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import exploration, hunting, judges, real, scale, simulation, tracing


class Benchmark(NamedTuple):
    """Something to measure."""

    heading: str
    about: str
    run: Callable[[], None]
    """Measures and prints."""


BENCHMARKS = {
    "simulation": Benchmark(
        "Simulated world",
        "Messages delivered a second of wall time, medians of five rounds, beside SimPy itself: its bare timeouts, "
        "and the example of a latency in its documentation, which has a process and a store for each message and no "
        "node logic. Ratios are within one run, so another machine should give about the same.",
        simulation.main,
    ),
    "tracing": Benchmark(
        "Traces",
        "The same quorum run without a trace and with one, in turns; medians of five ratios.",
        tracing.main,
    ),
    "scale": Benchmark(
        "Many nodes",
        "Peak memory of a process that simulates 10,000 data nodes with fixed membership and writes 100,000 keys to "
        "three of them each; and the CPU time of a message at the same load on 10 to 1,000 nodes, medians of five "
        "rounds.",
        scale.main,
    ),
    "real": Benchmark(
        "Real cluster",
        "Medians of five rounds. Three data nodes and one frontend on loopback, each a process, with their clients on "
        "the same machine, beside redis-server, which is one process without replication; then writes that wait for "
        "their disks. The CPU is that of all processes of the store.",
        real.main,
    ),
    "exploration": Benchmark(
        "The explored world",
        "Schedules and steps a second of CPU time on three nodes with quorum replication and one write, nodes' starts "
        "included; medians of three rounds.",
        exploration.main,
    ),
    "hunting": Benchmark(
        "The hunt",
        "Runs of a hunt in one process: node logic, faults, judges and all. Then weak designs, hunted from seed 0 on "
        "with whatever a hunt draws for a student's own file, and shrunk.",
        hunting.main,
    ),
    "judges": Benchmark("Judges", "How fast the judges read and judge histories.", lambda: judges.main([])),
}
BUSY_LOAD = 2.0
TITLE = """# Benchmarks

Written by `python -m benchmarks --write docs/benchmarks.md`; `make bench` only prints.
"""


class _Tee(io.StringIO):
    """Keeps what is printed, and shows it."""

    def write(self, text: str) -> int:
        """To both."""
        if sys.__stdout__ is not None:
            sys.__stdout__.write(text)
        return super().write(text)


def machine() -> str:
    """What ran them, in a sentence."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return (
        f"{os.cpu_count()} cores of {model or platform.machine()}, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def load_note(loads: Sequence[float]) -> str:
    """That others used the machine too, where they did."""
    if max(loads) <= BUSY_LOAD:
        return ""
    shown = " and ".join(f"{load:.1f}" for load in loads)
    return f" The machine was busy with other work: its load average was {shown} before and after."


def section(benchmark: Benchmark, printed: str, loads: Sequence[float]) -> str:
    """What a benchmark found, for the page."""
    heading, where = f"## {benchmark.heading}", f"On {machine()}.{load_note(loads)}"
    return "\n\n".join([heading, benchmark.about, where, f"```\n{printed.rstrip()}\n```\n"])


def with_section(page: str, heading: str, text: str) -> str:
    """The page with this section in the place of the former one, or at the end."""
    head, *sections = page.split("\n## ")
    kept = [part for part in sections if part.partition("\n")[0].strip() != heading]
    at = next((at for at, part in enumerate(sections) if part not in kept), len(kept))
    kept.insert(at, text.removeprefix("## "))
    return "\n## ".join([head.rstrip("\n") + "\n", *(part.strip("\n") + "\n" for part in kept)])


def main(arguments: Sequence[str]) -> None:
    """Run, print and, if asked, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; all when not given")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page to write the figures to")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    page = asked.write.read_text(encoding="utf-8") if asked.write and asked.write.exists() else TITLE
    for name in asked.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        print(f"{benchmark.heading}, on {machine()}", flush=True)
        before = os.getloadavg()[0]
        with contextlib.redirect_stdout(_Tee()) as printed:
            benchmark.run()
        loads = (before, os.getloadavg()[0])
        print(load_note(loads), flush=True)
        page = with_section(page, benchmark.heading, section(benchmark, printed.getvalue(), loads))
        if asked.write:
            asked.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
