"""What a judge says of a history: refuted, with a witness; not refuted; or undecided, with the reason.

A history can only refute a promise, never prove it.
"""

from typing import Any, TypeAlias

import msgspec

from kvsim.check.wording import in_few_digits
from kvsim.core.history import Key, Operation, json_value, seconds


class Witness(msgspec.Struct, frozen=True):
    """The few operations that cannot be explained together, and why, in a sentence."""

    key: Key | None
    operations: tuple[Operation, ...]
    sentence: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "sentence", in_few_digits(self.sentence, self.operations))


class Refuted(msgspec.Struct, frozen=True):
    """The history breaks the promise; the witness shows where."""

    witness: Witness
    name = "refuted"


class NotRefuted(msgspec.Struct, frozen=True):
    """The history can be explained by a store that keeps the promise."""

    name = "not_refuted"


class Undecided(msgspec.Struct, frozen=True):
    """The judge gave up; the reason says at which limit and how far it came."""

    reason: str
    name = "unknown"


Verdict: TypeAlias = Refuted | NotRefuted | Undecided


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data for JSON: `verdict`, and `witness` or `reason`."""
    plain: dict[str, Any] = {"verdict": verdict.name}
    if isinstance(verdict, Refuted):
        witness = verdict.witness
        plain["witness"] = {
            "key": json_value(witness.key),
            "sentence": witness.sentence,
            "operations": [_operation_as_json(operation) for operation in witness.operations],
        }
    if isinstance(verdict, Undecided):
        plain["reason"] = verdict.reason
    return plain


def _operation_as_json(operation: Operation) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "process": operation.process,
        "op": operation.op,
        "key": json_value(operation.key),
        "outcome": operation.outcome,
        "invoked_s": float(seconds(operation.invoked_ns)),
        "completed_s": None if operation.completed_ns is None else float(seconds(operation.completed_ns)),
        "index": operation.invoked,
    }
    if operation.op == "read" or (operation.op in ("scan", "txn") and operation.outcome == "ok"):
        plain["answer"] = json_value(operation.answer)
    elif operation.value is not None:
        plain["value"] = json_value(operation.value)
    if operation.op == "cas":
        plain["expected"] = json_value(operation.expected)
    return plain
