"""Reading the scenario of `kvsim explore` and `kvsim step` from an experiment's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvsim.explore.scenario import Scenario


def read_file(file_or_name: str, settings: Sequence[str], at: str | None = None) -> Scenario:
    """The scenario of this file, some keys set before, or of this moment of a run. Raises `SettingsError`."""
    from kvsim.core.settings import SettingsError

    if at is not None:
        return _of_a_run(Path(file_or_name), settings, at)
    if (Path(file_or_name) / "run.json").is_file() or Path(file_or_name).name == "run.json":
        raise SettingsError([f"{file_or_name} is a run; say from which moment on, as in --at 1.5s"])
    from kvsim.explore.scenario import read_scenario
    from kvsim.lab.experiment import find
    from kvsim.lab.grid import parse_setting, set_key
    from kvsim.lab.toml_file import parse_table, read_text

    path = find(file_or_name)
    table = parse_table(read_text(path), path.name)
    for setting in settings:
        try:
            set_key(table, *parse_setting(setting))
        except ValueError as error:
            raise SettingsError([str(error)]) from error
    return read_scenario(table, path.name, path.parent)


def _of_a_run(run: Path, settings: Sequence[str], at: str) -> Scenario:
    import typer

    from kvsim.core.settings import duration_ns

    try:
        at_ns = duration_ns(at)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None
    from kvsim.lab.moment import scenario_at

    return scenario_at(run, at_ns, settings)
