"""Points: every combination of what varies, with the shortest labels that tell them apart."""

from typing import Any

import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.grid import axes_of, keys_of, parse_setting, points_of, set_key, short_names


def labels(vary: dict[str, Any], variants: list[dict[str, Any]] | None = None) -> list[str]:
    variants = variants or []
    return [point.label for point in points_of({}, axes_of(vary, variants, "f.toml"), variants, "f.toml")]


def test_a_grid_has_every_combination_the_last_axis_changing_fastest() -> None:
    assert labels({"design.replication.r": [1, 2], "workload.clients": [5, 50]}) == [
        "r=1,clients=5", "r=1,clients=50", "r=2,clients=5", "r=2,clients=50",
    ]  # fmt: skip


def test_without_axes_there_is_one_point_without_a_label() -> None:
    assert labels({}) == [""]


def test_a_label_is_the_shortest_suffix_that_is_unique() -> None:
    paths = ["design.replication.timeout", "workload.timeout", "workload.clients"]
    assert short_names(paths) == ["replication.timeout", "workload.timeout", "clients"]


def test_variants_are_an_axis_and_replace_whole_sections() -> None:
    variants = [{"name": "raft", "design": {"replication": "raft"}}, {"name": "plain"}]
    base = {"design": {"replication": "quorum", "durability": "memory"}}
    found = points_of(base, axes_of({}, variants, "f.toml"), variants, "f.toml")
    assert [point.label for point in found] == ["variant=raft", "variant=plain"]
    assert found[0].table["design"] == {"replication": "raft"}
    assert found[1].table == base


def test_axes_may_be_written_as_tables() -> None:
    assert labels({"design": {"replication": {"r": [1, 2]}}}) == labels({"design.replication.r": [1, 2]})


def test_setting_a_key_of_a_strategy_given_by_name_makes_a_table_of_it() -> None:
    table: dict[str, Any] = {"design": {"replication": "quorum"}}
    set_key(table, "design.replication.r", 2)
    assert table == {"design": {"replication": {"strategy": "quorum", "r": 2}}}


def test_a_point_does_not_change_the_others() -> None:
    base = {"design": {"replication": {"strategy": "quorum"}}}
    one, two = points_of(base, axes_of({"design.replication.r": [1, 2]}, [], "f.toml"), [], "f.toml")
    assert one.table["design"]["replication"]["r"] == 1
    assert two.table["design"]["replication"]["r"] == 2
    assert base == {"design": {"replication": {"strategy": "quorum"}}}


def test_a_key_in_a_list_goes_by_its_number() -> None:
    table: dict[str, Any] = {"faults": [{"at": "1s"}, {"at": "2s"}]}
    set_key(table, "faults.1.at", "3s")
    assert table["faults"][1] == {"at": "3s"}
    with pytest.raises(ValueError, match="no number from 0 to 1"):
        set_key(table, "faults.2.at", "3s")


def test_quoted_keys_may_hold_dots() -> None:
    assert keys_of('machines.cpu."quorum.store"') == ["machines", "cpu", "quorum.store"]
    with pytest.raises(ValueError, match="joined by dots"):
        keys_of("design..r")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("workload.clients=5", ("workload.clients", 5)),
        ("workload.duration=2s", ("workload.duration", "2s")),
        ('design.replication={strategy="raft"}', ("design.replication", {"strategy": "raft"})),
        ("design.replication = raft", ("design.replication", "raft")),
    ],
)
def test_a_setting_is_read_as_toml_else_as_text(text: str, found: tuple[str, Any]) -> None:
    assert parse_setting(text) == found


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="KEY=VALUE"):
        parse_setting("workload.clients")


@pytest.mark.parametrize(
    ("values", "reason"), [(3, "expected a list"), ([], "expected a list"), ([1, 1], "listed twice")]
)
def test_an_axis_needs_different_values(values: Any, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        axes_of({"design.replication.r": values}, [], "f.toml")
