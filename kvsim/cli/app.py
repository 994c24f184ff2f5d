"""All commands under one name, and the one place where errors become short messages and exit codes.

Exit codes: 0 ran, every finding held and nothing was refuted; 1 a finding did not hold or a promise was refuted;
2 the input was wrong; 3 a claimed promise stayed unknown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from kvsim.cli import (
    bench,
    check,
    client,
    explore,
    hunt,
    list_,
    new,
    replay,
    serve,
    simulate,
    step,
    sweep,
    trace,
    where,
)

BAD_INPUT = 2
DEFECT = 70
"""EX_SOFTWARE of sysexits.h: kvsim itself is at fault."""
INTERRUPTED = 130

EXAMPLES = """
Examples:

  kvsim simulate quorum-staleness    run a bundled experiment and draw its plots

  kvsim new mine.toml                start an experiment of your own

  kvsim serve                        a three-node Raft cluster on this machine

  kvsim list strategies              what a design can be made of
"""

app = typer.Typer(
    name="kvsim",
    help="What does a design choice of a distributed key-value store cost, and what does it buy? Ask by experiment.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("simulate", simulate.simulate),
    ("sweep", sweep.sweep),
    ("replay", replay.replay),
    ("trace", trace.trace),
    ("bench", bench.bench),
    ("serve", serve.serve),
    ("where", where.where),
    ("check", check.check),
    ("explore", explore.explore),
    ("hunt", hunt.hunt),
    ("step", step.step),
    ("list", list_.list_),
    ("new", new.new),
)
for _name, _command in _COMMANDS:
    app.command(_name, epilog=check.CHOICES if _name == "check" else None)(_command)
app.add_typer(client.app, name="client")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version as version_of

        print(version_of("kvsim"))
        raise typer.Exit


@app.callback()
def _kvsim(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True, callback=_print_version
    ),
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    try:
        code = app(list(arguments), standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has gone; nothing more to say
        return 0
    except Exception as error:  # noqa: BLE001 - the last door before the user
        return _explained(error)
    return code if isinstance(code, int) else 0


def _explained(error: Exception) -> int:
    """Print an error as what it is to the user: something to mend in the input, or a defect of kvsim."""
    problems = list(_problems(error))
    if problems:
        for problem in filter(None, problems):
            print(f"kvsim: {problem}", file=sys.stderr)
        return BAD_INPUT
    with tempfile.NamedTemporaryFile("w", prefix="kvsim-defect-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    print(
        f"kvsim: this is a defect of kvsim ({type(error).__name__}: {error}); please report it with {report.name}",
        file=sys.stderr,
    )
    return DEFECT


def _problems(error: Exception) -> Iterator[str]:
    """What the user can mend; nothing if the error is none of his."""
    from kvsim.core.history import HistoryError
    from kvsim.core.settings import SettingsError
    from kvsim.lab.bundled import BundledFileNotFound
    from kvsim.strategies.catalogue import StrategyNotFound

    shown = getattr(error, "format_message", None)
    if isinstance(error, SettingsError):
        yield from error.problems
    elif isinstance(error, HistoryError | BundledFileNotFound | StrategyNotFound):
        yield str(error)
    elif shown is not None:  # typer's own: a wrong option, a missing argument
        message = " ".join(shown().split())
        if not message:  # nothing was asked, and typer has printed the help
            yield ""
            return
        yield f"{message}{'' if message.endswith(('.', '?', '!')) else '.'} Try --help."
    elif isinstance(error, OSError):
        where = f"{Path(error.filename).name}: " if isinstance(error.filename, str) else ""
        yield f"{where}{error.strerror or error}"
