"""`kvsim client URL get|put|…`: one operation on a running cluster, from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kvsim.client import Client
    from kvsim.core.operation import AnyResult, Written

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_UNKNOWN = 3

app = typer.Typer(
    no_args_is_help=True,
    help="Do one operation on a running cluster.\n\n"
    "Exit code: 0 done, 1 certainly not done (the key absent, for example), 2 wrong input, 3 nobody knows.\n\n"
    "Example: kvsim client http://127.0.0.1:8420 put user:1 Ada",
)

KeyArgument = Annotated[str, typer.Argument(help="The key.")]
ValueArgument = Annotated[str | None, typer.Argument(help="The value; - reads standard input.")]
FileOption = Annotated[Path | None, typer.Option("--file", help="Take the value from this file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _connect(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="An HTTP door of the cluster, such as http://127.0.0.1:8420.")],
    timeout: Annotated[str, typer.Option(help="How long to wait for an answer.")] = "10s",
    retries: Annotated[int, typer.Option(min=0, help="How often to send again what got no sure answer.")] = 2,
) -> None:
    from kvsim.client import Client
    from kvsim.core.settings import duration_ns

    try:
        context.obj = Client(url, timeout_s=duration_ns(timeout) / 1e9, retries=retries)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None


@app.command()
def get(context: typer.Context, key: KeyArgument, json: JsonOption = False) -> None:
    """Print a key's value, byte for byte.

    Example: kvsim client http://127.0.0.1:8420 get user:1
    """
    from kvsim.core.operation import Absent

    found = _done(context, lambda client: client.read(key))
    if isinstance(found, Absent):
        _fail(f"{key} is absent", EXIT_FAILED)
    if json:
        _print_json(found)
    else:
        sys.stdout.buffer.write(found.value)
        if sys.stdout.isatty():
            print()


def _writes(name: str, about: str, write: Callable[[Client, str, bytes], Written]) -> None:
    """Add a command that writes a value to a key."""

    def command(
        context: typer.Context,
        key: KeyArgument,
        value: ValueArgument = None,
        file: FileOption = None,
        json: JsonOption = False,
    ) -> None:
        content = _value(value, file)
        _report(_done(context, lambda client: write(client, key, content)), json)

    example = f"kvsim client http://127.0.0.1:8420 {name} user:1 Ada"
    app.command(name, help=f"{about}\n\nExample: {example}")(command)


def _deletes(name: str, about: str, delete: Callable[[Client, str], Written]) -> None:
    """Add a command that takes a key's value away."""

    def command(context: typer.Context, key: KeyArgument, json: JsonOption = False) -> None:
        _report(_done(context, lambda client: delete(client, key)), json)

    app.command(name, help=f"{about}\n\nExample: kvsim client http://127.0.0.1:8420 {name} user:1")(command)


_writes("put", "Create or update a key.", lambda client, key, value: client.put(key, value))
_writes("create", "Write a key that is absent.", lambda client, key, value: client.create(key, value))
_writes("update", "Write a key that is present.", lambda client, key, value: client.update(key, value))
_deletes("delete", "Remove a key that is present.", lambda client, key: client.delete(key))
_deletes("remove", "Have a key absent, whatever it was.", lambda client, key: client.remove(key))


@app.command()
def cas(
    context: typer.Context,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(help="The new value; - reads standard input.")],
    expected: Annotated[str | None, typer.Option(help="The value that must be there.")] = None,
    version: Annotated[str | None, typer.Option(help="The version that must be there, such as 12.data-1.")] = None,
    absent: Annotated[bool, typer.Option("--absent", help="The key must be absent.")] = False,
    json: JsonOption = False,
    surplus: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Compare and set: write only if the key is as expected.

    Example: kvsim client http://127.0.0.1:8420 cas user:1 Grace --expected Ada
    """
    if surplus:
        raise typer.BadParameter(f"what is expected goes by an option: cas {key} {surplus[0]} --expected {value}")
    if (expected is not None) + (version is not None) + absent != 1:
        raise typer.BadParameter("say what is expected by one of --expected, --version and --absent")
    content = _value(value, None)
    _report(_done(context, lambda client: client.cas(key, content, expected=expected, expected_version=version)), json)


@app.command()
def scan(
    context: typer.Context,
    start: Annotated[str, typer.Argument(help="The first key.")] = "",
    end: Annotated[str | None, typer.Option(help="Stop before this key.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many keys.")] = 100,
    json: JsonOption = False,
) -> None:
    """Print the keys of a range, in order, with their values.

    Example: kvsim client http://127.0.0.1:8420 scan user: --limit 10
    """
    page = _done(context, lambda client: client.scan(start, end, limit))
    if json:
        _print_json(page)
        return
    for item in page.items:
        print(f"{item.key.decode(errors='replace')}\t{item.value.decode(errors='replace')}")
    if page.next is not None:
        print(f"there is more from {page.next.decode(errors='replace')!r} on", file=sys.stderr)


def _done(context: typer.Context, ask: Callable[[Client], Any]) -> Any:
    """The result; or a short reason and the exit code that belongs to it."""
    from kvsim.core.operation import OperationError

    client: Client = context.obj
    try:
        with client:
            return ask(client)
    except OperationError as failed:
        _fail(f"{failed.detail}. {failed.kind.remedy}", EXIT_FAILED if failed.kind.certain else EXIT_UNKNOWN)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None


def _value(value: str | None, file: Path | None) -> bytes:
    if (value is None) == (file is None):
        raise typer.BadParameter("give a value, or --file")
    if file is not None:
        return file.read_bytes()
    return sys.stdin.buffer.read() if value == "-" else (value or "").encode("utf-8", "surrogateescape")


def _report(written: Written, json: bool) -> None:
    if json:
        _print_json(written)
        return
    before = {
        True: "the key was present",
        False: "the key was absent",
        None: "whether the key was present is not known",
    }
    print(f"done, version {written.version}; before, {before[written.existed]}")


def _print_json(result: AnyResult) -> None:
    import json as json_

    from kvsim.core.message import text_of
    from kvsim.core.operation import Found, Page, Written

    content: dict[str, Any] = {}
    if isinstance(result, Found):
        content = {"value": text_of(result.value), "version": str(result.version)}
    elif isinstance(result, Written):
        content = {"version": str(result.version), "existed": result.existed}
    elif isinstance(result, Page):
        content["items"] = [
            {"key": text_of(item.key), "value": text_of(item.value), "version": str(item.version)}
            for item in result.items
        ]
        content["next"] = None if result.next is None else text_of(result.next)
    print(json_.dumps(content))


def _fail(reason: str, code: int) -> None:
    print(f"kvsim client: {reason}", file=sys.stderr)
    raise typer.Exit(code)
