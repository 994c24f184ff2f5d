"""A finished run as bytes: what a sweep's process hands back, and what is kept so that no run is made twice."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from kvsim.check.verdict import NotRefuted, Refuted, Undecided, Verdict, Witness
from kvsim.core.history import Operation, loads_history
from kvsim.core.message import Nanoseconds
from kvsim.lab.experiment import Setup
from kvsim.lab.observations import Costs, FaultWindow, Observations, Phases, Stock
from kvsim.lab.run import Run


class _Judged(msgspec.Struct, frozen=True):
    name: str
    verdict: dict[str, Any]


class _Seen(msgspec.Struct, frozen=True):
    history: bytes
    """As `history.jsonl` has it."""
    phases: Phases
    errors: dict[int, str]
    intended_ns: dict[int, Nanoseconds]
    faults: list[FaultWindow]
    costs: Costs
    stock: Stock | None
    not_loaded: int
    never_struck: tuple[str, ...]


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
        verdicts = {name: _verdict(judged) for name, judged in self.verdicts.items()}
        return Run(setup, seed, lambda: _unpacked(packed(), setup), dict(self.metrics), verdicts, tuple(self.failures))


def outcome_of(run: Run, trace: bytes | None = None) -> Outcome:
    """A run that is over, ready to be kept; `trace` as `trace.jsonl` has it."""
    seen = run.seen
    plain = _Seen(
        seen.history.dumps(), seen.phases, seen.errors, seen.intended_ns, seen.faults, seen.costs, seen.stock,
        seen.not_loaded, seen.never_struck,
    )  # fmt: skip
    verdicts = {
        name: _Judged(verdict.name, msgspec.to_builtins(verdict, builtin_types=(bytes,)))
        for name, verdict in run.verdicts.items()
    }
    packed = zlib.compress(_encode(plain), level=1)
    return Outcome(
        run.metrics, verdicts, run.failures, packed, None if trace is None else gzip.compress(trace, 1, mtime=0)
    )


def read_outcome(data: bytes) -> Outcome:
    """Raises msgspec.MsgspecError where the bytes are no outcome."""
    return msgspec.msgpack.decode(data, type=Outcome)


def _verdict(judged: _Judged) -> Verdict:
    """msgspec cannot read `str | bytes` by its type, so a witness is put together by hand."""
    plain = judged.verdict
    if judged.name == Refuted.name:
        told = plain["witness"]
        operations = tuple(Operation(**operation) for operation in told["operations"])
        return Refuted(Witness(told["key"], operations, told["sentence"]))
    return Undecided(**plain) if judged.name == Undecided.name else NotRefuted()


def _unpacked(packed: bytes, setup: Setup) -> Observations:
    seen = msgspec.msgpack.decode(zlib.decompress(packed), type=_Seen)
    return Observations(
        loads_history(seen.history), seen.phases, setup.cluster, errors=seen.errors, intended_ns=seen.intended_ns,
        faults=seen.faults, costs=seen.costs, stock=seen.stock, not_loaded=seen.not_loaded,
        never_struck=seen.never_struck,
    )  # fmt: skip


_encode = msgspec.msgpack.encode
