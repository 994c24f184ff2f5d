"""A finished run as bytes: what a sweep's process hands back, and what is kept so that no run is made twice."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from kvsim.check.verdict import Verdict
from kvsim.core.history import Event, History
from kvsim.core.message import Nanoseconds
from kvsim.lab.experiment import Setup
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases, Stock
from kvsim.lab.run import Run

_VERDICTS: dict[str, type[Any]] = {kind.name: kind for kind in get_args(Verdict)}


class _Judged(msgspec.Struct, frozen=True):
    name: str
    verdict: msgspec.Raw


class _Seen(msgspec.Struct, frozen=True):
    events: list[Event]
    phases: Phases
    errors: dict[int, str]
    intended_ns: dict[int, Nanoseconds]
    faults: list[FaultWindow]
    costs: Costs
    stock: Stock | None
    not_loaded: int


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run. What clients saw and the trace are packed, since few of them are looked at again."""

    metrics: dict[str, int | float]
    verdicts: dict[str, _Judged]
    failures: tuple[str, ...]
    seen: bytes
    trace: bytes | None = None
    """`trace.jsonl`, compressed by gzip, of a traced run."""

    def encode(self) -> bytes:
        """As bytes."""
        return _encode(self)

    def run(self, setup: Setup, seed: int, seen: Callable[[], bytes] | None = None) -> Run:
        """The run again. `seen` gives the packed observations each time that they are asked for."""
        packed = seen or (lambda: self.seen)
        verdicts = {
            name: msgspec.msgpack.decode(judged.verdict, type=_VERDICTS[judged.name])
            for name, judged in self.verdicts.items()
        }
        return Run(setup, seed, lambda: _unpacked(packed(), setup), dict(self.metrics), verdicts, tuple(self.failures))


def outcome_of(run: Run, trace: bytes | None = None) -> Outcome:
    """A run that is over, ready to be kept; `trace` as `trace.jsonl` has it."""
    seen = run.seen
    plain = _Seen(
        seen.history.events, seen.phases, seen.errors, seen.intended_ns, seen.faults, seen.costs, seen.stock,
        seen.not_loaded,
    )  # fmt: skip
    verdicts = {name: _Judged(verdict.name, msgspec.Raw(_encode(verdict))) for name, verdict in run.verdicts.items()}
    packed = zlib.compress(_encode(plain), level=1)
    return Outcome(
        run.metrics, verdicts, run.failures, packed, None if trace is None else gzip.compress(trace, 1, mtime=0)
    )


def read_outcome(data: bytes) -> Outcome:
    """Raises msgspec.MsgspecError where the bytes are no outcome."""
    return msgspec.msgpack.decode(data, type=Outcome)


def _unpacked(packed: bytes, setup: Setup) -> Observations:
    seen = msgspec.msgpack.decode(zlib.decompress(packed), type=_Seen)
    return Observations(
        History(seen.events), seen.phases, setup.cluster, errors=seen.errors, intended_ns=seen.intended_ns,
        faults=seen.faults, costs=seen.costs, stock=seen.stock, not_loaded=seen.not_loaded,
    )  # fmt: skip


_encode = msgspec.msgpack.encode
