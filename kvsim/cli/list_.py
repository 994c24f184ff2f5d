"""`kvsim list`: what there is to choose from, and what each thing means."""

from __future__ import annotations

from typing import Annotated, Any

import typer

_KINDS = ("experiments", "strategies", "matrices")


def list_(
    what: Annotated[
        str, typer.Argument(help="experiments, strategies, matrices, or an axis such as replication.")
    ] = "experiments",
    name: Annotated[str, typer.Argument(help="Show this one with its settings.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List experiments, strategies or network matrices; with a NAME, show one whole.

    Example: kvsim list replication quorum
    """
    from kvsim.core.design import AXES
    from kvsim.core.settings import SettingsError, nearest
    from kvsim.lab import bundled
    from kvsim.strategies.catalogue import known

    axes = {str(axis): axis for axis in AXES}
    filled = [name for name, axis in axes.items() if known(axis)]
    if what == "experiments":
        rows = [_experiment(found) for found in bundled.list_experiments()]
    elif what == "matrices":
        rows = [{"name": found, "about": "round-trip times between places"} for found in bundled.list_matrices()]
    elif what == "strategies":
        rows = [row for axis in AXES for row in _strategies(axis)]
    elif what in axes:
        rows = list(_strategies(axes[what]))
    else:
        raise SettingsError([f"list: {_unknown(what, [*_KINDS, *filled])}"])
    if not rows and not name:
        raise SettingsError([f"list {what}: no strategy of this axis comes with kvsim yet"])
    if name:
        names = [str(row["name"]) for row in rows]
        rows = [row for row in rows if row["name"] == name]
        if not rows:
            raise SettingsError([f"list {what} {name}{nearest(name, names)}"])
    if json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    elif name:
        _show_one(rows[0])
    else:
        _show(rows)


def _unknown(name: str, kinds: list[str]) -> str:
    """What to say of a word that is no kind of things: perhaps it is a thing, or nearly one."""
    from difflib import get_close_matches

    from kvsim.core.design import AXES
    from kvsim.core.settings import nearest
    from kvsim.lab import bundled
    from kvsim.strategies.catalogue import known

    homes = {found: str(axis) for axis in AXES for found in known(axis)}
    homes |= dict.fromkeys(bundled.list_matrices(), "matrices")
    homes |= dict.fromkeys(bundled.list_experiments(), "experiments")
    if name in homes:
        return f"{name} is one of {homes[name]}; did you mean: kvsim list {homes[name]} {name}"
    close = get_close_matches(name, [*kinds, *homes], n=1, cutoff=0.7)
    if close and close[0] in homes:
        return f"{name!r} is unknown; did you mean: kvsim list {homes[close[0]]} {close[0]}"
    return f"{name!r} is unknown{nearest(name, kinds)}"


def _experiment(name: str) -> dict[str, Any]:
    import tomllib

    from kvsim.lab.bundled import experiment_path

    table = tomllib.loads(experiment_path(name).read_text())
    return {
        "name": name,
        "about": table.get("title", ""),
        "question": table.get("question", ""),
        "design": table.get("design", {}),
        "vary": table.get("vary", {}),
        "expect": table.get("expect", {}),
    }


def _strategies(axis: Any) -> list[dict[str, Any]]:
    from kvsim.strategies.catalogue import find_strategy, known
    from kvsim.strategies.described import described

    return [described(axis, name, find_strategy(axis, name)) for name in known(axis)]


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    axes = any("axis" in row for row in rows)
    if axes:
        table.add_column("axis", style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("about")
    last = ""
    for row in rows:
        axis = str(row.get("axis", ""))
        table.add_row(*([axis if axis != last else ""] if axes else []), str(row["name"]), str(row["about"]))
        last = axis
    Console().print(table)


def _show_one(row: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{row['name']}[/bold]  {row.get('axis', '')}")
    if row.get("question"):
        console.print(row["about"], markup=False)
    console.print(row.get("page") or row.get("question") or row["about"], markup=False)
    for title in ("design", "vary", "expect"):
        for line in _dotted(row.get(title, {}), title):
            console.print(f"  {line}", markup=False, highlight=False)
    settings = row.get("settings", [])
    if settings:
        table = Table(box=None, pad_edge=False, header_style="bold", title="\nsettings", title_justify="left")
        for column in ("key", "default", "meaning"):
            table.add_column(column)
        for setting in settings:
            table.add_row(setting["key"], setting["default"], setting["meaning"])
        console.print(table)
    for promise in row.get("promises", []):
        console.print(f"  promises, with these defaults: {promise}", markup=False)


def _dotted(table: Any, path: str) -> list[str]:
    """A table's keys as an experiment's file may have them: `design.replication.r = 1`."""
    import json

    if isinstance(table, dict):
        return [line for key, value in table.items() for line in _dotted(value, f"{path}.{key}")]
    return [f"{path} = {json.dumps(table, ensure_ascii=False, default=str)}"]
