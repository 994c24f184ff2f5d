"""report.html: one self-contained page of a report, with its pictures inside and nothing to load or run."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from kvsim.core.settings import shown_quantity, toml_name
from kvsim.lab.artefacts import describe_setup
from kvsim.lab.expect import Measured, Where
from kvsim.lab.experiment import Setup
from kvsim.lab.metrics import METRICS
from kvsim.lab.plots.style import Plot
from kvsim.lab.provenance import versions
from kvsim.lab.report import Report, labelled
from kvsim.lab.shown import base_name, metric_title, shown_value, within_range

VERDICTS = {
    "refuted": ("bad", "refuted"),
    "not_refuted": ("good", "not refuted"),
    "unknown": ("open", "unknown"),
    "": ("open", "not judged"),
}
"""How a verdict is shown: its class and its words."""


COLUMNS = 5
"""Of so many points or metrics a table has a column each; more would not fit the page."""


def page(report: Report, plots: Sequence[Plot]) -> str:
    """The whole page."""
    template = Template(resources.files("kvsim.lab").joinpath("report.html").read_text(encoding="utf-8"))
    experiment = report.experiment
    return template.substitute(
        title=escape(experiment.title),
        question=escape(experiment.question),
        about=_paragraphs(experiment.comment) + _failures(report),
        findings=_findings(report),
        promises=_promises(report),
        compared_note=escape(judged_over(report)),
        compared=_compared(report),
        pictures="\n".join(_picture(plot) for plot in plots),
        designs=_designs(report),
        repeat=_repeat(report),
    )


def judged_over(report: Report) -> str:
    """Over how many seeds the numbers are, in a sentence."""
    seeds = report.experiment.seeds
    if seeds == 1:
        return (
            f"One seed ({report.seed}): findings are judged on the values themselves, which another seed may change. "
            "Set vary.seeds for confidence intervals."
        )
    return (
        f"Means over {seeds} seeds ({report.seed} to {report.seed + seeds - 1}); a finding holds if its 95 % interval "
        "(Student's t) does. Points are compared seed by seed, with the same random numbers."
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def _failures(report: Report) -> str:
    said = [f"Failed: {text}" for text in report.failures]
    said += [f"Mind: {text}" for text in report.notes]
    return "".join(f'<p class="bad">{escape(text)}</p>' for text in said)


def _table(head: Iterable[str], rows: Iterable[str], numbers: bool = False) -> str:
    kind = ' class="number"' if numbers else ""
    cells = "".join(f"<th{kind if at else ''}>{cell}</th>" for at, cell in enumerate(head))
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _findings(report: Report) -> str:
    if not report.findings:
        return '<p class="note">The experiment states none: see [expect].</p>'
    rows = [
        f'<tr><td class="{"good" if finding.holds else "bad"}">{"holds" if finding.holds else "does not hold"}</td>'
        f"<td><code>{escape(finding.expectation)}</code>{_points([finding.at] if finding.at else [])}</td>"
        f"<td>{escape(finding.seen)}</td></tr>"
        for finding in report.findings
    ]
    return _table(("", "expected", "seen"), rows)


def _points(labels: Sequence[str]) -> str:
    named = [label for label in labels if label]
    return f'<br><span class="points">{escape("; ".join(named))}</span>' if named else ""


def _promises(report: Report) -> str:
    everywhere = len(report.experiment.setups)
    rows, unjudged = [], []
    for judged in report.promises:
        kind, words = VERDICTS[judged.verdict]
        if not judged.claimed:
            kind = "open"
        where = () if len(judged.points) == everywhere else judged.points
        claim = f"<td><b>{escape(judged.promise.subject)}</b>: {escape(judged.promise.claim)}{_points(where)}</td>"
        if judged.verdict:
            rows.append(f'<tr>{claim}<td class="{kind}">{words}</td><td>{escape(judged.evidence)}</td></tr>')
        else:
            unjudged.append(f"<tr>{claim}</tr>")
    text = _table(("claimed", "verdict", "evidence"), rows)
    if unjudged:
        summary = f"{len(unjudged)} further promises, which no judge can refute from a history"
        text += f"<details><summary>{summary}</summary>{_table(('claimed',), unjudged)}</details>"
    return text


def _compared(report: Report) -> str:
    """All metrics with a column a point; of many points first what tells the story, with a row a point."""
    points = report.points
    if len(points) <= COLUMNS:
        return _by_metric(report, points)
    blocks = [points[at : at + COLUMNS] for at in range(0, len(points), COLUMNS)]
    whole = "".join(_by_metric(report, block) for block in blocks)
    return f"{_by_point(report)}<details><summary>All metrics of all {len(points)} points</summary>{whole}</details>"


def _by_metric(report: Report, points: Sequence[Measured]) -> str:
    rows = []
    for name in sorted({name for point in points for name in point.metric_names()}):
        cells = "".join(_number(report, name, point.label) for point in points)
        rows.append(f"<tr><td>{_named(name, name)}</td>{cells}</tr>")
    return _table(("metric", *(_head(point.where) for point in points)), rows, numbers=True)


def _by_point(report: Report) -> str:
    names = report.key_metrics(COLUMNS, varying=True)
    rows = []
    for point in report.points:
        cells = "".join(_number(report, name, point.label) for name in names)
        rows.append(f"<tr><td>{_head(point.where, ', ')}</td>{cells}</tr>")
    return _table(("point", *(_named(name, metric_title(name)) for name in names)), rows, numbers=True)


def _named(metric: str, text: str) -> str:
    """A metric's name, which tells its meaning to a pointer that rests on it."""
    meaning = METRICS.get(base_name(metric))
    title = f' title="{escape(meaning.text)}"' if meaning else ""
    return f"<code{title}>{escape(text)}</code>" if text == metric else f"<span{title}>{escape(text)}</span>"


