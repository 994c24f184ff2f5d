"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Told = Callable[[str, float], None]


@contextmanager
def progress(work: str, quiet: bool = False) -> Iterator[Told | None]:
    """Gives what is to be told (what is under way, the share of all that is done); None where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(work, total=1.0)
        yield lambda label, share: bar.update(task, completed=share, description=f"{work}: {label}"[:60])
