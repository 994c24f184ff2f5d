"""Rules that node logic keeps so that one seed gives one run, read from its source: no world but the host's, no order
of a set, no `hash()` or `id()`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

REMEDIES: dict[str, str] = {
    **dict.fromkeys(("random", "secrets", "uuid"), "draw from self.host.chance"),
    **dict.fromkeys(("time", "datetime"), "ask self.host.now(), and wait by self.host.after or self.pause"),
    **dict.fromkeys(
        ("asyncio", "concurrent", "multiprocessing", "threading", "signal", "subprocess"),
        "begin work by self.host.spawn, and await kvsim's own futures",
    ),
    **dict.fromkeys(("aiohttp", "select", "selectors", "socket", "ssl", "uvloop"), "send by self.ask and self.tell"),
    **dict.fromkeys(("os", "shutil", "tempfile"), "keep data in self.replica, or on self.host.disk"),
    "simpy": "know nothing of the world: the same code runs in a real one",
}
"""Modules that reach past the host, and what to use instead."""
ORDER_IS_LOST_IN = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
ORDER_IS_KEPT_IN = {"enumerate", "iter", "list", "map", "next", "tuple", "zip"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Breach(NamedTuple):
    """A line that breaks a rule."""

    line: int
    what: str
    remedy: str


def breaches(source: str) -> Iterator[Breach]:
    """Every line of node logic by which two runs of one seed could differ."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for module in _imported(node):
            if module in REMEDIES:
                yield Breach(_line(node), f"imports {module}", REMEDIES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hash", "id"):
            remedy = "place by kvsim.core.placing.position, and number things yourself"
            yield Breach(_line(node), f"calls {node.func.id}(), which differs from process to process", remedy)
    for node in set_walks(tree):
        yield Breach(_line(node), "walks a set, whose order differs from run to run", "use a dict, or sorted()")


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 1)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [(node.module or "").partition(".")[0]]
    return []


def set_walks(tree: ast.Module) -> Iterator[ast.AST]:
    """Expressions that take a set's elements in its own order, where that order can be seen afterwards."""
    attributes = _sets_among(ast.walk(tree), lambda target: isinstance(target, ast.Attribute))
    attributes |= {
        f"self.{name}" for klass in ast.walk(tree) if isinstance(klass, ast.ClassDef) for name in _fields(klass)
    }
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, Function))]:
        nodes = list(_scope_nodes(scope))
        names = attributes | _sets_among(iter(nodes), lambda target: isinstance(target, ast.Name))
        if isinstance(scope, Function):
            names |= {a.arg for a in _arguments(scope) if _is_set_type(a.annotation)}
        yield from (node for node in nodes for walked in _walked_by(node, nodes) if _is_set(walked, names))


def _scope_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Function):
            yield from _scope_nodes(child)


def _walked_by(node: ast.AST, nodes: list[ast.AST]) -> Iterator[ast.expr]:
    match node:
        case ast.For() | ast.AsyncFor():
            yield node.iter
        case ast.ListComp() | ast.DictComp():
            yield from (generator.iter for generator in node.generators)
        case ast.GeneratorExp() if not any(node in args for n in nodes if (args := _arguments_of(n, ORDER_IS_LOST_IN))):
            yield from (generator.iter for generator in node.generators)
        case ast.Call(func=ast.Attribute(attr="join")):
            yield from node.args
        case ast.Call() if _is_call_of(node, ORDER_IS_KEPT_IN):
            yield from node.args
        case ast.Starred():
            yield node.value


def _arguments_of(node: ast.AST, names: set[str]) -> list[ast.expr]:
    """What a call of one of these functions is given."""
    return node.args if isinstance(node, ast.Call) and _is_call_of(node, names) else []


def _is_call_of(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _is_set(value: ast.expr | None, names: set[str]) -> bool:
    match value:
        case ast.Set() | ast.SetComp():
            return True
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor()):
            return any(_is_set(side, names) or _is_keys(side) for side in (value.left, value.right))
        case ast.Call(func=ast.Attribute(attr="union" | "intersection" | "difference" | "symmetric_difference")):
            return True
        case ast.Name() | ast.Attribute():
            return ast.unparse(value) in names
        case None:
            return False
    return _is_call_of(value, {"set", "frozenset"})


def _is_keys(value: ast.expr) -> bool:
    """The keys of a dict keep their order, but what `-` or `&` makes of them is a set."""
    return (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in ("keys", "items")
    )


def _is_set_type(annotation: ast.expr | None) -> bool:
    return annotation is not None and bool(
        re.match(
            r"(?:typing\.)?(?:set|frozenset|Set|FrozenSet|AbstractSet|MutableSet)\b", ast.unparse(annotation).strip("'")
        )
    )


def _sets_among(nodes: Iterator[ast.AST], wanted: Callable[[ast.expr], bool]) -> set[str]:
    found = set()
    for node in nodes:
        match node:
            case ast.AnnAssign() if _is_set_type(node.annotation) and wanted(node.target):
                found.add(ast.unparse(node.target))
            case ast.Assign() if _is_set(node.value, set()):
                found.update(ast.unparse(target) for target in node.targets if wanted(target))
    return found


def _fields(klass: ast.ClassDef) -> set[str]:
    return {
        n.target.id
        for n in klass.body
        if isinstance(n, ast.AnnAssign) and _is_set_type(n.annotation) and isinstance(n.target, ast.Name)
    }


def _arguments(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
