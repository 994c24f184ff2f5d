"""What a door tells about its cluster, asked of all nodes anew: design, nodes, their roles now, where a key lies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from kvsim.core.message import Envelope, Message, NodeId, text_of
from kvsim.core.operation import Key
from kvsim.real.cluster_file import Plan
from kvsim.real.host import RealHost

WAIT_S = 0.5
"""How long a node may take to tell its status before it counts as unreachable."""


class StatusAsked(Message, tag="real.status_asked"):
    """Process to process: what is your status?"""

    number: int


class StatusTold(Message, tag="real.status_told"):
    """The answer."""

    number: int
    status: bytes
    """As `RealHost.status`, in JSON."""


KINDS = (StatusAsked, StatusTold)


class Overview:
    """Answers and asks for status, beside the node: its program neither sees nor delays these messages."""

    def __init__(self, host: RealHost, plan: Plan) -> None:
        self._host, self._plan = host, plan
        self._number = 0
        self._asked: dict[int, tuple[dict[NodeId, dict[str, Any]], asyncio.Event]] = {}
        host.serve_kind(StatusAsked, self._answer)
        host.serve_kind(StatusTold, self._collect)

    async def describe(self, key: Key | None = None) -> Mapping[str, Any]:
        """Plain data for `GET /v1/cluster`; with where the key lies, when one is given."""
        file, cluster = self._plan.file, self._plan.cluster
        statuses = await self._ask_all()
        roles: dict[str, list[NodeId]] = {}
        for node, status in statuses.items():
            for role in status["roles"]:
                roles.setdefault(role, []).append(node)
        described: dict[str, Any] = {
            "cluster": file.cluster_id,
            "design": self._plan.design.described(),
            "nodes": msgspec.to_builtins(cluster),
            "unreachable": [node for node in cluster.everyone() if node not in statuses],
            "roles": roles,
            "view": self._host.status()["view"],
            "http": file.http,
            "resp": file.resp,
            "status": statuses,
        }
        if key is not None:
            described["key"] = {"key": text_of(key), "replicas": self._host.replicas_of(key)}
        return described

    async def _ask_all(self) -> dict[NodeId, dict[str, Any]]:
        self._number = number = self._number + 1
        others = [node for node in self._plan.cluster.everyone() if node != self._host.id]
        statuses: dict[NodeId, dict[str, Any]] = {self._host.id: self._host.status()}
        complete = asyncio.Event()
        self._asked[number] = (statuses, complete)
        for node in others:
            self._host.send(node, Envelope(StatusAsked(number)))
        try:
            if others:
                async with asyncio.timeout(WAIT_S):
                    await complete.wait()
        except TimeoutError:
            pass
        finally:
            del self._asked[number]
        return {node: statuses[node] for node in self._plan.cluster.everyone() if node in statuses}

    def _answer(self, sender: NodeId, asked: StatusAsked) -> None:
        told = StatusTold(asked.number, msgspec.json.encode(self._host.status()))
        self._host.send(sender, Envelope(told))

    def _collect(self, sender: NodeId, told: StatusTold) -> None:
        asked = self._asked.get(told.number)
        if asked is not None:
            statuses, complete = asked
            statuses[sender] = msgspec.json.decode(told.status)
            if len(statuses) == len(self._plan.cluster.everyone()):
                complete.set()
