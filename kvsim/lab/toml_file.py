"""Reads an experiment's TOML file; what is wrong with it is told with line and remedy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from kvsim.core.settings import SettingsError


def read_text(path: Path) -> str:
    """The file's text. Raises `SettingsError`."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start} is no UTF-8"
        raise SettingsError([f"{path.name}: is no text file ({place}); save it as UTF-8, or name another"]) from None
    except OSError as error:
        raise SettingsError([f"{path.name}: cannot be read: {error.strerror or error}"]) from error


def parse_table(text: str, file: str) -> dict[str, Any]:
    """The table that the text of this file holds. Raises `SettingsError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{file}: {_explained(error, text.splitlines())}"]) from error


def _explained(error: tomllib.TOMLDecodeError, lines: list[str]) -> str:
    """`Invalid value (at line 3, column 5)` → `line 3, column 5: invalid value`, and a remedy where one is known."""
    said, _, place = str(error).partition(" (at ")
    place = place.rstrip(")")
    number = re.match(r"line (\d+)", place)
    line = lines[int(number[1]) - 1].strip() if number and int(number[1]) <= len(lines) else ""
    if said == "Cannot overwrite a value":
        return f"{place}: the key {line.partition('=')[0].strip()} stands twice; keep one of them"
    if said.startswith("Cannot declare"):
        return f"{place}: {line} stands twice; put its keys under one of them"
    if said.startswith(("Illegal character '\\n'", "Unterminated string")):
        return f"{place}: a text does not end; close it with the quote that it began with"
    return f"{place}: {said[:1].lower()}{said[1:]}" if place else said
