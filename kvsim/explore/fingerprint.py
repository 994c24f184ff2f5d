"""A fingerprint of all that decides what a node does next: its objects, its waiting coroutines, timers and disk.

Two histories of inputs that leave a node with the same fingerprint are the same to a search. What is not understood
makes a node unique, so that nothing is ever taken for the same that might differ.
"""

from __future__ import annotations

import enum
import functools
import gc
import hashlib
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from operator import length_hint
from typing import Any

import msgspec
import msgspec.inspect

from kvsim.core.axes import Placement
from kvsim.core.chance import Chance
from kvsim.core.design import Cluster, Design
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import StepHost, Stepper, StepTimer

DEEPEST = 400
"""Objects within each other; a node that goes deeper is taken for unique."""

_PLAIN = (type(None), bool, int, float, str, bytes)
"""What its `repr` tells apart."""
_CONSTANT = (Design, Cluster)  # the same for every node of a world
_BY_NAME = (
    type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.ModuleType, types.CodeType,
    types.FrameType, msgspec.msgpack.Encoder, msgspec.msgpack.Decoder,
)  # fmt: skip
_ITERATORS = (
    *(type(iter(kind())) for kind in (list, tuple, dict, set, str, bytes)),
    type(iter({}.items())), type(iter({}.values())), enumerate, type(reversed([])), zip, range,
)  # fmt: skip


class _NotUnderstood(Exception):
    """An object of a kind whose state cannot be seen."""


def fingerprint_of(world: Stepper, host: StepHost) -> bytes | None:
    """The node's fingerprint; None if it holds something whose state cannot be seen."""
    walk = _Walk(world)
    try:
        walk.see(host.id, host.incarnation, host.clock_ns, host.chance, host.node)
        for timer in sorted(world.timers.values(), key=lambda timer: (timer.due_ns, timer.number)):
            walk.see(timer.due_ns, timer.call)
        for work in world.works.values():
            walk.see(work.file, work.content, work.done)
        walk.see(host.step_disk.written, host.step_disk.durable, host.step_disk.is_full)
    except (_NotUnderstood, RecursionError):
        return None
    return walk.digest()


