"""What a supervisor and its nodes say to each other, in lines of JSON: orders on a node's stdin, reports on its stdout.

A pipe is nobody else's: it needs no port and no password, and it ends when the supervisor does, whatever ended it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kvsim.core.message import NodeId
from kvsim.real.filter import LinkFault


class SetFaults(msgspec.Struct, frozen=True, tag="faults", tag_field="order"):
    """Let these faults stand on the node's links, and no others."""

    faults: dict[NodeId, LinkFault]


class AskStatus(msgspec.Struct, frozen=True, tag="status", tag_field="order"):
    """Report the node's state."""


class AskHeld(msgspec.Struct, frozen=True, tag="held", tag_field="order"):
    """Report what the node's replica holds, key by key."""


Order = SetFaults | AskStatus | AskHeld


class Ready(msgspec.Struct, frozen=True, tag="ready", tag_field="report"):
    """The node and its doors take requests."""

    pid: int


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="report"):
    """An order was carried out."""

    result: dict[str, Any] = {}


Report = Ready | Done

_encode = msgspec.json.Encoder().encode
_order: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_report: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


def line(said: Order | Report) -> bytes:
    """What is said, as a line."""
    return _encode(said) + b"\n"


def read_order(text: bytes) -> Order:
    """The order on a line. Raises `msgspec.MsgspecError`."""
    return _order.decode(text)


def read_report(text: bytes) -> Report:
    """The report on a line. Raises `msgspec.MsgspecError`."""
    return _report.decode(text)
