"""`kvsim new`: a commented experiment that runs as it is, to begin from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as mine.toml.")],
) -> None:
    """Write a commented experiment that runs as it is.

    Example: kvsim new mine.toml
    """
    text = resources.files("kvsim.cli").joinpath("template.toml").read_text(encoding="utf-8")
    try:
        with open(file, "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        from kvsim.core.settings import SettingsError

        raise SettingsError([f"{file} is there already; name another file, or remove it first"]) from None
    except FileNotFoundError:
        from kvsim.core.settings import SettingsError

        folder = file.parent
        raise SettingsError([f"{file}: there is no folder {folder}; make it first: mkdir -p {folder}"]) from None
    print(f"wrote {file}; next: edit it, then kvsim simulate {file}")
