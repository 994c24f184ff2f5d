"""What every strategy says of itself before anything runs, whatever its axis, can be read and holds together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from kvsim.check.judges import JUDGES
from kvsim.core.axes import Replication
from kvsim.core.design import AXES
from kvsim.core.guarantee import Promise
from kvsim.core.message import Failure
from kvsim.core.operation import Put, Written
from kvsim.core.settings import SettingsError, nearest, read_settings
from kvsim.strategies.catalogue import BUILT_IN
from kvsim.strategies.described import described
from kvsim.testing.by_hand import ByHand
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

UNITLESS = re.compile(r"(?:^|_)(?:timeout|delay|interval|lease|period|duration)$")


def it_is_described(subject: Subject) -> None:
    """Its class says in a line what it does; `kvsim list` shows it."""
    if not (subject.strategy.__doc__ or "").strip():
        refuse(f"the class {subject.strategy.__name__} has no docstring", "write a line below `class …:`")


def its_settings_can_be_read(subject: Subject) -> None:
    """Its settings are a frozen struct with defaults, bounds, meanings, and units in the names."""
    kind: Any = subject.strategy.Settings
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen):
        refuse(f"Settings is {kind!r}", "class MySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True)")
    if not kind.__struct_config__.forbid_unknown_fields:
        refuse(f"{kind.__name__} takes keys that it does not know", "add forbid_unknown_fields=True")
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        where = f"the setting {field.name} of {kind.__name__}"
        if field.required:
            refuse(f"{where} has no default", f"write {field.name}: … = a usual value")
        if UNITLESS.search(field.name):
            refuse(f"{where} does not say its unit", f"call it {field.name}_ns; files then say {field.name} = '50ms'")
        if _is_number(hints[field.name]) and not _has_lower_bound(hints[field.name]):
            refuse(f"{where} takes any number, negative ones too", "write Annotated[int, msgspec.Meta(ge=1)]")
    for setting in described(subject.axis, subject.name, subject.strategy)["settings"]:
        if not setting["meaning"]:
            refuse(f"the setting {setting['key']} is not explained", 'write """what it means""" below the field')
    for settings in (kind(), subject.chosen):
        _read_again(settings)


def _read_again(settings: msgspec.Struct) -> None:
    plain = cast(dict[str, Any], msgspec.to_builtins(settings))
    try:
        again = read_settings(type(settings), plain, "settings")
    except SettingsError as error:
        refuse(f"its own defaults are refused: {error}", "let the defaults lie within the bounds")
    if again != settings:
        refuse(f"{settings} reads as {again}", "let a setting be text, number, truth value, list or table")


def _is_number(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _is_number(get_args(hint)[0])
    return hint in (int, float) or (get_origin(hint) is Union and any(map(_is_number, get_args(hint))))


def _has_lower_bound(hint: Any) -> bool:
    """Somewhere within the type there is a bound from below."""
    metas = [part for part in get_args(hint)[1:] if isinstance(part, msgspec.Meta)]
    if any(meta.ge is not None or meta.gt is not None for meta in metas):
        return True
    return any(_has_lower_bound(part) for part in get_args(hint) if get_origin(part) is not None)


def its_moot_axes_are_axes(subject: Subject) -> None:
    """What it declares moot are other axes."""
    moot: object = subject.strategy.moot
    if not isinstance(moot, tuple):
        refuse(f"moot is {moot!r}", f'write a tuple, with its comma: moot = ("{moot}",)')
    for axis in moot:
        if axis not in AXES:
            refuse(f"moot names {axis!r}{nearest(str(axis), AXES)}", "name axes")
        if axis == subject.axis:
            refuse(f"it declares its own axis, {axis}, moot", "name the axes that mean nothing beside it")


def its_promises_can_be_judged(subject: Subject) -> None:
    """Its promises are sentences, and the judges that they name exist."""
    design = subject.design()
    for promise in subject.strategy.promises(design[subject.axis].settings, design):
        if not isinstance(promise, Promise):
            refuse(f"it promises {promise!r}", "yield kvsim.core.guarantee.Promise(subject, claim, judge)")
        if not (promise.subject.strip() and promise.claim.strip()):
            refuse(f"it promises {promise!r}, which says nothing", "name a subject and make a claim")
        if promise.judge and promise.judge not in JUDGES:
            hint = nearest(promise.judge, JUDGES)
            refuse(f"no judge is called {promise.judge!r}{hint}", "name a judge, or none where none can refute it")


def it_counts_its_copies(subject: Subject) -> None:
    """The number of copies is a whole number from one to the number of nodes asked for."""
    strategy = cast(type[Replication], subject.strategy)
    copies: object = strategy.copies(subject.chosen, subject.nodes)
    if type(copies) is not int or not 1 <= copies <= subject.nodes:
        refuse(f"copies() says {copies!r} for {subject.nodes} nodes", "return how many replicas each key has")


def every_other_choice_is_served_or_refused(subject: Subject) -> None:
    """Beside each strategy of another axis it serves a write, or refuses the design with reason and remedy."""
    served = 0
    for axis, name in _neighbours(subject):
        try:
            design = subject.design(**{axis: name})
        except SettingsError as error:
            for problem in error.problems:
                if ";" not in problem:
                    refuse(f"beside {axis} = {name}: {problem!r} has no remedy", "refuse as 'reason; remedy'")
            continue
        answer = ByHand(design, subject.nodes).insist(Put, b"k", b"v")
        if isinstance(answer, Failure) and answer.code not in ("not_served", "written_once"):
            refuse(
                f"beside {axis} = {name} a first put of a key ends with {answer.code}: {answer.detail}",
                "serve it, or refuse this design in refusals()",
            )
        if not isinstance(answer, Written | Failure):
            refuse(f"beside {axis} = {name} a put is answered with {answer}", "return Written")
        served += isinstance(answer, Written)
    if not served:
        refuse("it refuses every design", "see what refusals() yields")


def _neighbours(subject: Subject) -> Iterator[tuple[str, str]]:
    for axis, names in BUILT_IN.items():
        if axis != subject.axis and axis not in subject.others:
            yield from ((axis, name) for name in names)
