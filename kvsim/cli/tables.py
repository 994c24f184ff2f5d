"""Tables on the terminal: what an experiment showed, and what a design is. They fit into 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kvsim.check.wording import counted
from kvsim.core.guarantee import Promise
from kvsim.lab.experiment import Experiment
from kvsim.lab.page import design_text, judged_over
from kvsim.lab.promises import Judged
from kvsim.lab.report import Report, labelled
from kvsim.lab.shown import metric_title, shown_value

WIDEST = 100
POINTS_ACROSS = 5
"""More points than this stand below each other, with fewer metrics."""
METRICS_ACROSS = 5
METRICS_BELOW = 12
"""Rows of the table of a few points: what the findings ask for, then the usual metrics."""
WORDS = {
    "refuted": "[red]refuted[/]",
    "not_refuted": "[green]not refuted[/]",
    "unknown": "[yellow]unknown[/]",
}


def console() -> Console:
    """Standard output, no wider than reads well."""
    found = Console(highlight=False)
    found.width = min(found.width, WIDEST)
    return found


def show_report(report: Report, out: Path) -> None:
    """Numbers, findings, promises, and where the pictures are."""
    to = console()
    to.print(f"\n[bold]{escape(report.experiment.title)}[/]")
    if report.experiment.question:
        to.print(escape(report.experiment.question), style="dim")
    to.print()
    _show_metrics(to, report)
    to.print(judged_over(report), style="dim")
    for note in report.notes:
        to.print(f"[yellow]Mind:[/] {escape(note)}")
    if report.findings:
        to.print(_findings(report, to.width))
    _show_promises(to, report)
    for failure in report.failures:
        to.print(f"[red]Failed:[/] {escape(failure)}")
    pictures = sorted((out / "plots").glob("*.png"))
    to.print(f"report    {out / 'report.html'}", soft_wrap=True)
    for at, picture in enumerate(pictures):
        to.print(f"{'pictures' if not at else '':8}  {picture}", soft_wrap=True)
    _show_traces(to, out / "runs")


def _show_traces(to: Console, runs: Path) -> None:
    """Where the traces lie; of many the first, and where the others are."""
    traces = sorted(runs.glob("*/trace.jsonl"))
    for trace in traces[:1]:
        more = f" and {len(traces) - 1:,} more in {runs}" if len(traces) > 1 else ""
        to.print(f"trace     {escape(str(trace))}{escape(more)}", soft_wrap=True)


def _show_metrics(to: Console, report: Report) -> None:
    few = len(report.points) <= POINTS_ACROSS
    names = report.key_metrics(METRICS_BELOW if few else METRICS_ACROSS)
    to.print((_points_across if few else _points_below)(report, names))
    if any(_value(report, name, point.label) == "–" for name in names for point in report.points):
        to.print("–: no value, as there are too few such operations; a p99 needs a hundred.", style="dim")
    left = len({name for point in report.points for name in point.metric_names()} - set(names))
    if left:
        are = "is" if left == 1 else "are"
        to.print(f"{counted(left, 'further metric')} {are} in the report and in --json.", style="dim")


def _points_below(report: Report, names: list[str]) -> Table:
    table = _table()
    for axis in report.experiment.axes:
        table.add_column(axis.name, no_wrap=True)
    for name in names:
        table.add_column(_short(name), justify="right", no_wrap=True)
    for point in report.points:
        values = (_value(report, name, point.label) for name in names)
        table.add_row(*(escape(value) for _, value in point.where), *values)
    return table


def _short(metric: str) -> str:
    """A column's head, no line longer than the numbers below it."""
    title = metric_title(metric).replace("latency ", "").replace("throughput", "ops/s").replace("over ", "/ ")
    return "\n".join(title.split(" ", 1))


def _points_across(report: Report, names: list[str]) -> Table:
    """Axis names stand once, before their values: a column's head is no wider than what tells it from the others."""
    table = _table()
    table.add_column("\n".join(axis.name for axis in report.experiment.axes), no_wrap=True)
    columns = [[_value(report, name, point.label) for name in names] for point in report.points]
    for point, column in zip(report.points, columns, strict=True):
        head = "\n".join(escape(value) for _, value in point.where)
        table.add_column(head, justify="right", overflow="fold", min_width=max(map(len, column), default=1))
    for name, *values in zip(names, *columns, strict=True):
        table.add_row(escape(name), *values)
    return table


def _value(report: Report, name: str, label: str) -> str:
    found = report.estimates.get(labelled(name, label))
    return "–" if found is None else shown_value(name, found.mean)


