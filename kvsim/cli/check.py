"""`kvsim check HISTORY`: what a judge says of a history, in one line, and why, under it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from kvsim.check import Outage, Refuted, Verdict
    from kvsim.check.judges import Limited
    from kvsim.check.transactions import Isolation
    from kvsim.core.history import History

EXIT_REFUTED = 1
EXIT_UNREADABLE = 2
EXIT_UNKNOWN = 3
_OUTAGES_SHOWN = 20
_EXIT = {"not_refuted": 0, "refuted": EXIT_REFUTED, "unknown": EXIT_UNKNOWN}

Level = StrEnum(
    "Level",
    [
        "linearizable", "sequential", "causal-convergence", "causal-memory", "causal", "session-guarantees",
        "read-your-writes", "monotonic-reads", "monotonic-writes", "writes-follow-reads", "bounded-staleness",
        "convergence", "durability", "worm", "exactly-once", "transactions", "read-uncommitted", "read-committed",
        "consistent-view", "snapshot-isolation", "repeatable-read", "serializable", "strong-session-serializable",
        "strict-serializable",
    ],
)  # fmt: skip
"""The promises that can be judged."""
ISOLATION = frozenset(list(Level)[list(Level).index(Level["transactions"]) :])


class Model(StrEnum):
    """What the operations of a history act on."""

    REGISTER = "register"
    CAS_REGISTER = "cas-register"
    KV = "kv"
    KV_APPEND = "kv-append"
    LIST_APPEND = "list-append"
    RW_REGISTER = "rw-register"


_SINGLE = frozenset({"read", "put", "scan", "txn"})
_OPERATIONS: dict[Model, frozenset[str]] = {
    Model.REGISTER: _SINGLE,
    Model.CAS_REGISTER: _SINGLE | {"cas"},
    Model.KV: _SINGLE | {"cas", "create", "update", "delete", "remove"},
    Model.KV_APPEND: frozenset({"read", "put", "append"}),
    Model.LIST_APPEND: frozenset({"txn"}),
    Model.RW_REGISTER: frozenset({"txn"}),
}

CHOICES = f"Levels: {', '.join(Level)}.\n\nModels: {', '.join(Model)}."
"""What stands below the command's help."""


