"""The results of all runs as one table, a row a run: where the point is, the seed, each metric, each verdict."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from kvsim.core.settings import SettingsError
from kvsim.lab.run import Run

Row = dict[str, Any]


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """A row for each run: axes, `seed`, metrics, and verdicts as `verdict_linearizable`."""
    return [
        {
            **dict(run.setup.where),
            "seed": run.seed,
            **run.metrics,
            **{f"verdict_{name}": verdict.name for name, verdict in run.verdicts.items()},
        }
        for run in runs
    ]


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Axes and the seed first, then metrics by name, then verdicts; whatever any row has."""
    first = list(rows[0]) if rows else []
    leading = first[: first.index("seed") + 1] if first else []
    others = {name for row in rows for name in row} - set(leading)
    return leading + sorted(others, key=lambda name: (name.startswith("verdict_"), name))


def write_csv(runs: Sequence[Run], path: Path) -> None:
    """Write the table as CSV; a metric that a run does not have is empty."""
    rows = rows_of(runs)
    text = StringIO()
    writer = csv.DictWriter(text, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text.getvalue(), encoding="utf-8")
    os.replace(part, path)  # whoever reads it while the sweep goes on sees a whole table


def require_parquet() -> Any:
    """pyarrow. Raises `SettingsError` where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise SettingsError(["--parquet needs pyarrow; install it with: pip install 'kvsim[parquet]'"]) from None
    return pyarrow


def write_parquet(runs: Sequence[Run], path: Path) -> None:
    """Write the table as Parquet; axes and verdicts are text, metrics are numbers. Raises `SettingsError`."""
    pyarrow = require_parquet()
    rows = rows_of(runs)
    texts = {name for run in runs for name, _ in run.setup.where}
    columns = {}
    for name in columns_of(rows):
        kind = pyarrow.int64() if name == "seed" else pyarrow.float64()
        if name in texts or name.startswith("verdict_"):
            kind = pyarrow.string()
        columns[name] = pyarrow.array([row.get(name) for row in rows], type=kind)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
