"""Strategies that say of themselves what nobody can read, hold them to, or make use of."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import msgspec

from kvsim.core.design import Design
from kvsim.core.guarantee import Promise
from kvsim.strategies.replication.single_copy import SingleCopy


class SaysNothing(SingleCopy):
    __doc__ = None


class NoDefaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings without a default."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    """Replicas."""


class NoDefault(SingleCopy):
    """Cannot be used without settings."""

    Settings = NoDefaultSettings


class NoBoundSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings without a bound."""

    n: int = 3
    """Replicas."""


class NoBound(SingleCopy):
    """Takes n = -1."""

    Settings = NoBoundSettings


class NoUnitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings without a unit."""

    timeout: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Of what?"""


class NoUnit(SingleCopy):
    """Has a time in nobody knows what."""

    Settings = NoUnitSettings


class UnexplainedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings without a word."""

    n: Annotated[int, msgspec.Meta(ge=1)] = 3


class Unexplained(SingleCopy):
    """Does not say what n is."""

    Settings = UnexplainedSettings


class OutOfBoundsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings whose default is out of bounds."""

    n: Annotated[int, msgspec.Meta(ge=5)] = 3
    """Replicas."""


class OutOfBounds(SingleCopy):
    """Would refuse its own default."""

    Settings = OutOfBoundsSettings


class CanChangeSettings(msgspec.Struct):
    """Settings that are not frozen."""


class CanChange(SingleCopy):
    """Its settings can change while it runs."""

    Settings = CanChangeSettings


class NoComma(SingleCopy):
    """Forgets the comma of a tuple."""

    moot: ClassVar[Any] = "conflict"


class NoAxis(SingleCopy):
    """Declares moot what is no axis."""

    moot: ClassVar[Any] = ("conflicts",)


class UnknownJudge(SingleCopy):
    """Names a judge that there is not."""

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Promise]:
        yield Promise("consistency", "linearisable", "linearisable")


class NoPromise(SingleCopy):
    """Promises a text."""

    @classmethod
    def promises(cls, settings: Any, design: Design) -> Iterable[Any]:
        yield "all will be well"


class DoublesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A setting that reads otherwise than it was written."""

    name: str = "x"
    """A name."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", self.name * 2)


class Doubles(SingleCopy):
    """Its design cannot be read from its description."""

    Settings = DoublesSettings


class CountsInWords(SingleCopy):
    """Says three when asked for a number."""

    @classmethod
    def copies(cls, settings: Any, nodes: int) -> Any:
        return 0


class ContradictsItself(SingleCopy):
    """Refuses the consistency that it names as its usual one."""

    @classmethod
    def usual_consistency(cls, settings: Any) -> str:
        return "eventual"

    @classmethod
    def refusals(cls, settings: Any, design: Design) -> Iterable[str]:
        if design.uses("consistency", "eventual"):
            yield "it is better than that; claim 'linearizable'"


class NoRemedy(SingleCopy):
    """Refuses a design and does not say what to do."""

    @classmethod
    def refusals(cls, settings: Any, design: Design) -> Iterable[str]:
        if design.uses("topology", "peer_to_peer"):
            yield "no peers"


class TellsNumbers(SingleCopy):
    """Tells of itself in numbers."""

    def status(self) -> Any:
        return {"term": 3}
