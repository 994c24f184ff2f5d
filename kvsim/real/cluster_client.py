"""A client that speaks the cluster's own frames over TCP: the shortest way into a running cluster, past all doors."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kvsim.core.chance import Chance
from kvsim.core.message import Channel, Codec, Envelope, NodeId
from kvsim.core.operation import AnyOperation, AnyResult
from kvsim.real.cluster_file import Plan
from kvsim.real.filter import LinkFault, LinkFilter
from kvsim.real.local_client import LocalClient
from kvsim.real.timers import Timers
from kvsim.strategies.catalogue import message_kinds
from kvsim.transport.complaints import Complaints
from kvsim.transport.frames import PROTOCOL_VERSION, CorruptFrame, Hello
from kvsim.transport.tcp import Streams


class ClusterClient:
    """One client, many operations at a time. Make it within a running event loop; `close` it at the end.

    It never retries, so that what it saw is a history. An operation whose connection breaks ends with `OutcomeUnknown`.
    """

    def __init__(self, plan: Plan, name: str = "") -> None:
        self.plan = plan
        self.name = name or f"client-{secrets.token_hex(4)}"
        self._codec = Codec(message_kinds(plan.design))
        me = Hello(PROTOCOL_VERSION, plan.file.cluster_id, plan.file.fingerprint, self.name, 1)
        self._streams = Streams(me, plan.file.addresses, self._receive, self._lost, Complaints())
        self._nodes: dict[NodeId, LocalClient] = {}
        self.messages_sent = self.bytes_sent = 0
        self._there: LinkFilter | None = None
        """Hurts what this client sends, and the next one what it is sent."""
        self._back: LinkFilter | None = None

    def set_faults(self, faults: Mapping[NodeId, LinkFault], chance: Chance) -> None:
        """Let these faults hurt the ways to these nodes and back, in place of those that stood."""
        if self._there is None or self._back is None:
            after = Timers(asyncio.get_running_loop(), lambda call: call()).after
            there, back = _Way(self._streams, self._streams.send), _Way(self._streams, self._take)
            self._there = LinkFilter(there, chance.stream("there"), time.monotonic_ns, after)
            self._back = LinkFilter(back, chance.stream("back"), time.monotonic_ns, after)
        self._there.install(faults)
        self._back.install(faults)

    async def perform(self, op: AnyOperation, at: NodeId) -> AnyResult:
        """Do one operation at this node of `cluster.doors()`. Raises an `OperationError`."""
        return await self.begin(op, at)

    def begin(self, op: AnyOperation, at: NodeId) -> asyncio.Future[AnyResult]:
        """Begin an operation; the future ends as `perform` does. Raises `TooLarge` at once."""
        self.plan.design.limits.check(op)
        node = self._nodes.get(at)
        if node is None:

            def deliver(_: NodeId, envelope: Envelope[Any]) -> None:
                payload = self._codec.encode(envelope)
                self.messages_sent += 1
                self.bytes_sent += len(payload)
                if self._there is not None and at in self._there.concerned:
                    self._there.transmit(at, payload, Channel.STREAM)
                else:
                    self._streams.send(at, payload)

            node = self._nodes[at] = LocalClient(self.name, deliver, self.plan.design.timeout_ns)
        return node.future(op)

    def close(self) -> None:
        """Hang up."""
        self._streams.close()
        for node in self._nodes.values():
            node.close("the client has hung up")

    def _receive(self, peer: NodeId, payload: bytes) -> None:
        if self._back is not None and peer in self._back.concerned:
            self._back.transmit(peer, payload, Channel.STREAM)
        else:
            self._take(peer, payload)

    def _take(self, peer: NodeId, payload: bytes) -> None:
        try:
            envelope = self._codec.decode(payload)
        except msgspec.MsgspecError as error:
            raise CorruptFrame(f"a message that this client does not know ({error})") from error
        self._nodes[peer].receive(peer, envelope)

    def _lost(self, peer: NodeId) -> None:
        reason = self._streams.refusals.get(peer, "the connection broke, or there was none")
        self._nodes[peer].give_up_all(f"{peer}: {reason}")


class _Way:
    """What a client's filter stands before."""

    def __init__(self, streams: Streams, send: Callable[[NodeId, bytes], None]) -> None:
        self._streams, self._send = streams, send

    def transmit(self, to: NodeId, payload: bytes, channel: Channel) -> None:
        self._send(to, payload)

    def break_streams(self, peer: NodeId) -> None:
        self._streams.break_with(peer)
