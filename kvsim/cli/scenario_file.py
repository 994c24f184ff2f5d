"""Reading the scenario of `kvsim explore` and `kvsim step` from an experiment's file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvsim.explore.scenario import Scenario


def read_file(file_or_name: str, settings: Sequence[str]) -> Scenario:
    """The scenario of this file, some keys set before it is read. Raises `SettingsError`."""
    from kvsim.core.settings import SettingsError
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
