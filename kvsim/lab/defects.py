"""What stopped a node by a defect of its own code, told with the line that a student has to look at."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

import kvsim

_NOT_A_STUDENTS = (str(Path(kvsim.__file__).parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))


def told(node: str, error: Exception) -> str:
    """`data-2: ZeroDivisionError('division by zero') (mine.py, line 78, in write)`."""
    return f"{node}: {error!r}{_place(error)}"


def _place(error: Exception) -> str:
    """The innermost line of a file outside kvsim and the libraries; if there is none, the innermost line of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_A_STUDENTS)]
    for frame in (own or frames)[-1:]:
        return f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"
    return ""


def alike_together(said: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences, each given as (where, what); of those that say the same, the first, and how many more there are."""
    places: dict[str, list[str]] = {}
    for where, what in said:
        places.setdefault(what, []).append(where)
    return [
        f"{where}: {what}" + (f" (and {len(more)} more like it)" if more else "")
        for what, (where, *more) in places.items()
    ]
