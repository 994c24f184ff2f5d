"""Design: one strategy on every axis, with settings; and how the strategies' promises combine into the whole design's.

A strategy declares what it needs, makes moot and excludes, so that a design that makes no sense is refused when it is
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast, get_args

import msgspec

from kvsim.core.guarantee import Promise
from kvsim.core.message import SECOND, Nanoseconds, NodeId
from kvsim.core.operation import Limits
from kvsim.core.replica import Durability

Axis = Literal[
    "topology",
    "routing",
    "partitioning",
    "membership",
    "replication",
    "consistency",
    "conflict",
    "transactions",
    "storage",
]
AXES: tuple[Axis, ...] = get_args(Axis)


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a strategy that has none."""


class Strategy:
    """Base of all strategies: the declarations by which designs are read, refused and described.

    The class's docstring is its page: the first line says what it does, the rest where it comes from and what it
    leaves out.
    """

    axis: ClassVar[Axis]
    Settings: ClassVar[type[msgspec.Struct]] = NoSettings
    """A frozen struct with defaults: its fields are the TOML keys. A field's name carries the unit (`timeout_ns`); the
    file says `timeout = "50ms"`."""
    moot: ClassVar[tuple[Axis, ...]] = ()
    """Axes that have no meaning beside this strategy."""

    @classmethod
    def refusals(cls, settings: Any, design: Design) -> Iterable[str]:
        """Why this strategy cannot stand in this design: reason and remedy, a sentence each. Empty where it can."""
        return ()

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        """What this strategy adds to what the design promises."""
        return ()


class Choice(msgspec.Struct, frozen=True):
    """The strategy on one axis: its name as the file gave it, its class and its settings."""

    name: str
    strategy: type[Strategy]
    settings: Any


class Design(msgspec.Struct, frozen=True):
    """A whole design: what `[design]` in an experiment says, with all defaults filled in."""

    choices: dict[Axis, Choice]
    durability: Durability = "disk"
    timeout_ns: Nanoseconds = SECOND
    """How long a coordinator works on one operation."""
    limits: Limits = Limits()

    def __getitem__(self, axis: Axis) -> Choice:
        return self.choices[axis]

    def uses(self, axis: Axis, *names: str) -> bool:
        """Whether the strategy on this axis has one of these names."""
        return self.choices[axis].name in names

    def setting(self, axis: Axis, name: str, default: Any = None) -> Any:
        """A setting of the strategy on this axis; the default where it has none of this name."""
        return getattr(self.choices[axis].settings, name, default)

    def moot(self) -> tuple[Axis, ...]:
        """Axes that have no meaning in this design, in the order of the axes."""
        named = {axis for choice in self.choices.values() for axis in choice.strategy.moot}
        return tuple(axis for axis in AXES if axis in named)

    def refusals(self) -> list[str]:
        """Why this design makes no sense; empty where it does."""
        return [
            f"{axis} = {choice.name!r}: {reason}"
            for axis, choice in self.choices.items()
            if axis not in self.moot()
            for reason in choice.strategy.refusals(choice.settings, self)
        ]

    def promises(self) -> list[Promise]:
        """What the whole design promises, an axis after the other."""
        moot = self.moot()
        return [
            promise
            for axis, choice in self.choices.items()
            if axis not in moot
            for promise in choice.strategy.promises(choice.settings, self)
        ]

    def described(self) -> dict[str, Any]:
        """The design as plain data, every default filled in and moot axes left out: enough to read it again."""
        moot = self.moot()
        axes: dict[str, Any] = {
            axis: {"strategy": choice.name, **cast(dict[str, Any], msgspec.to_builtins(choice.settings))}
            for axis, choice in self.choices.items()
            if axis not in moot
        }
        return {
            **axes,
            "durability": self.durability,
            "timeout_ns": self.timeout_ns,
            "limits": msgspec.to_builtins(self.limits),
        }


class Cluster(msgspec.Struct, frozen=True):
    """Who is in the cluster, by role. In peer to peer `data` are the peers and `frontends` is empty."""

    data: tuple[NodeId, ...]
    frontends: tuple[NodeId, ...] = ()
    services: tuple[NodeId, ...] = ()
    """Nodes with a role of their own, such as the view service `view-1`."""

    def everyone(self) -> tuple[NodeId, ...]:
        """All nodes."""
        return (*self.services, *self.frontends, *self.data)

    def doors(self) -> tuple[NodeId, ...]:
        """The nodes that take clients' requests."""
        return self.frontends or self.data