def _findings(report: Report, width: int) -> Table:
    table = _table("Findings")
    expected_width = (width - 13) * 5 // 11
    seen_width = width - 13 - expected_width
    table.add_column("", width=5)
    table.add_column("expected", no_wrap=True)
    table.add_column("seen", no_wrap=True)
    for finding in report.findings:
        mark = "[green]holds[/]" if finding.holds else "[bold red]fails[/]"
        at = f"\n[dim]{escape(folded(finding.at, expected_width))}[/]" if finding.at else ""
        expected = escape(folded(finding.expectation, expected_width))
        table.add_row(mark, expected + at, escape(folded(finding.seen, seen_width)))
    return table


_BREAKS = re.compile(r"(?<=[ ;])|(?<=,)(?!\d)|(?=\[)")
"""Where a line may end: after a space, or a comma that is in no number, and before the brackets of a metric."""
_UNITS = re.compile(r"(?<=\d) (?=(?:%|s|ms|µs|ns|min|h)(?![\w]))")


def folded(text: str, width: int) -> str:
    """The text in lines of this width, which end nowhere within a word or between a number and its unit."""
    lines = [""]
    for piece in _BREAKS.split(_UNITS.sub("\u00a0", text)):
        for part in (piece[at : at + width] for at in range(0, len(piece), width)):
            if len((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines).replace("\u00a0", " ")


def _show_promises(to: Console, report: Report) -> None:
    """What is claimed and what is refuted, a row each; what held without being claimed, in a sentence."""
    table = _table("Promises")
    claimed_width = (to.width - 19) // 2
    table.add_column("promise", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    beyond = []
    for judged in report.promises:
        if not judged.verdict:
            continue
        if not judged.claimed and judged.verdict == "not_refuted":
            beyond.append(judged)
            continue
        words = WORDS[judged.verdict] if judged.claimed else f"[dim]{judged.verdict.replace('_', ' ')}[/]"
        claim = escape(folded(f"{judged.promise.subject}: {judged.promise.claim}", claimed_width))
        where = escape(folded("; ".join(_where(judged, report)), claimed_width))
        evidence = escape(folded(judged.evidence, to.width - 19 - claimed_width))
        table.add_row(claim + (f"\n[dim]{where}[/]" if where else ""), words, evidence)
    if table.row_count:
        to.print(table)
    if beyond:
        to.print(escape(f"Beyond the claims, not refuted: {_beyond(beyond, report)}."), style="dim")
    unjudged = sum(not judged.verdict for judged in report.promises)
    if unjudged:
        are = "is" if unjudged == 1 else "are"
        to.print(
            f"{counted(unjudged, 'further promise')}, which no history can refute, {are} in the report.", style="dim"
        )


def _where(judged: Judged, report: Report) -> tuple[str, ...]:
    """The points that it belongs to, unless these are all."""
    return () if len(judged.points) == len(report.experiment.setups) else judged.points


def _beyond(held: Iterable[Judged], report: Report) -> str:
    """`sequential (at r=2, in 1 history)`: what held, where, and in how many histories."""
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for judged in held:
        name = "durability" if judged.promise.subject == "durability" else judged.promise.judge
        alike.setdefault((_where(judged, report), judged.evidence), []).append(name)
    return "; ".join(
        f"{', '.join(names)} ({', '.join([*(['at ' + ' and '.join(points)] if points else []), evidence])})"
        for (points, evidence), names in alike.items()
    )


def _table(title: str | None = None) -> Table:
    from rich.box import SIMPLE_HEAD

    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left"
    )


def show_design(experiment: Experiment) -> None:
    """What would be run: each point's whole design, moot axes and promises."""
    to = console()
    to.print(f"\n[bold]{escape(experiment.title)}[/]")
    to.print(f"{counted(len(experiment.setups), 'point')} × {counted(experiment.seeds, 'seed')}", style="dim")
    before: list[str] = []
    promised: list[Promise] = []
    for setup in experiment.setups:
        lines = design_text(setup).splitlines()
        to.print(
            f"\n[bold]{escape(setup.label) or 'design'}[/]"
            + (" [dim](what differs from the one above)[/]" if before else "")
        )
        for line in lines:
            if line not in before:
                to.print(f"  {escape(line)}", soft_wrap=True)
        before = lines
        if setup.design.moot():
            to.print(f"  [dim]moot:[/] {', '.join(setup.design.moot())}")
        table = _table()
        table.add_column("promises")
        table.add_column("", overflow="fold")
        promises = setup.design.promises()
        for promise in promises:
            if promise not in promised:
                table.add_row(f"  {promise.subject}", escape(promise.claim))
        promised = promises
        if table.row_count:
            to.print(table)
