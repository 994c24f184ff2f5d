"""EDN, the notation of Clojure's data (github.com/edn-format/edn), as far as histories use it."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kvsim.core.history import HistoryError

_TOKEN = re.compile(
    r"""(?P<space>[\s,]+|;[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<open>[\[({]|\#\{)|(?P<close>[\])}])
    |(?P<discard>\#_)|(?P<tag>\#[^\s\[\](){}",;]+)|(?P<atom>[^\s\[\](){}",;\#][^\s\[\](){}",;]*)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_INTEGER = re.compile(r"[+-]?\d+N?$")
_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?M?$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_DEEPEST = 100
_LONGEST_NUMBER = 1000


class Keyword(str):
    """`:name`, without the colon."""

    __slots__ = ()


class Form(NamedTuple):
    """A value and the line on which it begins. Maps are dicts; vectors, lists and sets are lists."""

    line: int
    value: Any


class _Token(NamedTuple):
    line: int
    kind: str
    text: str


def forms(text: str, unwrap: bool = True) -> Iterator[Form]:
    """The values of a text, one after another; with `unwrap`, those inside one vector or list around all.

    Raises HistoryError for what is no EDN, and for tags, of which none is known.
    """
    tokens = _tokens(text)
    first = True
    for token in tokens:
        if token.kind == "discard":
            _form(tokens, _next(tokens, token), 0)
        elif unwrap and first and token.text in ("[", "("):
            yield from _until(tokens, token)
        else:
            yield _form(tokens, token, 0)
        first = False


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise HistoryError(line, f"not EDN: {text[position : position + 20]!r}")
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(line, kind, match.group())
        line += text.count("\n", position, match.end())
        position = match.end()


def _until(tokens: Iterator[_Token], opening: _Token, depth: int = 0) -> Iterator[Form]:
    if depth > _DEEPEST:
        raise HistoryError(opening.line, f"nested more than {_DEEPEST} deep")
    for token in tokens:
        if token.kind == "discard":
            _form(tokens, _next(tokens, token), depth + 1)
        elif token.kind != "close":
            yield _form(tokens, token, depth + 1)
        elif token.text == _CLOSING[opening.text]:
            return
        else:
            raise HistoryError(token.line, f"{token.text} closes the {opening.text} of line {opening.line}")
    raise HistoryError(opening.line, f"{opening.text} is never closed")


def _next(tokens: Iterator[_Token], after: _Token) -> _Token:
    token = next(tokens, None)
    if token is None:
        raise HistoryError(after.line, f"nothing follows {after.text}")
    return token


def _form(tokens: Iterator[_Token], token: _Token, depth: int) -> Form:
    if token.kind == "open":
        inside = [form.value for form in _until(tokens, token, depth)]
        return Form(token.line, _map(token, inside) if token.text == "{" else inside)
    if token.kind == "string":
        return Form(token.line, re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token.text[1:-1]))
    if token.kind == "atom":
        return Form(token.line, _atom(token))
    if token.kind == "tag":
        raise HistoryError(token.line, f"unknown tag {token.text[:40]!r}")
    raise HistoryError(token.line, f"{token.text} out of place")


def _map(token: _Token, inside: list[Any]) -> dict[Any, Any]:
    if len(inside) % 2:
        raise HistoryError(token.line, "a map with a key that has no value")
    try:
        return dict(zip(inside[::2], inside[1::2], strict=True))
    except TypeError:
        raise HistoryError(token.line, "a map whose key is a collection") from None


def _atom(token: _Token) -> Any:
    text = token.text
    if text.startswith(":"):
        return Keyword(text[1:])
    if text in ("nil", "true", "false"):
        return {"nil": None, "true": True, "false": False}[text]
    if len(text) > _LONGEST_NUMBER:
        raise HistoryError(token.line, "a word of more than a thousand letters")
    if _INTEGER.match(text):
        return int(text.removesuffix("N"))
    if _FLOAT.match(text):
        return float(text.removesuffix("M"))
    return Keyword(text)  # a symbol
