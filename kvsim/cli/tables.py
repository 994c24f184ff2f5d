"""Tables on the terminal: what an experiment showed, and what a design is. They fit into 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kvsim.core.guarantee import Promise
from kvsim.lab.experiment import Experiment
from kvsim.lab.page import design_text, judged_over
from kvsim.lab.plots.comparison import metric_title
from kvsim.lab.report import Report, labelled
from kvsim.lab.shown import shown_value

WIDEST = 100
POINTS_ACROSS = 5
"""More points than this stand below each other, with fewer metrics."""
METRICS_ACROSS = 5
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
    to.print(_metrics(report))
    to.print(judged_over(report), style="dim")
    if report.findings:
        to.print(_findings(report))
    to.print(_promises(report))
    for failure in report.failures:
        to.print(f"[red]Failed:[/] {escape(failure)}")
    for note in report.notes:
        to.print(f"[yellow]Mind:[/] {escape(note)}")
    pictures = sorted((out / "plots").glob("*.png"))
    to.print(f"report    {out / 'report.html'}", soft_wrap=True)
    for at, picture in enumerate(pictures):
        to.print(f"{'pictures' if not at else '':8}  {picture}", soft_wrap=True)


def _metrics(report: Report) -> Table:
    labels = [point.label for point in report.points]
    if len(labels) <= POINTS_ACROSS:
        return _points_across(report, labels)
    names = report.key_metrics(METRICS_ACROSS)
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


def _points_across(report: Report, labels: list[str]) -> Table:
    table = _table()
    table.add_column("", no_wrap=True, min_width=24)
    for setup in report.experiment.setups:
        table.add_column(escape(setup.title), justify="right")
    for name in sorted({name for point in report.points for name in point.metric_names()}):
        values = [_value(report, name, label) for label in labels]
        if any(value not in ("–", "0", "0 %", "0 s") for value in values):
            table.add_row(escape(name), *values)
    return table


def _value(report: Report, name: str, label: str) -> str:
    found = report.estimates.get(labelled(name, label))
    return "–" if found is None else shown_value(name, found.mean)


def _findings(report: Report) -> Table:
    table = _table("Findings")
    table.add_column("")
    table.add_column("expected", overflow="fold", ratio=5)
    table.add_column("seen", overflow="fold", ratio=6)
    for finding in report.findings:
        mark = "[green]holds[/]" if finding.holds else "[bold red]fails[/]"
        at = f"\n[dim]{escape(finding.at)}[/]" if finding.at else ""
        table.add_row(mark, escape(finding.expectation) + at, escape(finding.seen))
    return table


def _promises(report: Report) -> Table:
    table = _table("Promises")
    table.add_column("claimed", overflow="fold", ratio=5)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", overflow="fold", ratio=5)
    everywhere = len(report.experiment.setups)
    unjudged = 0
    for judged in report.promises:
        if not judged.verdict:
            unjudged += 1
            continue
        where = "" if len(judged.points) == everywhere else f"\n[dim]{escape('; '.join(judged.points))}[/]"
        words = WORDS[judged.verdict] if judged.claimed else f"[dim]{judged.verdict.replace('_', ' ')}[/]"
        table.add_row(
            f"{judged.promise.subject}: {escape(judged.promise.claim)}{where}", words, escape(judged.evidence)
        )
    if unjudged:
        table.caption = f"{unjudged} further promises, which no history can refute, are in the report."
    return table


def _table(title: str | None = None) -> Table:
    from rich.box import SIMPLE_HEAD

    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left"
    )


def show_design(experiment: Experiment) -> None:
    """What would be run: each point's whole design, moot axes and promises."""
    to = console()
    to.print(f"\n[bold]{escape(experiment.title)}[/]")
    points, seeds = len(experiment.setups), experiment.seeds
    to.print(
        f"{points} {'point' if points == 1 else 'points'} × {seeds} {'seed' if seeds == 1 else 'seeds'}", style="dim"
    )
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
