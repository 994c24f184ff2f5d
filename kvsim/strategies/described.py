"""A strategy's page: what it does, its settings with defaults, and what it promises; made from the code, so it is
never stale."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any

import msgspec

from kvsim.core.design import Axis, Strategy
from kvsim.core.settings import SettingsError, shown_quantity, toml_name


def described(axis: Axis, name: str, strategy: type[Strategy]) -> dict[str, Any]:
    """The page as plain data: name, axis, about (a line), page (the module's and the class's words), settings,
    promises."""
    about = inspect.cleandoc(strategy.__doc__ or "").splitlines()
    module = inspect.cleandoc(sys.modules[strategy.__module__].__doc__ or "")
    return {
        "name": name,
        "axis": axis,
        "about": about[0] if about else "",
        "page": module,
        "settings": [*_settings(strategy.Settings)],
        "moot": list(strategy.moot),
        "promises": _promises(axis, name),
    }


def _promises(axis: Axis, name: str) -> list[str]:
    from kvsim.strategies.catalogue import read_design

    """What a design with this strategy and defaults promises by it; a replication's consistency is its usual one."""
    try:
        design = read_design({axis: name}, "design", 5)
    except SettingsError:
        return []
    by: tuple[Axis, ...] = ("replication", "consistency") if axis == "replication" else (axis,)
    choices = [design[one] for one in by]
    return [
        f"{promise.subject}: {promise.claim}"
        for choice in choices
        for promise in choice.strategy.promises(choice.settings, design)
    ]


def _settings(settings: type[msgspec.Struct]) -> list[dict[str, str]]:
    meanings = _meanings(settings)
    return [
        {
            "key": toml_name(field.name),
            "default": _shown(field.name, field.default),
            "meaning": meanings.get(field.name, ""),
        }
        for field in msgspec.structs.fields(settings)
    ]


def _shown(name: str, default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "(required)"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int):
        return shown_quantity(name, default)
    return "(none)" if default is None else str(default)


def _meanings(settings: type) -> dict[str, str]:
    """The strings that stand below a class's fields."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(tree, ast.ClassDef), f"{settings.__name__} is a class"
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = ast.literal_eval(text.value)
            found[field.target.id] = " ".join(str(value).split())
    return found
