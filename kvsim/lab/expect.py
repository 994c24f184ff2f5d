"""Findings: what an experiment must show, judged at each run of it.

With several seeds a finding holds if the whole 95 % confidence interval lies on its side (`==`: if every seed's value
does). Seeds are the same for all points (common random numbers: clients ask for the same operations), so differences
between points are judged seed by seed, by the interval of the paired differences. With one seed the value itself
decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kvsim.core.settings import nearest
from kvsim.lab.conditions import Condition, Expression, Reference, Sum, parse_condition, parse_reference
from kvsim.lab.grid import Vary, shown
from kvsim.lab.metrics import METRICS
from kvsim.lab.shown import base_name, shown_value, within_range
from kvsim.lab.statistics import Estimate, estimate

Where = tuple[tuple[str, str], ...]


class Expectation(NamedTuple):
    """A line of `[expect]`, its axes by their short names."""

    subject: Reference
    condition: Condition

    def __str__(self) -> str:
        return f"{self.subject} {self.condition.text}"


class Finding(NamedTuple):
    """What became of an expectation at one point."""

    expectation: str
    at: str
    """The label of the point, where the expectation names no point or several."""
    holds: bool
    seen: str
    """The values, in a sentence."""


class MetricMissing(LookupError):
    """A metric that a run did not give."""


class Measured(NamedTuple):
    """One point's metrics, a mapping for each seed."""

    where: Where
    by_seed: Sequence[Mapping[str, float]]

    @property
    def label(self) -> str:
        """`r=1,w=2`."""
        return ",".join(f"{name}={value}" for name, value in self.where)

    def metric_names(self) -> list[str]:
        """The metrics that any of its runs has, sorted."""
        return sorted({name for metrics in self.by_seed for name in metrics})


def read_expectations(
    lines: Mapping[str, str | list[str]], axes: Sequence[Vary], measures: Sequence[str], problems: list[str], where: str
) -> list[Expectation]:
    """The lines of `[expect]`; whatever is wrong with them is added to `problems`."""
    found = []
    for key, text in (
        (key, text) for key, texts in lines.items() for text in ([texts] if isinstance(texts, str) else texts)
    ):
        try:
            condition = parse_condition(text)
            subject = _resolved(parse_reference(key), axes, measures)
            renamed = {reference: _resolved(reference, axes, measures) for reference in condition.references()}
        except ValueError as error:
            problems.append(f'{where}."{key}": {error}')
            continue
        found.append(Expectation(subject, _renamed(condition, renamed)))
    return found


def judge(expectation: Expectation, points: Sequence[Measured]) -> list[Finding]:
    """The finding at every point that the expectation speaks of."""
    chosen = [point for point in points if set(expectation.subject.where) <= set(point.where)]
    return [_judge_at(expectation, point, points, len(chosen) > 1) for point in chosen]


def _judge_at(expectation: Expectation, point: Measured, points: Sequence[Measured], several: bool) -> Finding:
    subject, condition = expectation
    at = point.label if several else ""
    seeds = range(len(point.by_seed))
    try:
        values = [_value(subject, point, points, seed) for seed in seeds]
        margins = [
            condition.margins(values[seed], lambda ref, seed=seed: _value(ref, point, points, seed))  # type: ignore[misc]
            for seed in seeds
        ]
    except (MetricMissing, ZeroDivisionError) as error:
        return Finding(str(expectation), at, False, f"cannot be judged: {error}")
    sides = [estimate(side) for side in zip(*margins, strict=True)]
    match condition.kind:
        case "==":
            holds = all(margin == 0 for margin in itertools.chain(*margins))
        case "!=":
            holds = all(side.low > 0 or side.high < 0 for side in sides)
        case ">" | "<":
            holds = all(side.low > 0 for side in sides)
        case _:
            holds = all(side.low >= 0 for side in sides)
    return Finding(
        str(expectation), at, holds, _seen(subject, condition, estimate(values), sides, point, points, holds)
    )


def _value(reference: Reference, point: Measured, points: Sequence[Measured], seed: int) -> float:
    """The metric at the point that the reference names; axes that it does not name are the subject's."""
    wanted = {**dict(point.where), **dict(reference.where)}
    there = next((other for other in points if dict(other.where) == wanted), None)
    if there is None:
        raise MetricMissing(f"a run of {','.join(f'{name}={value}' for name, value in wanted.items())} is missing")
    try:
        return there.by_seed[seed][reference.metric]
    except KeyError:
        label = f" of {there.label}" if there.label else ""
        hint = nearest(reference.metric, there.by_seed[seed])
        raise MetricMissing(f"a run{label} has no {reference.metric}{hint}") from None


def _seen(
    subject: Reference, condition: Condition, found: Estimate, sides: list[Estimate],
    point: Measured, points: Sequence[Measured], holds: bool,
) -> str:  # fmt: skip
    text = _with_interval(subject.metric, within_range(subject.metric, found))
    for reference in condition.references():
        other = estimate([_value(reference, point, points, seed) for seed in range(len(point.by_seed))])
        text += f"; {reference}: {_with_interval(reference.metric, within_range(reference.metric, other))}"
    if condition.references() and sides[0].seeds > 1 and condition.kind in (">", ">=", "<", "<="):
        difference = "left minus right" if condition.kind in (">", ">=") else "right minus left"
        text += f"; {difference}, seed by seed: {_with_interval(subject.metric, sides[0])}"
    if not holds and condition.kind not in ("==", "!=") and any(side.low <= 0 < side.high for side in sides):
        text += "; too uncertain: the interval reaches both sides, so take more seeds or a longer run"
    return text


def _with_interval(metric: str, found: Estimate) -> str:
    text = _signed(metric, found.mean)
    if found.seeds == 1 or found.low == found.high:
        return text
    return f"{text} ({_signed(metric, found.low)} … {_signed(metric, found.high)})"


def _signed(metric: str, value: float) -> str:
    return f"-{shown_value(metric, -value)}" if value < 0 else shown_value(metric, value)


def _resolved(reference: Reference, axes: Sequence[Vary], measures: Sequence[str]) -> Reference:
    name = base_name(reference.metric)
    if name not in METRICS and not any(name.startswith(measure) for measure in measures):
        raise ValueError(f"unknown metric {name!r}{nearest(name, METRICS)}")
    where = tuple(_resolved_axis(axis, value, axes) for axis, value in reference.where)
    return Reference(reference.metric, where)


def _resolved_axis(name: str, value: str, axes: Sequence[Vary]) -> tuple[str, str]:
    matching = [axis for axis in axes if name == axis.path or axis.path.endswith(f".{name}")]
    if len(matching) != 1:
        why = "several axes end so" if matching else f"nothing varies {name!r}"
        raise ValueError(f"[{name}={value}]: {why}{nearest(name, [axis.name for axis in axes])}")
    axis = matching[0]
    values = [shown(listed) for listed in axis.values]
    if value in values:
        return axis.name, value
    same = [listed for listed in values if _number(listed) is not None and _number(listed) == _number(value)]
    if not same:
        raise ValueError(f"[{name}={value}]: {axis.name} never takes this value{nearest(value, values)}")
    return axis.name, same[0]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _renamed(condition: Condition, renamed: Mapping[Reference, Reference]) -> Condition:
    def replaced(expression: Expression) -> Expression:
        if isinstance(expression, Reference):
            return renamed[expression]
        if isinstance(expression, Sum):
            return Sum(expression.sign, replaced(expression.left), replaced(expression.right))
        return expression

    second = None if condition.second is None else replaced(condition.second)
    return condition._replace(first=replaced(condition.first), second=second)