class _Walk:
    """One walk through all that a node holds; objects seen before are named by their number."""

    def __init__(self, world: Stepper) -> None:
        self._world = world
        self._tokens: list[str] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no address is used twice
        self._depth = 0

    def digest(self) -> bytes:
        """Of all that was seen."""
        return hashlib.blake2b("\0".join(self._tokens).encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def see(self, *things: Any) -> None:
        """Go through these."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise _NotUnderstood
        say, numbers = self._tokens.append, self._numbers
        for thing in things:
            kind = type(thing)
            look = _LOOK_OF.get(kind) or _look_of(kind)
            if look is _whole:
                say(repr(thing))
            elif look is _Walk._tuple:
                say(f"{kind.__qualname__} {len(thing)}")
                self.see(*thing)
            elif id(thing) in numbers:
                say(f"again {numbers[id(thing)]}")
            else:
                numbers[id(thing)] = len(numbers)
                self._kept.append(thing)
                say(kind.__qualname__)
                look(self, thing)
        self._depth -= 1

    # ---- How to look at each kind

    def _tuple(self, thing: tuple[Any, ...]) -> None:
        self.see(*thing)

    def _placement(self, thing: Placement) -> None:
        # Its members decide where keys lie; the rest is remembered to spare work.
        self.see(thing.members, thing.n)

    def _named(self, thing: Any) -> None:
        self._tokens.append(getattr(thing, "__qualname__", ""))

    def _function(self, thing: types.FunctionType) -> None:
        self._tokens.append(f"{thing.__module__}.{thing.__qualname__}")
        if thing.__defaults__ or thing.__kwdefaults__:
            self.see(thing.__defaults__, thing.__kwdefaults__)
        for cell in thing.__closure__ or ():
            self._cell(cell)

    def _cell(self, cell: types.CellType) -> None:
        try:
            self.see(cell.cell_contents)
        except ValueError:  # not set yet
            self._tokens.append("empty")

    def _method(self, thing: types.MethodType) -> None:
        self.see(thing.__func__, thing.__self__)

    def _partial(self, thing: functools.partial[Any]) -> None:
        self.see(thing.func, thing.args, thing.keywords)

    def _coroutine(self, thing: types.CoroutineType[Any, Any, Any]) -> None:
        frame = thing.cr_frame
        self._tokens.append(str(frame.f_lasti if frame is not None else "ended"))
        # Beside its variables a coroutine holds what it is in the middle of, such as the iterator of a loop.
        self.see(*(held for held in gc.get_referents(thing) if not isinstance(held, types.FrameType | types.CodeType)))

    def _sequence(self, thing: Iterable[Any]) -> None:
        self.see(*thing)
        self._tokens.append("end")

    def _mapping(self, thing: Mapping[Any, Any]) -> None:
        for key, value in thing.items():
            self.see(key, value)
        self._tokens.append("end")

    def _set(self, thing: Iterable[Any]) -> None:
        held = list(thing)
        if not all(isinstance(item, (str, int, bytes)) for item in held):
            raise _NotUnderstood("a set of what has no order")
        self.see(*sorted(held, key=repr))

    def _iterator(self, thing: Any) -> None:
        self.see(thing.__reduce__())

    def _struct(self, thing: msgspec.Struct) -> None:
        self.see(*(getattr(thing, name) for name in thing.__struct_fields__))

    def _timer(self, thing: StepTimer) -> None:
        # Numbers of timers count all that were ever set; only their order matters.
        pending = self._world.timers.get(thing.number)
        if pending is None:
            self._tokens.append("gone")
            return
        rank = sum(number < thing.number for number in self._world.timers)
        self._tokens.append(f"{pending.due_ns} {rank}")

    def _chance(self, thing: Chance) -> None:
        self._tokens.append(thing.path)
        generator = _held(thing, "_random")
        if generator is not None:
            self._tokens.append(str(hash(generator.getstate())))
        else:  # it makes none for its first draws
            few = _held(thing, "_few")
            self._tokens.append("untouched" if few is None else f"{length_hint(few)} of few")

    def _scope(self, thing: Scope) -> None:
        # Its coroutines are found where they wait.
        self.see(list(thing.ready), thing.closed)

    def _error(self, thing: BaseException) -> None:
        self.see(thing.args)

    def _nothing(self, thing: Any) -> None:
        """The world's own; what of it matters is seen elsewhere."""

    def _fields(self, thing: Any) -> None:
        seen = False
        held = getattr(thing, "__dict__", None)
        if held is not None:
            seen = True
            self._mapping(held)
        for owner in type(thing).__mro__:
            slots = owner.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                seen = True
                self.see(name, getattr(thing, name, None))
        if not seen:
            raise _NotUnderstood(type(thing).__qualname__)


def _whole(walk: _Walk, thing: Any) -> None:
    """Its `repr` tells all."""


def _look_of(kind: type) -> Callable[[_Walk, Any], None]:
    """How to look at this kind."""
    look: Callable[[_Walk, Any], None]
    if kind in _PLAIN or issubclass(kind, enum.Enum) or _is_plain(kind):
        look = _whole
    else:
        found = next((look for known, look in _LOOKS if issubclass(kind, known)), None)
        if found is None and kind.__module__ == "builtins":
            raise _NotUnderstood(kind.__qualname__)
        look = found or _Walk._fields
    _LOOK_OF[kind] = look
    return look


def _is_plain(kind: type) -> bool:
    """Whether it is a frozen struct of nothing but plain data."""
    if not issubclass(kind, msgspec.Struct) or not kind.__struct_config__.frozen:
        return False
    try:
        return _has_only_data(msgspec.inspect.type_info(kind), set())
    except Exception:  # noqa: BLE001 - annotations that cannot be read tell nothing
        return False


def _has_only_data(info: Any, seen: set[type]) -> bool:
    if isinstance(info, msgspec.inspect.CustomType | msgspec.inspect.AnyType | msgspec.inspect.RawType):
        return False
    if isinstance(info, msgspec.inspect.StructType):
        if info.cls in seen:
            return True
        seen.add(info.cls)
        return all(_has_only_data(field.type, seen) for field in info.fields)
    inner = [getattr(info, name, None) for name in ("item_type", "key_type", "value_type")]
    inner += [*getattr(info, "item_types", ()), *getattr(info, "types", ())]
    return all(_has_only_data(each, seen) for each in inner if each is not None)


def _held(thing: Chance, name: str) -> Any:
    """What it holds under this name; None where it holds nothing, which to ask for it would change."""
    try:
        return object.__getattribute__(thing, name)
    except AttributeError:
        return None


_LOOKS: tuple[tuple[Any, Callable[[_Walk, Any], None]], ...] = (
    (_CONSTANT, _Walk._nothing),
    (Placement, _Walk._placement),
    (tuple, _Walk._tuple),
    (types.FunctionType, _Walk._function),
    (types.MethodType, _Walk._method),
    (_BY_NAME, _Walk._named),
    (types.CoroutineType, _Walk._coroutine),
    (types.CellType, _Walk._cell),
    (functools.partial, _Walk._partial),
    ((dict, types.MappingProxyType), _Walk._mapping),
    ((list, deque), _Walk._sequence),
    ((set, frozenset), _Walk._set),
    (_ITERATORS, _Walk._iterator),
    (StepTimer, _Walk._timer),
    ((StepHost, Stepper), _Walk._nothing),
    (Chance, _Walk._chance),
    (Scope, _Walk._scope),
    (BaseException, _Walk._error),
    (msgspec.Struct, _Walk._struct),
)
"""How to look at what; the first that fits. All else by its attributes."""
_LOOK_OF: dict[type, Callable[[_Walk, Any], None]] = {}
"""The same by kind, as far as kinds have been met."""
