"""Topologies and routings that lead nowhere."""

from typing import Any

from kvsim.core.axes import Consistency, Routing, Site
from kvsim.core.message import NodeId
from kvsim.core.node import Component, answers
from kvsim.core.operation import AnyOperation, AnyResult, NotServed, Perform
from kvsim.core.waiting import Future
from kvsim.strategies.routing.one_hop import OneHop
from kvsim.strategies.topology.client_server import ClientServer, ServerFrontend


class CountsBackwards(ClientServer):
    """Has fewer frontends than none."""

    @classmethod
    def frontends(cls, asked: int) -> int:
        return asked + 1


class OneDoor(ClientServer):
    """Only the first frontend serves."""

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        if site.host.id == "frontend-2":
            return Closed()
        return super().door(site, settings, routing, consistency)


class Closed(Component):
    """Serves nothing."""

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        raise NotServed("closed")


class NeverAnswers(Component):
    """Takes requests and forgets them."""

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        return await Future[AnyResult]()


class DeafDoor(ClientServer):
    """The second frontend never answers."""

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        if site.host.id == "frontend-2":
            return NeverAnswers()
        return super().door(site, settings, routing, consistency)


class TakesAnySize(ClientServer):
    """Does not look at the limits."""

    @classmethod
    def door(cls, site: Site, settings: Any, routing: Routing, consistency: Consistency | None) -> Component:
        if site.role == "frontend":
            return Unlimited(site, routing, None)
        return super().door(site, settings, routing, consistency)


class Unlimited(ServerFrontend):
    """Passes everything on."""

    @answers(Perform)
    async def perform(self, sender: NodeId, m: Perform) -> AnyResult:
        return await self.forward(m.operation)


class AsksOne(OneHop):
    """Knows the owner alone, so that its crash takes the key away."""

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        return (await super().find(op))[:1]


class FindsNobody(OneHop):
    """Finds no node."""

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        return ()


class FindsStrangers(OneHop):
    """Finds the door itself."""

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        return ("frontend-1",)


class ChangesItsMind(OneHop):
    """Finds other nodes the next time."""

    turn = 0

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        self.turn += 1
        found = await super().find(op)
        return found[self.turn % len(found) :] + found[: self.turn % len(found)]


class FindsTheOthers(OneHop):
    """Finds those first that do not hold the key."""

    async def find(self, op: AnyOperation) -> tuple[NodeId, ...]:
        found = await super().find(op)
        return (*(node for node in self.site.placement.members if node not in found), *found)
