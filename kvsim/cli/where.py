"""`kvsim where`: who leads, who is alive, and which nodes hold a key."""

from __future__ import annotations

import json as json_
import sys
from typing import Annotated, Any

import typer

from kvsim.core.settings import SettingsError

EXIT_NOBODY = 1
"""As `kvsim client` has it: the input was right, and nothing was done."""
DEFAULT_URL = "http://127.0.0.1:8420"


class NobodyAnswers(SettingsError):
    """Behind the address is nobody, or nobody that can be reached."""


def where(
    key: Annotated[str, typer.Argument(help="A key; without one the nodes alone are shown.")] = "",
    url: Annotated[str, typer.Option("--url", help="An HTTP door of the cluster.")] = DEFAULT_URL,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a running cluster's nodes, and where a key lies.

    Exit code: 0 shown, 1 nobody answers, 2 the input is wrong.

    Example: kvsim where user:42 --url http://127.0.0.1:8420
    """
    try:
        status = ask_cluster(url, key)
    except NobodyAnswers as nobody:
        print(f"kvsim where: {nobody}", file=sys.stderr)
        raise typer.Exit(EXIT_NOBODY) from None
    if json:
        print(json_.dumps(status, indent=2))
        return
    _show(status, key)


def ask_cluster(url: str, key: str = "") -> Any:
    """What the cluster says of itself. Raises `SettingsError` where none answers."""
    from urllib.error import HTTPError, URLError
    from urllib.parse import quote
    from urllib.request import urlopen

    if not url.startswith(("http://", "https://")):
        raise SettingsError([f"{url}: expected an address like {DEFAULT_URL}"])
    query = f"?key={quote(key, safe='')}" if key else ""
    try:
        with urlopen(f"{url.rstrip('/')}/v1/cluster{query}", timeout=10) as answer:  # noqa: S310 - checked above
            return json_.load(answer)
    except HTTPError as error:
        raise SettingsError([f"{url} answers {error.code} {error.reason}; is it a kvsim cluster?"]) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NobodyAnswers([f"nobody answers at {url} ({reason}); start one with: kvsim serve"]) from error


def _show(status: Any, key: str) -> None:
    from rich.console import Console
    from rich.table import Table

    replicas = status.get("replicas", [])
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("node", no_wrap=True)
    table.add_column("role")
    if key:
        table.add_column("holds it")
    table.add_column("says")
    for node in status["nodes"]:
        facts = dict(node["facts"])
        role = facts.pop("role", node["role"])
        holds = ["yes" if node["node"] in replicas else ""] if key else []
        table.add_row(node["node"], role, *holds, ", ".join(f"{name} {value}" for name, value in facts.items()))
    for name in status["silent"]:
        table.add_row(name, "[red]silent[/red]", *(["yes" if name in replicas else ""] if key else []), "")
    console = Console()
    console.print(table)
    if key:
        console.print(f"\n{key} lies on {', '.join(replicas) or 'nobody'}, in this order of preference.", markup=False)
