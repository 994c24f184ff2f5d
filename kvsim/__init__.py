"""kvsim: learn by experiment what each design choice of a distributed key-value store costs, and what it buys.

The whole API, on one page:

    load(file_or_name) -> Experiment       read an experiment; `.run(seed=1)` gives a Report, whose `.metrics` is flat
    read_history(path) -> History          read what clients saw, from a run or from another system
    linearizable(history) -> Verdict       judge it; so do the other judges in `kvsim.check`
    Client(url), AsyncClient(url)          talk to a running cluster, `kvsim serve`

>>> import kvsim
>>> report = kvsim.load("quorum-staleness", ["workload.duration=200ms"]).run(seed=1)
>>> report.metrics["stale_read_share[r=3]"]
0.0

A strategy of one's own derives from a class in `kvsim.core.axes`; `kvsim.testing` puts it to the test.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvsim.check import linearizable as linearizable
    from kvsim.client import AsyncClient as AsyncClient
    from kvsim.client import Client as Client
    from kvsim.core.history import History as History
    from kvsim.core.history import read_history as read_history
    from kvsim.core.settings import SettingsError as SettingsError
    from kvsim.lab.experiment import Experiment as Experiment
    from kvsim.lab.experiment import load as load

_WHERE = {
    "AsyncClient": "kvsim.client",
    "Client": "kvsim.client",
    "Experiment": "kvsim.lab.experiment",
    "History": "kvsim.core.history",
    "SettingsError": "kvsim.core.settings",
    "linearizable": "kvsim.check",
    "load": "kvsim.lab.experiment",
    "read_history": "kvsim.core.history",
}
__all__ = [
    "AsyncClient",
    "Client",
    "Experiment",
    "History",
    "SettingsError",
    "linearizable",
    "load",
    "read_history",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import kvsim` costs nothing and the command line starts at once."""
    if name not in _WHERE:
        raise AttributeError(f"kvsim has no {name!r}; there are {', '.join(sorted(_WHERE))}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """What is imported on first use is shown before it too."""
    return sorted({*globals(), *__all__})
