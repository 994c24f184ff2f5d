"""What the tests hunt: weak strategies, each in the world in which its weakness shows, and designs that are correct."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kvsim.lab.experiment import Experiment, read_experiment

WEAK = Path(__file__).parent / "weak"
SLOW_DISKS = {"disk": {"sync": "20ms"}}
INSERTS = {"mix": {"read": 0.2, "insert": 0.8}}
"""Most keys are written once, so that no later write hides a loss."""
FRONTENDS_COORDINATE = {"strategy": "client_server", "coordinator": "frontend"}


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Weak(NamedTuple):
    """A weak design, what is refuted of it, and the circumstances that bring it out sooner than a hunt's own would."""

    strategy: str
    refuted: tuple[str, ...]
    """The judges that may be the first to see it."""
    design: Mapping[str, Any] = NOTHING
    workload: Mapping[str, Any] = NOTHING
    machines: Mapping[str, Any] = NOTHING
    nemesis: Mapping[str, Any] = NOTHING

    def experiment(self) -> Experiment:
        """As a user would write it."""
        table = {
            "design": {"replication": self.strategy, **self.design},
            "cluster": {"frontends": 2},
            "nemesis": {"swarm": False, **self.nemesis},
        }
        table |= {name: part for name in ("workload", "machines") if (part := dict(getattr(self, name)))}
        return read_experiment(table, WEAK / "experiment.toml")


WEAK_DESIGNS = [
    Weak("quorum_early.py:AnswersEarly", ("durability",), {}, INSERTS, SLOW_DISKS, {"kinds": {"crash": 1}}),
    Weak(
        "quorum_no_write_back.py:NoWriteBack",
        ("linearizable",),
        {"consistency": "linearizable", "topology": FRONTENDS_COORDINATE},
        nemesis={"kinds": {"delay": 1, "crash": 1}},
    ),
    Weak("primary_async.py:ClaimsTooMuch", ("durability",), {}, INSERTS, nemesis={"kinds": {"partition": 1}}),
    Weak(
        "primary_unfenced.py:BelievesInItself",
        ("linearizable",),
        workload={"mix": {"read": 0.95, "put": 0.05}},
        nemesis={"kinds": {"partition": 1}, "shortest": {"partition": "800ms"}},
    ),
    Weak("raft_old_reads.py:ReadsAtOnce", ("linearizable",)),
]

CORRECT: dict[str, dict[str, Any]] = {
    "linearizable quorum": {"replication": "quorum", "consistency": "linearizable", "topology": FRONTENDS_COORDINATE},
    "eventual quorum": {"replication": "quorum", "topology": "peer_to_peer"},
    "raft": {"replication": "raft"},
    "primary-backup": {"replication": "primary_backup"},
    "single copy": {"replication": "single_copy"},
}


def correct(name: str) -> Experiment:
    """A design that keeps its promises."""
    return read_experiment({"design": CORRECT[name], "cluster": {"frontends": 2}}, WEAK / "experiment.toml")
