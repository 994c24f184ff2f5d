"""`kvsim check HISTORY`: what a judge says of a history, in one line, and why, under it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kvsim.check import Refuted, Verdict
    from kvsim.core.history import History

EXIT_REFUTED = 1
EXIT_UNREADABLE = 2
EXIT_UNKNOWN = 3

_MEANING = {
    "linearizable": "every operation seems to take effect at one instant between its invocation and its completion",
    "durability": "what was acknowledged is there at the end, unless something acknowledged replaced it",
}


class Level(StrEnum):
    """The promises that can be judged."""

    LINEARIZABLE = "linearizable"
    DURABILITY = "durability"


def check(
    history: Annotated[Path, typer.Argument(help="JSON lines, Jepsen's EDN or an etcd log; .gz too.")],
    level: Annotated[Level, typer.Option(help="The promise to judge.")] = Level.LINEARIZABLE,
    time_limit: Annotated[str, typer.Option(help="How long to search before the verdict is unknown.")] = "10s",
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Judge a history of what clients saw. Exit code: 0 not refuted, 1 refuted, 2 unreadable, 3 unknown."""
    from kvsim.check import durability, linearizable

    limit_s = _limit_s(time_limit)
    found = _read(history)
    verdict = linearizable(found, limit_s) if level is Level.LINEARIZABLE else durability(found)
    if json:
        _print_json(history, level, found, verdict)
    else:
        _print(level, found, verdict)
    raise typer.Exit({"not_refuted": 0, "refuted": EXIT_REFUTED, "unknown": EXIT_UNKNOWN}[verdict.name])


def _limit_s(text: str) -> float:
    from kvsim.core.settings import duration_ns

    try:
        return duration_ns(text) / 1e9
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--time-limit") from None


def _read(path: Path) -> "History":
    from kvsim.check import read
    from kvsim.core.history import HistoryError

    try:
        return read(path)
    except HistoryError as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        complaint = f"{where}: {error.reason}"
    except OSError as error:
        complaint = f"{path} cannot be read: {error.strerror or error}"
    typer.echo(f"kvsim check: {complaint}", err=True)
    raise typer.Exit(EXIT_UNREADABLE)


def _print_json(path: Path, level: Level, history: "History", verdict: "Verdict") -> None:
    import msgspec

    from kvsim.check import verdict_as_json

    plain = {"history": str(path), "level": level.value, "operations": _count(history)} | verdict_as_json(verdict)
    typer.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode())


def _print(level: Level, history: "History", verdict: "Verdict") -> None:
    from rich.console import Console
    from rich.text import Text

    from kvsim.check import NotRefuted, Refuted

    colour = {"not_refuted": "green", "refuted": "bold red", "unknown": "yellow"}[verdict.name]
    console = Console(highlight=False, soft_wrap=True)
    line = Text.assemble((verdict.name.replace("_", " "), colour), f": {level.value}, {_count(history):,} operations")
    console.print(line)
    if isinstance(verdict, Refuted):
        _print_witness(verdict)
    elif isinstance(verdict, NotRefuted):
        console.print(Text(f"  nothing in this history speaks against it: {_MEANING[level]}"))
    else:
        console.print(Text(f"  {verdict.reason}; raise --time-limit, or record fewer operations on one key"))


def _print_witness(refuted: "Refuted") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kvsim.check.wording import at, done, shown

    witness = refuted.witness
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"  key {shown(witness.key)}: {witness.sentence}"))
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for title in ("  event", "process", "began", "ended", "operation"):
        table.add_column(title, justify="left" if title == "operation" else "right")
    for o in witness.operations:
        ended = "unknown" if o.outcome == "info" else at(o.completed_ns)
        table.add_row(str(o.invoked), str(o.process), at(o.invoked_ns), ended, Text(done(o)))
    console.print(table)


def _count(history: "History") -> int:
    return sum(1 for event in history.events if event.type == "invoke")
