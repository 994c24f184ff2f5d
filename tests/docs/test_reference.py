"""The pages that are made from the code say what the code says now; `pytest --update` writes them anew."""

from __future__ import annotations

import re

import msgspec
import pytest

from docs.generate import PAGES, REFERENCE, made
from kvsim.core.design import AXES
from kvsim.core.settings import toml_name
from kvsim.strategies.catalogue import BUILT_IN, find_strategy


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str, pytestconfig: pytest.Config) -> None:
    page = REFERENCE / name
    now = made(name)
    if pytestconfig.getoption("update"):
        page.write_text(now, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == now, "run: python -m docs.generate"


def test_every_setting_of_every_strategy_says_what_it_means() -> None:
    page = made("strategies.md")
    for axis in AXES:
        for name in BUILT_IN.get(axis, {}):
            settings = find_strategy(axis, name).Settings
            for field in msgspec.structs.fields(settings):
                row = re.search(rf"^\| `{toml_name(field.name)}` \| [^|]+ \| ([^|]*) \|$", page, re.MULTILINE)
                assert row, f"{name}.{field.name} has no row"
                assert row[1].strip(), f"{name}.{field.name} has no string below it that says what it means"
