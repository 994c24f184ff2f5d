"""What a node holds, key by key: enough to compare replicas, without the values themselves."""

from __future__ import annotations

import hashlib

import msgspec

from kvsim.core.axes import Replication, Site
from kvsim.core.host import Program
from kvsim.core.message import NodeId
from kvsim.core.node import Node
from kvsim.core.operation import Key


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key at one node."""

    key: Key
    size_bytes: int
    """Of key and value."""
    digest: bytes
    """Of value and version: equal where replicas hold the same record."""
    replicas: tuple[NodeId, ...]
    """The nodes that should hold the key, as this node sees it."""


def _site(program: Program | None) -> Site | None:
    parts = program.components if isinstance(program, Node) else ()
    return next((part.site for part in parts if isinstance(part, Replication)), None)


def remembered_by(program: Program | None) -> dict[str, str]:
    """The node's session table: each request that it knows as done, with the version that it led to."""
    site = _site(program)
    if site is None or site.replica is None:
        return {}
    return {str(request): str(result.version) for request, result in site.replica.sessions.items()}


def held_by(program: Program | None) -> list[Held] | None:
    """What the node holds, tombstones included; None where it is down, or no node with a replica."""
    site = _site(program)
    if site is None or site.replica is None:
        return None
    return [
        Held(
            key,
            len(key) + len(record.value or b""),
            hashlib.blake2b(msgspec.msgpack.encode(record), digest_size=8).digest(),
            site.placement.replicas(key),
        )
        for key, record in site.replica.records.items()
    ]