def check(
    history: Annotated[Path, typer.Argument(help="JSON lines, Jepsen's EDN, or Porcupine's logs; .gz too.")],
    level: Annotated[
        Level | None,
        typer.Option(
            metavar="LEVEL",
            help="The promise to judge, of those below; by default linearizable, of transactions all levels.",
        ),
    ] = None,
    all_levels: Annotated[
        bool, typer.Option("--all", help="Judge all levels, and tell the strongest; exit code 0 then means judged.")
    ] = False,
    model: Annotated[
        Model | None,
        typer.Option(metavar="MODEL", help="What the history must be of, of those below; by default told by content."),
    ] = None,
    versions: Annotated[int | None, typer.Option(min=0, help="bounded-staleness: the bound in versions.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="bounded-staleness: the bound in seconds.")] = None,
    after: Annotated[
        float | None, typer.Option(min=0, help="convergence: the second from which on the store was quiet.")
    ] = None,
    time_limit: Annotated[str, typer.Option(help="How long to search before the verdict is unknown.")] = "10s",
    outages: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="List also the times of at least this length in which a client, or a range of keys, had no success.",
        ),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the witness as a timeline, .png or .svg.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Judge a history of what clients saw.

    Exit code: 0 not refuted, 1 refuted, 2 unreadable, 3 unknown. With --all a refuted level is an answer and no
    failure: 0 says that all levels were judged, 3 that one stayed unknown.

    Example: kvsim check out/quorum-staleness/runs/r=1,seed=0/history.jsonl --all
    """
    from kvsim.check.judges import Limited
    from kvsim.core.history import HistoryError

    _refuse_level(level, all_levels, bounds=2 - [versions, seconds].count(None))
    _refuse_picture(picture, all_levels)
    after_ns = None if after is None else round(after * 1e9)
    limited = Limited(_duration_ns(time_limit, "--time-limit") / 1e9, versions, seconds, after_ns)
    shortest_ns = None if outages is None else _duration_ns(outages, "--outages")
    found = _read(history, model)
    if level is None and not all_levels:
        level = Level["transactions" if _only_transactions(found) else "linearizable"]
    about: dict[str, Any] = {"history": str(history), "operations": _count(found)}
    if shortest_ns is not None and json:
        about["outages"] = [_outage_as_json(outage) for outage in _outages(found, shortest_ns)]
    if not about["operations"]:
        typer.echo(f"kvsim check: {history} holds no operations, so nothing was judged", err=True)
    try:
        if level is None:
            code = _judge_all(about, found, limited, json)
        else:
            code = _judge_one(about, found, level, limited, json, picture)
    except HistoryError as error:  # a transaction that is none
        _refuse(f"{history}, line {error.line}: {error.reason}")
    if shortest_ns is not None and not json:
        _print_outages(_outages(found, shortest_ns), outages or "")
    raise typer.Exit(code)


def _refuse_level(level: Level | None, all_levels: bool, bounds: int) -> None:
    if level is not None and all_levels:
        raise typer.BadParameter("one level, or --all", param_hint="--level")
    if level == "bounded-staleness" and bounds != 1:
        raise typer.BadParameter("bounded-staleness needs --versions or --seconds", param_hint="--level")


def _refuse_picture(picture: Path | None, all_levels: bool) -> None:
    if picture is not None and all_levels:
        raise typer.BadParameter("a picture is of one level; name it by --level", param_hint="--picture")
    if picture is not None and picture.suffix not in (".png", ".svg"):
        raise typer.BadParameter("the name ends in .png or .svg", param_hint="--picture")


def _refuse(complaint: str) -> NoReturn:
    typer.echo(f"kvsim check: {complaint}", err=True)
    raise typer.Exit(EXIT_UNREADABLE)


def _duration_ns(text: str, option: str) -> int:
    from kvsim.core.settings import duration_ns

    try:
        return duration_ns(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _read(path: Path, model: Model | None) -> History:
    from kvsim.check import read
    from kvsim.core.history import HistoryError

    try:
        found = read(path)
        for event in found.events:
            if model is not None and event.op not in _OPERATIONS[model]:
                raise HistoryError(event.index + 1, f"{event.op} is no operation of the model {model.value}")
        return found
    except HistoryError as error:
        _refuse(f"{path}, line {error.line}: {error.reason}" if error.line else f"{path}: {error.reason}")
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror or error}")


def _only_transactions(history: History) -> bool:
    """Whether the history is of transactions alone; beside other operations they are for the other judges."""
    return len(history) > 0 and all(event.op == "txn" for event in history.events)


def _count(history: History) -> int:
    return sum(1 for event in history.events if event.type == "invoke")


# ---- one level


def _judge_one(
    about: dict[str, Any], history: History, level: Level, limited: Limited, json: bool, picture: Path | None
) -> int:
    from kvsim.check import Refuted, verdict_as_json
    from kvsim.check.judges import JUDGES
    from kvsim.check.transactions import isolation_as_json, transactions, verdict_of_level

    isolation = None
    if level in ISOLATION:
        isolation = transactions(history, limited.time_limit_s)
        verdict = verdict_of_level(isolation, "strict-serializable" if level == "transactions" else level.value)
    else:
        verdict = JUDGES[level.value].judge(history, limited)
    if json:
        more = isolation_as_json(isolation) if isolation else {}
        _print_json(about | {"level": level.value} | verdict_as_json(verdict) | more)
    elif isolation is not None and level == "transactions":
        _print_isolation(about, isolation)
    else:
        _print(about, level.value, verdict)
    if picture is not None and isinstance(verdict, Refuted):
        _draw(picture, history, verdict, isolation, level, _faults_beside(Path(about["history"])))
        typer.echo(f"wrote {picture}", err=True)
    elif picture is not None:
        typer.echo(f"nothing was refuted, so {picture} was not drawn", err=True)
    return _EXIT[verdict.name]


def _draw(
    picture: Path,
    history: History,
    verdict: Refuted,
    isolation: Isolation | None,
    level: Level,
    faults: list[tuple[str, float, float]],
) -> None:
    from kvsim.lab.plots.witness import draw_cycle, draw_witness

    cycles = [a for a in isolation.anomalies if a.steps] if isolation else []
    if cycles:
        draw_cycle(cycles[0], picture)
    else:
        name = "strict-serializable" if level == "transactions" else level.value
        draw_witness(history, verdict.witness, f"refuted: {name}", picture, faults)


def _faults_beside(history: Path) -> list[tuple[str, float, float]]:
    """The faults of a run of kvsim, which its run.json names beside its history."""
    import msgspec

    try:
        run = msgspec.json.decode((history.parent / "run.json").read_bytes())
        return [(str(fault["name"]), float(fault["start"]), float(fault["end"])) for fault in run["faults_s"]]
    except (OSError, ValueError, KeyError, TypeError):  # it lies alone, or beside what is no run of ours
        return []


def _print(about: dict[str, Any], level: str, verdict: Verdict) -> None:
    from rich.text import Text

    from kvsim.check import NotRefuted, Refuted
    from kvsim.check.judges import JUDGES
    from kvsim.check.wording import counted

    console = _console()
    console.print(Text.assemble(_coloured(verdict.name), f": {level}, {counted(about['operations'], 'operation')}"))
    if isinstance(verdict, Refuted):
        _print_witness(verdict)
    elif isinstance(verdict, NotRefuted):
        meaning = f": {JUDGES[level].meaning}" if level in JUDGES else ""
        console.print(Text(f"  nothing in this history speaks against it{meaning}"))
    else:
        advice = "; raise --time-limit, or record fewer operations on one key" if "limit" in verdict.reason else ""
        console.print(Text(f"  {verdict.reason}{advice}"))


def _print_witness(refuted: Refuted) -> None:
    from rich.table import Table
    from rich.text import Text

    from kvsim.check.wording import at, digits_for, done, moments, shown

    witness = refuted.witness
    console = _console()
    where = "" if witness.key is None else f"key {shown(witness.key)}: "
    console.print(Text(f"  {where}{witness.sentence}"))
    several = len({o.key for o in witness.operations}) > 1
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for title in ("  event", "process", "began", "ended", *(("key",) if several else ()), "operation"):
        table.add_column(title, justify="left" if title in ("key", "operation") else "right")
    digits = digits_for(moments(witness.operations))
    for o in witness.operations:
        ended = "unknown" if o.outcome == "info" else at(o.completed_ns, digits)
        key = (Text("" if o.key is None else shown(o.key)),) if several else ()
        table.add_row(str(o.invoked), str(o.process), at(o.invoked_ns, digits), ended, *key, Text(done(o)))
    console.print(table)


def _print_isolation(about: dict[str, Any], isolation: Isolation) -> None:
    from rich.text import Text

    from kvsim.check.wording import counted

    console = _console()
    strongest = f"the strongest level not refuted is {isolation.strongest}"
    if isolation.strongest == "none":
        strongest = "every level is refuted"
    console.print(Text(f"transactions: {strongest}, {counted(about['operations'], 'operation')}"))
    for level, name in isolation.levels.items():
        console.print(Text.assemble("  ", _coloured(name), f": {level}"))
    for anomaly in isolation.anomalies:
        console.print(Text(f"  {anomaly.name}: {anomaly.sentence}"))
    if isolation.beyond_inference:
        console.print(Text(f"  {isolation.beyond_inference}: every order was tried"))
    if isolation.reason:
        console.print(Text(f"  {isolation.reason}"))


# ---- all levels


def _judge_all(about: dict[str, Any], history: History, limited: Limited, json: bool) -> int:
    """All levels that a history can speak of; unknown (3) if one of those that might be the strongest is."""
    from kvsim.check import verdict_as_json
    from kvsim.check.judges import JUDGES, consistency_levels, strongest
    from kvsim.check.transactions import isolation_as_json, transactions

    if _only_transactions(history):
        isolation = transactions(history, limited.time_limit_s)
        if json:
            _print_json(about | isolation_as_json(isolation))
        else:
            _print_isolation(about, isolation)
        return EXIT_UNKNOWN if isolation.reason else 0
    levels = consistency_levels(history, limited)
    others = {name: JUDGES[name].judge(history, limited) for name in ("durability", "convergence")}
    if json:
        verdicts = {name: verdict_as_json(verdict) for name, verdict in (levels | others).items()}
        _print_json(about | {"strongest": strongest(levels), "levels": verdicts})
    else:
        _print_all(about, levels, others)
    return EXIT_UNKNOWN if any(verdict.name == "unknown" for verdict in levels.values()) else 0


def _print_all(about: dict[str, Any], levels: dict[str, Verdict], others: dict[str, Verdict]) -> None:
    from rich.text import Text

    from kvsim.check import Refuted, Undecided
    from kvsim.check.judges import strongest
    from kvsim.check.wording import counted

    console = _console()
    best = " and ".join(strongest(levels)) or "none"
    console.print(Text(f"strongest not refuted: {best}, {counted(about['operations'], 'operation')}"))
    for name, verdict in (levels | others).items():
        why = verdict.witness.sentence if isinstance(verdict, Refuted) else ""
        why = verdict.reason if isinstance(verdict, Undecided) else why
        console.print(Text.assemble("  ", _coloured(verdict.name), f": {name}", f": {why}" if why else ""))


# ---- availability


def _outages(history: History, shortest_ns: int) -> list[Outage]:
    from kvsim.check import outages

    return outages(history, shortest_ns)


def _outage_as_json(outage: Outage) -> dict[str, Any]:
    return {"of": outage.of, "begin_s": outage.begin_ns / 1e9, "end_s": outage.end_ns / 1e9, "asked": outage.asked}


def _print_outages(found: list[Outage], shortest: str) -> None:
    from rich.text import Text

    from kvsim.check.wording import at, counted
    from kvsim.core.settings import shown_duration

    console = _console()
    console.print(Text(f"availability: {counted(len(found), 'outage')} of {shortest} or longer"))
    for outage in found[:_OUTAGES_SHOWN]:
        lasted = f"{shown_duration(outage.length_ns)}, from {at(outage.begin_ns)} to {at(outage.end_ns)}"
        console.print(Text(f"  {outage.of}: {lasted}; {counted(outage.asked, 'operation')} in vain"))
    if len(found) > _OUTAGES_SHOWN:
        console.print(Text(f"  and {len(found) - _OUTAGES_SHOWN:,} shorter ones; --json lists all"))


# ---- the terminal


def _print_json(plain: dict[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode())


def _coloured(name: str) -> tuple[str, str]:
    colour = {"not_refuted": "green", "refuted": "bold red", "unknown": "yellow"}[name]
    return name.replace("_", " "), colour


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)
