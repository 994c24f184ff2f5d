"""A design combines what its strategies declare: what is moot, why it is refused, what it promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from kvsim.core.design import AXES, Axis, Choice, Cluster, Design, NoSettings, Strategy
from kvsim.core.guarantee import Level, Promise, consistency, durability


class Plain(Strategy):
    axis: ClassVar[Axis] = "partitioning"

    @classmethod
    def refusals(cls, settings: Any, design: Design) -> Iterable[str]:
        yield "this one never fits; use another"

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        yield Promise("partitioning", "spreads")


class CopySettings(msgspec.Struct, frozen=True):
    n: int = 3


class Copies(Strategy):
    axis: ClassVar[Axis] = "replication"
    Settings = CopySettings

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        yield Promise("faults", f"{settings.n} copies, {design.durability}")


class Group(Copies):
    moot = ("conflict", "partitioning")


def design(replication: type[Strategy]) -> Design:
    return Design(
        {
            "partitioning": Choice("plain", Plain, NoSettings()),
            "replication": Choice("copies", replication, CopySettings(n=5)),
        },
        durability="memory",
    )


def test_a_refusal_names_the_axis_and_the_strategy() -> None:
    assert design(Copies).refusals() == ["partitioning = 'plain': this one never fits; use another"]


def test_what_is_moot_neither_refuses_nor_promises_nor_is_described() -> None:
    made = design(Group)
    assert made.moot() == ("partitioning", "conflict"), "in the order of the axes"
    assert made.refusals() == []
    assert made.promises() == [Promise("faults", "5 copies, memory")]
    assert "partitioning" not in made.described()


def test_promises_come_an_axis_after_the_other() -> None:
    assert [promise.subject for promise in design(Copies).promises()] == ["partitioning", "faults"]


def test_a_design_is_described_with_every_default() -> None:
    assert design(Copies).described() == {
        "partitioning": {"strategy": "plain"},
        "replication": {"strategy": "copies", "n": 5},
        "durability": "memory",
        "timeout_ns": 10**9,
        "limits": {"key_bytes": 1_024, "value_bytes": 1_048_576},
    }


def test_settings_and_names_can_be_asked() -> None:
    made = design(Copies)
    assert made.uses("replication", "other", "copies")
    assert not made.uses("replication", "other")
    assert (made.setting("replication", "n"), made.setting("replication", "w", 7)) == (5, 7)
    assert made["partitioning"].strategy is Plain


def test_only_what_a_history_can_refute_has_a_judge() -> None:
    assert consistency(Level.LINEARIZABLE, "why").judge == "linearizable"
    assert consistency(Level.EVENTUAL, "why") == Promise("consistency", "eventual: why", "convergence")
    assert durability("kept", judged=True).judge == "durability"
    assert durability("kept", judged=False).judge == ""


def test_a_higher_level_implies_those_below_it() -> None:
    assert Level.LINEARIZABLE > Level.SEQUENTIAL > Level.CAUSAL > Level.EVENTUAL


def test_clients_talk_to_frontends_where_there_are_any() -> None:
    served = Cluster(("data-1", "data-2"), ("frontend-1",), ("view-1",))
    assert served.doors() == ("frontend-1",)
    assert served.everyone() == ("view-1", "frontend-1", "data-1", "data-2")
    assert Cluster(("node-1", "node-2")).doors() == ("node-1", "node-2")


def test_the_axes_are_those_of_the_house() -> None:
    assert AXES == (
        "topology",
        "routing",
        "partitioning",
        "membership",
        "replication",
        "consistency",
        "conflict",
        "transactions",
        "storage",
    )
