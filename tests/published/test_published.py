"""The real strategies reproduce published figures: a tenth of the trials here, with tolerances √10 times as wide."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.published.page import write_page
from kvsim.lab.published.run import read, reproduce

FOLDER = Path(__file__).parents[2] / "experiments" / "published"
RECIPES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_tenth_of_the_trials_lies_within_wider_tolerances(path: Path) -> None:
    done = reproduce(read(path, loosened=10**0.5), share=0.1)
    assert [f"{row.variant} {row.metric} = {row.found}, {row.expected}" for row in done.rows if not row.holds] == []
    assert done.rows


def test_a_strategy_that_does_something_else_is_found_out(tmp_path: Path) -> None:
    said = (FOLDER / "staleness-lnkd-ssd.toml").read_text()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(
        said.replace("n = 3, r = 1, w = 1, read_repair = false", "n = 3, r = 1, w = 2, read_repair = false")
    )
    done = reproduce(read(wrong), share=0.02)
    outside = {(row.variant, row.metric) for row in done.rows if not row.holds}
    assert ("r1w1", "write_latency_p999_ms") in outside


def test_the_page_has_a_row_for_each_figure(tmp_path: Path) -> None:
    done = [reproduce(read(FOLDER / f"{name}.toml"), share=0.01) for name in ("queues", "coordinated-omission")]
    write_page(done, tmp_path / "page.md", tmp_path / "pictures")
    page = (tmp_path / "page.md").read_text()
    for row in (row for one in done for row in one.rows):
        assert f"| {row.variant} | `{row.metric}` |" in page
    assert "**outside**" in page, "a hundredth of the trials is not enough"
    assert (tmp_path / "pictures" / "queues.png").stat().st_size > 10_000


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((FOLDER / "queues.toml").read_text().replace('method = "sojourn"', 'method = "sojorn"'))
    with pytest.raises(SettingsError, match=r"wrong.toml: published: unknown method 'sojorn'; did you mean 'sojourn'"):
        read(wrong)
