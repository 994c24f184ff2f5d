"""How a witness speaks: operations and times in words that a student understands."""

import json
from collections.abc import Iterable
from typing import Any

from kvsim.core.history import Operation

_LONGEST_SHOWN = 40


def shown(value: Any) -> str:
    """A value on one line, safe on a terminal, cut when long."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, bytes) else json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def counted(number: int, what: str) -> str:
    """`1 operation`, `2,000 operations`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def at(time_ns: int | None, digits: int | None = None) -> str:
    """A moment: 1_204_000_000 is `1.204 s`; three digits at least, by default as many as it has."""
    if digits is not None:
        step = 10 ** (9 - digits)
        time_ns = ((time_ns or 0) + step // 2) // step * step
    whole, part = divmod(time_ns or 0, 1_000_000_000)
    text = f"{part:09d}"[:digits] if digits is not None else f"{part:09d}".rstrip("0")
    return f"{whole}.{text:0<3} s"


def moments(found: Iterable[Operation]) -> set[int]:
    """When operations began and ended."""
    return {time_ns for o in found for time_ns in (o.invoked_ns, o.completed_ns) if time_ns is not None}


def digits_for(times_ns: Iterable[int]) -> int:
    """How many digits behind the point tell these moments apart, three at least."""
    different = set(times_ns)
    return next((n for n in range(3, 9) if len({at(time_ns, n) for time_ns in different}) == len(different)), 9)


def in_few_digits(sentence: str, found: Iterable[Operation]) -> str:
    """A sentence about operations, its times with no more digits than tell the operations' moments apart."""
    times_ns = moments(found)
    digits = digits_for(times_ns)
    for time_ns in sorted(times_ns, key=lambda t: -len(at(t))):
        sentence = sentence.replace(f" {at(time_ns)}", f" {at(time_ns, digits)}")
    return sentence


def deed(operation: Operation) -> str:
    """Whose operation it is, and what it does: `process 1's write of 1`."""
    return f"process {operation.process}'s {_what(operation)}"


def done(operation: Operation) -> str:
    """What an operation did, without who and when: `write of 1`, `read 0`, `found the key absent`."""
    if operation.op == "read":
        return "found the key absent" if operation.answer is None else f"read {shown(operation.answer)}"
    if operation.op == "txn":
        return _transaction(operation)
    if operation.op == "scan":
        return f"scanned from {shown(operation.key)}: {shown(operation.answer)}"
    return _what(operation) + (" (failed)" if operation.outcome == "fail" else "")


def _transaction(operation: Operation) -> str:
    mops = operation.answer if operation.outcome == "ok" else operation.value
    words = {"r": "read {} from {}", "append": "append {} to {}", "w": "write {} to {}"}
    told_ = [words[f].format(shown(None if value == [] else value), shown(key)) for f, key, value in mops[:6]]
    more = ", …" if len(mops) > len(told_) else ""
    return ", ".join(told_) + more


def _what(operation: Operation) -> str:
    return {
        "put": f"write of {shown(operation.value)}",
        "create": f"create of {shown(operation.value)}",
        "update": f"update to {shown(operation.value)}",
        "append": f"append of {shown(operation.value)}",
        "cas": f"cas from {shown(operation.expected)} to {shown(operation.value)}",
    }.get(operation.op, operation.op)


def told(operation: Operation) -> str:
    """What the client was told, and when: `process 3 read 0 at 1.204 s`."""
    if operation.op == "read":
        return f"process {operation.process} {done(operation)} at {at(operation.completed_ns)}"
    if operation.outcome == "info":
        return f"{deed(operation)}, of unknown outcome, began at {at(operation.invoked_ns)}"
    return f"{deed(operation)} was acknowledged at {at(operation.completed_ns)}"


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
