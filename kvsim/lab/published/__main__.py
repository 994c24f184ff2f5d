"""`python -m kvsim.lab.published`: reproduces the published figures, and writes the page about them."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from kvsim.lab.published.page import write_page
from kvsim.lab.published.run import reproduce_file


def main() -> int:
    """0 if every figure lies within its tolerance."""
    parser = argparse.ArgumentParser(prog="python -m kvsim.lab.published", description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, default=Path("experiments/published"))
    parser.add_argument("--share", type=float, default=1.0, help="of the trials; tolerances are as for all")
    parser.add_argument("--page", type=Path, default=Path("docs/published.md"))
    parser.add_argument("--pictures", type=Path, default=Path("docs/pictures/published"))
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    paths = sorted(asked.folder.glob("*.toml"))
    # A process an experiment: what one took is given back before the next begins.
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        done = list(pool.map(reproduce_file, paths, [asked.share] * len(paths)))
    write_page(done, asked.page, asked.pictures)
    outside = [row for one in done for row in one.rows if not row.holds]
    for row in outside:
        sys.stderr.write(f"{row.experiment} {row.variant}: {row.metric} = {row.found:g}, expected {row.expected}\n")
    sys.stdout.write(
        f"{sum(len(one.rows) for one in done) - len(outside)} figures within their tolerance: {asked.page}\n"
    )
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
