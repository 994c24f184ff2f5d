"""`kvsim trace`: what the nodes of a run did, as a file for ShiViz or Perfetto."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvsim.lab.traces import TraceEntry


class Form(StrEnum):
    """Programs that show traces."""

    SHIVIZ = "shiviz"
    CHROME = "chrome"


_FILES = {Form.SHIVIZ: "trace.shiviz.log", Form.CHROME: "trace.chrome.json"}


def trace(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, with its trace.jsonl.")],
    to: Annotated[Form, typer.Option("--to", help="The program that is to show it.")],
    out: Annotated[Path | None, typer.Option(help=r"The file to write \[default: beside the trace].")] = None,
    start: Annotated[str, typer.Option(help="Leave out what was before, such as 1.5s.")] = "0s",
    end: Annotated[str, typer.Option(help="Leave out what was after.")] = "",
) -> None:
    """Export a run's trace: to ShiViz with vector clocks, or in Chrome's format, which Perfetto opens.

    Both get slow beyond some ten thousand events: cut out what matters with --start and --end.

    Example: kvsim trace out/raft-election/runs/seed=0 --to shiviz --start 1s --end 1.2s
    """
    from kvsim.check.wording import counted
    from kvsim.lab.traces import find_trace, read_trace

    path = find_trace(run)
    entries = read_trace(path, _time_ns(start, "--start"), _time_ns(end, "--end") if end else None)
    target = out or path.parent / _FILES[to]
    count = _write_shiviz(entries, target) if to is Form.SHIVIZ else _write_chrome(entries, target)
    if to is Form.SHIVIZ:
        print(f"{target}: {counted(count, 'event')}; open it at https://bestchai.bitbucket.io/shiviz/")
    else:
        print(f"{target}: {counted(count, 'event')}; open it at https://ui.perfetto.dev")


def _time_ns(text: str, option: str) -> int:
    from kvsim.core.settings import duration_ns

    try:
        return duration_ns(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _write_shiviz(entries: Iterable[TraceEntry], target: Path) -> int:
    from kvsim.lab.shiviz import shiviz_log

    count = 0
    with open(target, "w", encoding="utf-8") as file:
        for lines in shiviz_log(entries):
            file.write(lines)
            count += 1
    return count


def _write_chrome(entries: Iterable[TraceEntry], target: Path) -> int:
    import msgspec

    from kvsim.lab.chrome_trace import chrome_events

    count = 0
    with open(target, "wb") as file:
        file.write(b'{"displayTimeUnit":"ms","traceEvents":[')
        for count, event in enumerate(chrome_events(entries), 1):
            file.write((b",\n" if count > 1 else b"\n") + msgspec.json.encode(event))
        file.write(b"\n]}\n")
    return count
