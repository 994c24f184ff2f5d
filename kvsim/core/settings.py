"""Settings: TOML tables read into typed structs, with units and with errors that name file, key path and remedy.

A field's name carries its unit: `timeout_ns` is written `timeout = "50ms"`, `size_bytes` is `size = "4KiB"`.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """A file says what makes no sense. `problems` are all that were found, a sentence each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


_NANOSECONDS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "min": 60 * 10**9, "h": 3_600 * 10**9}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BITS = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}


def _quantity(text: str, units: Mapping[str, int], example: str) -> int:
    if text.lstrip().startswith("-"):
        raise ValueError(f"must not be negative, got {text!r}")
    match = re.fullmatch(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-zµ/]*)\s*", text)
    if match is None or match[2] not in units:
        raise ValueError(
            f"expected a quantity like {example!r} (units: {', '.join(u for u in units if u)}), got {text!r}"
        )
    return round(Fraction(match[1].replace("_", "")) * units[match[2]])


def duration_ns(text: str) -> int:
    """`"50ms"` → 50,000,000. Raises ValueError with the units known."""
    return _quantity(text, _NANOSECONDS, "50ms")


def size_bytes(text: str) -> int:
    """`"4KiB"` → 4,096. Raises ValueError with the units known."""
    return _quantity(text, _BYTES, "4KiB")


def rate_bytes_per_s(text: str) -> int:
    """`"1Gbit/s"` or `"100MB/s"` → bytes a second. Raises ValueError with the units known."""
    if text.endswith("bit/s"):
        return _quantity(text, _BITS, "1Gbit/s") // 8
    return _quantity(text, {f"{unit}/s": size for unit, size in _BYTES.items() if unit}, "100MB/s")


def shown_duration(time_ns: float) -> str:
    """A duration for people: `1.5 ms`."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(time_ns) >= size:
            return f"{time_ns / size:.4g} {unit}"
    return f"{time_ns:.4g} ns"


def shown_size(size_bytes: int) -> str:
    """A size for people, exact, and as a file may have it: `1 MiB`, `1500 B`."""
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]} {unit}"
    return f"{size_bytes} B"


def shown_quantity(field: str, value: int) -> str:
    """A value of this field with the unit that the field's name tells; the number alone where it tells none."""
    if field.endswith("_bytes_per_s"):
        return f"{shown_size(value)}/s"
    if field.endswith("_bytes"):
        return shown_size(value)
    return shown_duration(value) if field.endswith("_ns") else str(value)


class _Unit(NamedTuple):
    suffix: str
    parse: Callable[[str], int]


_UNITS = (_Unit("_bytes_per_s", rate_bytes_per_s), _Unit("_ns", duration_ns), _Unit("_bytes", size_bytes))


def toml_name(field: str) -> str:
    """The key that a file uses for this field: the name without its unit."""
    return next((field.removesuffix(unit.suffix) for unit in _UNITS if field.endswith(unit.suffix)), field)


LISTED_CHARACTERS = 160
"""A list of names in an error that is longer than this is cut: it is to be read at one glance."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: `; did you mean 'quorum'? Others: raft, single_copy`; or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.55)
    if not close:
        return f"; there is {', '.join(names)}" if names else ""
    others = [other for other in names if other != close[0]]
    return f"; did you mean {close[0]!r}?" + (f" Others: {_listed(others)}" if others else "")


def _listed(names: list[str]) -> str:
    """As many as can be taken in, and how many more there are."""
    shown: list[str] = []
    for name in names:
        if shown and len(", ".join([*shown, name])) > LISTED_CHARACTERS:
            return f"{', '.join(shown)} and {len(names) - len(shown)} more"
        shown.append(name)
    return ", ".join(shown)


def read_settings(kind: type[S], table: Mapping[str, Any], where: str) -> S:
    """The struct that a table describes. `where` begins each problem: the file and the key path so far.

    Raises `SettingsError` with every problem found.
    """
    problems: list[str] = []
    plain = _struct(kind, table, where, problems)
    if problems:
        raise SettingsError(problems)
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:  # what a struct checks of its fields together
        raise SettingsError([f"{where}: {error}"]) from error


class _Fields(NamedTuple):
    """A struct's fields and their types by name, and the field that each key of a file stands for."""

    fields: dict[str, msgspec.structs.FieldInfo]
    hints: dict[str, Any]
    names: dict[str, str]