def _number(report: Report, name: str, label: str) -> str:
    return f'<td class="number">{_cell(report, name, label)}</td>'


def _head(where: Where, between: str = "<br>") -> str:
    """Of a variant its name alone; over a column what tells points apart below each other, so that it stays narrow."""
    shown = [value if name == "variant" else f"{name}={value}" for name, value in where]
    return between.join(map(escape, shown)) or "value"


def _cell(report: Report, name: str, label: str) -> str:
    found = report.estimates.get(labelled(name, label))
    if found is None:
        return "–"
    found = within_range(name, found)
    text = escape(shown_value(name, found.mean))
    if found.low != found.high:
        low, high = shown_value(name, found.low), shown_value(name, found.high)
        text += f'<span class="interval">{escape(low)} … {escape(high)}</span>'
    return text


def _picture(plot: Plot) -> str:
    data = base64.b64encode(plot.svg.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(plot.title)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption><b>{escape(plot.title)}.</b> {escape(plot.caption)}</figcaption></figure>"
    )


def _designs(report: Report) -> str:
    setups = report.experiment.setups
    shown = [f"<pre>{escape(design_text(setups[0]))}</pre>"]
    if len(setups) > 1:
        first = _lines(describe_setup(setups[0]))
        shown.insert(0, f'<p class="note">Whole, with every default: {escape(setups[0].label)}.</p>')
        rows = []
        for setup in setups[1:]:
            changed = [
                f"{key} = {value}" for key, value in _lines(describe_setup(setup)).items() if first.get(key) != value
            ]
            gone = [f"without {key}" for key in first if key not in _lines(describe_setup(setup))]
            differences = "<br>".join(map(escape, changed + gone))
            rows.append(f"<tr><td>{escape(setup.label)}</td><td><code>{differences}</code></td></tr>")
        shown.append("<p>The other points differ in:</p>" + _table(("point", "settings"), rows))
    moot = setups[0].design.moot()
    if moot:
        shown.append(f'<p class="note">Without meaning in this design: {escape(", ".join(moot))}.</p>')
    return "".join(shown)


def design_text(setup: Setup) -> str:
    """A setup, every default filled in, a `key = value` a line."""
    return "\n".join(f"{key} = {value}" for key, value in _lines(describe_setup(setup)).items())


def _lines(data: Any, path: str = "") -> dict[str, str]:
    """Nested data as dotted keys, durations for people."""
    if isinstance(data, dict) and data:
        found: dict[str, str] = {}
        for key, value in data.items():
            found |= _lines(value, f"{path}.{key}" if path else str(key))
        return found
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return {k: v for at, item in enumerate(data) for k, v in _lines(item, f"{path}[{at}]").items()}
    name = path.rpartition(".")[2]
    if isinstance(data, int) and not isinstance(data, bool):
        field = "cpu_ns" if ".cpu." in f".{path}." else name
        return {path.removesuffix(name) + toml_name(name): shown_quantity(field, data)}
    if isinstance(data, (list, tuple)):
        return {path: _listed(data)}
    if isinstance(data, bool):
        return {path: str(data).lower()}
    return {path: "–" if data is None else str(data)}


def _listed(data: Sequence[Any]) -> str:
    """`[data-1, data-2]`, lists in it in brackets of their own."""
    return "[" + ", ".join(_listed(item) if isinstance(item, (list, tuple)) else str(item) for item in data) + "]"


def _repeat(report: Report) -> str:
    experiment = report.experiment
    using = ", ".join(f"{name} {text}" for name, text in versions().items())
    if experiment.setups[0].world is None:
        command = f"kvsim bench {experiment.name} --seed {report.seed}"
        return (
            f"<pre>{escape(command)}</pre><p>The seed decides what the clients ask; all else is as the machine has it: "
            f"{escape(using)}.</p>"
        )
    command = f"kvsim simulate {experiment.name} --seed {report.seed}"
    return (
        f"<pre>{escape(command)}</pre><p>The same seed gives the same run, byte for byte, with the same versions: "
        f"{escape(using)}. One run alone: <code>kvsim simulate runs/LABEL/run.json</code>.</p>"
    )
