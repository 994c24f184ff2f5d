"""The language of `[expect]`: a metric at some points, compared with numbers and with metrics at others.

"stale_read_share[r=1]" = "> 0"
"read_latency_p99_s[r=3]" = "> 1.5 * read_latency_p99_s[r=1]"
"load_max_over_mean" = "within 10% of 1 + 2 / 64"
"availability_share[variant=raft]" = "between 0.4 and 0.6"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Comparison = Literal[">", ">=", "<", "<=", "==", "!="]
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*(?:\[[^\]]*\])*)|(?P<sign>[-+*/()%]))"
)
_COMPARISON = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(.+)", re.DOTALL)


class Reference(NamedTuple):
    """A metric at some points."""

    metric: str
    """Its name, with the fault where it has one: `recovery_s[crash]`."""
    where: tuple[tuple[str, str], ...] = ()
    """The axes that are fixed, as the file names them."""

    def __str__(self) -> str:
        inside = ",".join(f"{name}={value}" for name, value in self.where)
        return self.metric + (f"[{inside}]" if inside else "")


class Sum(NamedTuple):
    """Two expressions and what joins them."""

    sign: str
    left: Expression
    right: Expression


Expression = float | Reference | Sum
Lookup = Callable[[Reference], float]


class Condition(NamedTuple):
    """What is expected of a metric: all `margins` are on their side of zero."""

    text: str
    kind: Comparison | Literal["within", "between"]
    first: Expression
    second: Expression | None = None
    relative: bool = False
    """`within`: whether the tolerance is a share of what it is around."""

    def margins(self, subject: float, lookup: Lookup) -> list[float]:
        """By how much the condition holds; negative where it does not. For `==` and `!=` the difference itself."""
        first = value_of(self.first, lookup)
        second = value_of(self.second, lookup) if self.second is not None else 0.0
        match self.kind:
            case ">" | ">=":
                return [subject - first]
            case "<" | "<=":
                return [first - subject]
            case "==" | "!=":
                return [subject - first]
            case "between":
                return [subject - first, second - subject]
            case "within":
                tolerance = abs(first * second) if self.relative else first
                return [subject - (second - tolerance), (second + tolerance) - subject]

    def references(self) -> list[Reference]:
        """The metrics that it compares with."""
        return [*_references(self.first), *_references(self.second)]


def value_of(expression: Expression, lookup: Lookup) -> float:
    """The number that an expression stands for. Raises `ZeroDivisionError`."""
    if isinstance(expression, Reference):
        return lookup(expression)
    if not isinstance(expression, Sum):
        return expression
    left, right = value_of(expression.left, lookup), value_of(expression.right, lookup)
    match expression.sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right


def _references(expression: Expression | None) -> Iterator[Reference]:
    if isinstance(expression, Reference):
        yield expression
    elif isinstance(expression, Sum):
        yield from _references(expression.left)
        yield from _references(expression.right)


def parse_reference(text: str) -> Reference:
    """`stale_read_share[r=1]`. Raises ValueError."""
    match = re.fullmatch(r"\s*([A-Za-z_]\w*)((?:\[[^\]]*\])*)\s*", text)
    if match is None:
        raise ValueError(f"expected a metric such as stale_read_share[r=1], got {text!r}")
    metric, where = match[1], []
    for part in re.split(r",(?![^()]*\))", match[2].replace("][", ",").strip("[]")):
        name, equals, value = part.partition("=")
        if equals:
            where.append((name.strip(), value.strip()))
        elif part.strip():
            metric += f"[{part.strip()}]"
    return Reference(metric, tuple(where))


def parse_condition(text: str) -> Condition:
    """`> 0`, `< 0.5 * x[r=1]`, `within 10% of x`, `within 0.1 of x`, `between 1 and 2`. Raises ValueError."""
    text = " ".join(text.split())
    if found := _COMPARISON.fullmatch(text):
        return Condition(text, found[1], _parse(found[2]))  # type: ignore[arg-type]
    if found := re.fullmatch(r"within ([0-9.]+)\s*(%?) of (.+)", text):
        tolerance = float(found[1]) / (100 if found[2] else 1)
        return Condition(text, "within", tolerance, _parse(found[3]), relative=bool(found[2]))
    if found := re.fullmatch(r"between (.+) and (.+)", text):
        return Condition(text, "between", _parse(found[1]), _parse(found[2]))
    raise ValueError(
        f"expected a condition such as '> 0', '< 0.5 * stale_read_share[r=1]', 'within 10% of 3' or 'between 1 and 2', "
        f"got {text!r}"
    )


def _parse(text: str) -> Expression:
    return _Parser(text).whole()


class _Parser:
    """Sums of products of numbers and metrics, with brackets."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ValueError(
                    f"cannot read {text[at:].strip()!r} in {text!r}; use numbers, metrics, + - * / and ( )"
                )
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def whole(self) -> Expression:
        found = self.sum()
        if self.tokens:
            raise ValueError(f"{self.tokens[0][1]!r} does not belong where it stands in {self.text!r}")
        return found

    def sum(self) -> Expression:
        left = self.product()
        while sign := self.sign("+-"):
            left = Sum(sign, left, self.product())
        return left

    def product(self) -> Expression:
        left = self.single()
        while sign := self.sign("*/"):
            left = Sum(sign, left, self.single())
        return left

    def single(self) -> Expression:
        if self.sign("-"):
            return Sum("-", 0.0, self.single())
        if self.sign("("):
            inside = self.sum()
            if not self.sign(")"):
                raise ValueError(f"a bracket is not closed in {self.text!r}")
            return inside
        if not self.tokens or self.tokens[0][0] == "sign":
            raise ValueError(f"a number or a metric is missing in {self.text!r}")
        kind, text = self.tokens.pop(0)
        return float(text.replace("_", "")) if kind == "number" else parse_reference(text)

    def sign(self, among: str) -> str:
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in among:
            return self.tokens.pop(0)[1]
        return ""
