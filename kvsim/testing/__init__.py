"""The conformance kit: suites that any host or strategy can be put through, ours and outsiders'.

`check_host` takes a way to make a world, the others a strategy: a built-in name, `"mine.py:MyProtocol"` beside the
test, or a class; `design` is the rest of the design, other keywords are the strategy's settings as a file says them,
and `hunt_runs` how many runs are hunted (20, unless the environment variable KVSIM_HUNT_RUNS says otherwise).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvsim.testing.by_hand import ContractBroken as ContractBroken
    from kvsim.testing.host_suite import HOST_CHECKS as HOST_CHECKS
    from kvsim.testing.host_suite import check_host as check_host
    from kvsim.testing.suites import check_conflict as check_conflict
    from kvsim.testing.suites import check_consistency as check_consistency
    from kvsim.testing.suites import check_membership as check_membership
    from kvsim.testing.suites import check_partitioning as check_partitioning
    from kvsim.testing.suites import check_replication as check_replication
    from kvsim.testing.suites import check_routing as check_routing
    from kvsim.testing.suites import check_storage as check_storage
    from kvsim.testing.suites import check_topology as check_topology

_WHERE = {
    "ContractBroken": "by_hand",
    "HOST_CHECKS": "host_suite",
    "check_conflict": "suites",
    "check_consistency": "suites",
    "check_host": "host_suite",
    "check_membership": "suites",
    "check_partitioning": "suites",
    "check_replication": "suites",
    "check_routing": "suites",
    "check_storage": "suites",
    "check_topology": "suites",
}
__all__ = [
    "HOST_CHECKS",
    "ContractBroken",
    "check_conflict",
    "check_consistency",
    "check_host",
    "check_membership",
    "check_partitioning",
    "check_replication",
    "check_routing",
    "check_storage",
    "check_topology",
]


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package for its plugin at every start, with tests of anything."""
    if name not in _WHERE:
        raise AttributeError(f"kvsim.testing has no {name!r}; there are {', '.join(sorted(_WHERE))}")
    return getattr(importlib.import_module(f"kvsim.testing.{_WHERE[name]}"), name)
