"""What an experiment leaves in its folder, and which folders it does not touch."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.artefacts import FOLDERS_KEPT
from kvsim.lab.experiment import load
from kvsim.lab.page import COLUMNS
from kvsim.lab.plots import draw_all

Small = Callable[..., Path]
GRID = '[vary]\n"design.replication.r" = [1, 2]\nseeds = 2\n[expect]\n"availability_share" = "== 1"\n'


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts of a small grid."""
    from tests.lab.conftest import SMALL

    folder = tmp_path_factory.mktemp("grid")
    path = folder / "small.toml"
    path.write_text(SMALL + GRID, encoding="utf-8")
    load(path).run(out=folder / "out")
    return folder / "out"


def test_every_run_has_a_folder_with_all_that_repeats_it(out: Path) -> None:
    labels = ["r=1,seed=0", "r=1,seed=1", "r=2,seed=0", "r=2,seed=1"]
    assert sorted(folder.name for folder in (out / "runs").iterdir()) == labels
    for label in labels:
        assert sorted(file.name for file in (out / "runs" / label).iterdir()) == [
            "history.jsonl", "metrics.json", "run.json",
        ]  # fmt: skip
    run = msgspec.json.decode((out / "runs" / "r=2,seed=1" / "run.json").read_bytes())
    assert run["seed"] == 1
    assert run["design"]["replication"]["r"] == 2
    assert run["versions"]["kvsim"]
    assert run["verdicts"]["linearizable"]["verdict"] in ("refuted", "not_refuted")


def test_metrics_are_flat_and_sorted(out: Path) -> None:
    metrics = msgspec.json.decode((out / "metrics.json").read_bytes())
    assert list(metrics) == sorted(metrics)
    assert metrics["availability_share[r=1]"] == 1.0
    assert all(isinstance(value, (int, float)) for value in metrics.values())


def test_every_picture_has_both_forms_and_no_date(out: Path) -> None:
    names = {file.stem for file in (out / "plots").iterdir()}
    assert {"compare-r", "latency", "load"} <= names
    for name in names:
        assert (out / "plots" / f"{name}.png").stat().st_size > 5_000
        svg = (out / "plots" / f"{name}.svg").read_text()
        assert "<dc:date>" not in svg


def test_the_report_stands_alone(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    for part in (
        "A small experiment",
        "Does it run?",
        "availability_share == 1",
        "Promises",
        "data:image/svg+xml;base64,",
    ):
        assert part in page
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == [], "it loads nothing"


def test_the_same_folder_can_be_used_again(small: Small, tmp_path: Path) -> None:
    target = tmp_path / "out"
    load(small(GRID)).run(out=target)
    load(small()).run(out=target)
    assert [folder.name for folder in (target / "runs").iterdir()] == ["seed=0"]


def test_a_folder_with_other_files_is_left_alone(small: Small, tmp_path: Path) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").write_text("years of work")
    with pytest.raises(SettingsError, match="holds other files"):
        load(small()).run(out=target)
    assert [file.name for file in target.iterdir()] == ["chapter.tex"]


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(small: Small, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="name another folder with --out"):
        load(small()).run(out=tmp_path / "file" / "out")


def test_of_many_runs_only_those_that_tell_something_keep_a_folder(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FOLDERS_KEPT == 50
    monkeypatch.setattr("kvsim.lab.artefacts.FOLDERS_KEPT", 3)
    path = small('[vary]\n"design.replication.r" = [2]\nseeds = 4\n')
    load(path).run(out=tmp_path / "out", trace="first")
    assert [folder.name for folder in (tmp_path / "out" / "runs").iterdir()] == ["r=2,seed=0"]


def test_a_report_of_many_points_has_no_table_that_is_wider_than_the_page(small: Small, tmp_path: Path) -> None:
    vary = '[vary]\n"design.replication.r" = [1, 2, 3]\n"workload.clients" = [1, 2, 3]\n'
    out = tmp_path / "many"
    load(small(vary)).run(out=out)
    page = (out / "report.html").read_text(encoding="utf-8")
    heads = [head.partition("</thead>")[0].count("<th") for head in page.split("<thead>")[1:]]
    assert max(heads) <= 1 + COLUMNS
    compared = page[page.index("<h2>Compared</h2>") : page.index("<h2>Pictures</h2>")]
    for r in (1, 2, 3):
        for clients in (1, 2, 3):
            assert f"<td>r={r}, clients={clients}</td>" in compared
    assert "All metrics of all 9 points" in compared


def test_a_comparison_says_in_the_picture_how_many_of_its_lines_it_shows(small: Small, tmp_path: Path) -> None:
    vary = '[vary]\n"workload.clients" = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"design.replication.r" = [1, 2]\n'
    report = load(small(vary)).run()
    captions = {plot.name: plot.caption for plot in draw_all(report, tmp_path)}
    assert "Shown: 8 of 9 lines." in captions["compare-r"]
    assert "lines are shown" not in captions["compare-clients"]
