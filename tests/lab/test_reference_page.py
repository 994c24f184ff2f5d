"""The reference page names every key and every metric that there is, and runs what it shows."""

import tomllib
from pathlib import Path

import msgspec

from kvsim.core.settings import toml_name
from kvsim.lab.conditions import parse_condition, parse_reference
from kvsim.lab.measures import MEASURES
from kvsim.lab.metrics import METRICS
from kvsim.workload.settings import MIXES, Mix, Workload

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "experiment.md").read_text(encoding="utf-8")


def test_every_metric_stands_on_the_page_as_the_code_describes_it() -> None:
    for name, meaning in METRICS.items():
        assert f"| `{name}` | {meaning.unit or '–'} | {meaning.text} |" in PAGE


def test_every_key_of_a_workload_stands_on_the_page() -> None:
    for field in msgspec.structs.fields(Workload):
        assert f"| `{toml_name(field.name)}` |" in PAGE


def test_every_share_and_measure_stands_on_the_page() -> None:
    for name in (*Mix.__struct_fields__, *MEASURES):
        assert f"`{name}`" in PAGE or f'"{name}"' in PAGE
    assert f"`{min(MIXES)!r}`".replace("'", '"') in PAGE


def test_the_examples_can_be_read() -> None:
    blocks = [block.partition("```")[0] for block in PAGE.split("```toml")[1:]]
    tables = [tomllib.loads(block) for block in blocks]
    assert [list(table) for table in tables] == [["vary"], ["expect"]]
    for key, conditions in tables[1]["expect"].items():
        parse_reference(key)
        for condition in [conditions] if isinstance(conditions, str) else conditions:
            parse_condition(condition)