@cache
def _fields_of(kind: type[msgspec.Struct]) -> _Fields:
    """Looked up once a kind: a list of a thousand operations would otherwise take half a second to read."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    names = {toml_name(name): name for name in fields} | {name: name for name in fields}
    return _Fields(fields, get_type_hints(kind, include_extras=True), names)


def _struct(kind: type[msgspec.Struct], table: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        problems.append(f"{where}: expected a table, got {table!r}")
        return {}
    fields, hints, names = _fields_of(kind)
    plain: dict[str, Any] = {}
    for key, value in table.items():
        field = names.get(key)
        if field is None:
            problems.append(f"{where}.{key}: unknown key{nearest(key, sorted({toml_name(name) for name in fields}))}")
            continue
        found = len(problems)
        if field.endswith("_ns") and key != field and isinstance(value, int | float) and value:
            problems.append(f'{where}.{key}: a time needs its unit, as in "50ms"; got {value!r}')
            plain[field] = None  # given, if wrongly: it is not missing too
            continue
        plain[field] = _value(field, hints[field], value, f"{where}.{key}", problems)
        if len(problems) == found:
            _check(hints[field], plain[field], value, f"{where}.{key}", problems)
    problems.extend(
        f"{where}.{toml_name(name)}: missing; every {where.rpartition('.')[2] or where} needs it"
        for name, field in fields.items()
        if field.required and name not in plain
    )
    return plain


def _check(hint: Any, plain: Any, given: Any, where: str, problems: list[str]) -> None:
    try:
        msgspec.convert(plain, hint)
    except msgspec.ValidationError as error:
        choices = _choices(hint)
        if choices and isinstance(given, str):
            problems.append(f"{where}: unknown {given!r}{nearest(given, choices)}")
            return
        shown = str(given).lower() if isinstance(given, bool) else repr(given)
        problems.append(f"{where}: {_in_words(str(error))}, got {shown}")


def _choices(hint: Any) -> list[str]:
    """The words that may stand there."""
    return [text for option in _options(hint) if get_origin(option) is Literal for text in get_args(option)]


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _in_words(complaint: str) -> str:
    """msgspec's complaint without its names for types: "Expected `int`, got `str`" → "expected a whole number"."""
    wanted = complaint[:1].lower() + re.sub(r", got `\w+`", "", complaint[1:])
    return re.sub(
        r"`(\w+(?: \| \w+)*)`",
        lambda names: " or ".join(_TYPES.get(name, f"`{name}`") for name in names[1].split(" | ") if name != "null"),
        wanted,
    )


def _value(name: str, hint: Any, value: Any, where: str, problems: list[str]) -> Any:
    """Bring a TOML value into the form that msgspec checks: quantities as numbers, tables by their structs."""
    unit = next((unit for unit in _UNITS if name.endswith(unit.suffix)), None)
    if unit is not None and isinstance(value, str) and value not in _choices(hint):
        try:
            return unit.parse(value)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            return None
    options = _options(hint)
    structs = [option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)]
    if isinstance(value, Mapping) and structs:
        return _tagged(structs, value, where, problems)
    if isinstance(value, Mapping):
        mapped = next((option for option in options if get_origin(option) is Mapping), None)
        item = get_args(mapped)[1] if mapped is not None else None
        return {key: _value(name, item, part, f"{where}.{key}", problems) for key, part in value.items()}
    if isinstance(value, list):
        inner = next((option for option in options if get_origin(option) in (list, tuple)), None)
        if inner is not None:
            item = get_args(inner)[0]
            return [_value(name, item, part, f"{where}[{at}]", problems) for at, part in enumerate(value)]
    return value


def _options(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _options(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for part in get_args(hint) for option in _options(part))
    return (hint,)


def _tagged(structs: list[type[msgspec.Struct]], table: Mapping[str, Any], where: str, problems: list[str]) -> Any:
    """A table that one of several structs describes: its tag field (`kind`, `distribution`) tells which."""
    config = structs[0].__struct_config__
    if config.tag is None:
        return _struct(structs[0], table, where, problems)
    tag_field = str(config.tag_field)
    by_tag = {str(struct.__struct_config__.tag): struct for struct in structs}
    tag = table.get(tag_field)
    if tag not in by_tag:
        said = (
            f"unknown {tag!r}{nearest(str(tag), by_tag)}"
            if tag is not None
            else f"missing; one of {', '.join(sorted(by_tag))}"
        )
        problems.append(f"{where}.{tag_field}: {said}")
        return dict(table)
    rest = {key: value for key, value in table.items() if key != tag_field}
    return {tag_field: tag, **_struct(by_tag[tag], rest, where, problems)}
