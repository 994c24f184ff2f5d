"""Reading an experiment: all that is wrong with a file, at once, with file, key path and the nearest right name."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import load

Small = Callable[..., Path]


def problems(path: Path | str, *settings: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, settings)
    return caught.value.problems


def test_an_experiment_has_its_points_and_its_head(small: Small) -> None:
    found = load(
        small('[vary]\n"design.replication.r" = [1, 2]\nseeds = 3\n', text="# Why it is so.\n" + small().read_text())
    )
    assert (found.name, found.title, found.comment) == ("small", "A small experiment", "Why it is so.")
    assert [setup.label for setup in found.setups] == ["r=1", "r=2"]
    assert found.runs == 6


def test_every_problem_of_every_section_is_told_at_once(small: Small) -> None:
    path = small(
        """
        think_tim = "1s"
        [network]
        latencies = 3
        [machines]
        cores = 0
        [[faults]]
        kind = "crush"
        at = "1s"
        [[faults]]
        kind = "crash"
        at = "1s"
        node = "data-9"
        """.replace("        ", "")
    )
    found = problems(path, 'design.replicatoin="raft"', "cluster.nodes=-1")
    for part in (
        "small.toml: workload.think_tim: unknown key; did you mean 'think_time'?",
        "small.toml: network.latencies: unknown key; did you mean 'latency'?",
        "small.toml: machines.cores: expected",
        "small.toml: design.replicatoin: unknown key; did you mean 'replication'?",
        "small.toml: cluster.nodes: expected",
    ):
        assert any(problem.startswith(part) for problem in found), part


def test_faults_are_checked_against_the_cluster(small: Small) -> None:
    found = problems(small('[[faults]]\nkind = "crash"\nat = "1s"\nnode = "data-9"\n'))
    assert found == ["small.toml: faults[0]: there is no node 'data-9'; did you mean 'data-3'?"] or "data-9" in found[0]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("[wrkload]\n", "small.toml: wrkload: unknown key; did you mean 'workload'?"),
        (
            '[vary]\n"design.replication.rr" = [1]\n',
            "small.toml: design.replication.rr: unknown key; did you mean 'r'?",
        ),
        ('[vary]\n"design.replication.r" = [1, 9]\n', "(at r=9)"),
        ("[vary]\nseeds = 0\n", "small.toml: vary.seeds: expected a number"),
        ('[measure]\nuse = ["pbss"]\n', "small.toml: measure.use: unknown 'pbss'; did you mean 'pbs'?"),
        ('[expect]\nstale_read_shar = "> 0"\n', "did you mean 'stale_read_share'?"),
        ('[[variant]]\nname = "a"\n[[variant]]\nname = "a"\n', "two are named 'a'"),
        ('[[variant]]\nname = "a"\nvary = {}\n', "small.toml: variant[0].vary: unknown key"),
        ("[[variant]]\ndesign = {}\n", "small.toml: variant[0].name: missing"),
        ("[cluster]\n", "small.toml: line"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(small: Small, more: str, reason: str) -> None:
    assert any(reason in problem for problem in problems(small(more))), problems(small(more))


def test_a_syntax_error_names_its_line(small: Small) -> None:
    [problem] = problems(small("[network\n"))
    assert problem.startswith("small.toml: line ")


def test_a_missing_file_names_what_there_is(tmp_path: Path) -> None:
    [missing] = problems(tmp_path / "quorum-stalenes.toml")
    assert "did you mean 'quorum-staleness'?" in missing
    [unknown] = problems("quorum-stalenes")
    assert "quorum-staleness" in unknown
    [folder] = problems(tmp_path)
    assert "is a folder" in folder


@pytest.mark.parametrize("setting", ["workload.clients", "title.x=3", "design..r=1"])
def test_a_setting_that_cannot_be_set_is_refused(small: Small, setting: str) -> None:
    [problem] = problems(small(), setting)
    assert problem.startswith("--set ")


def test_settings_are_set_before_the_file_is_read(small: Small) -> None:
    found = load(small(), ["workload.clients=7", "design.replication.r=2", "title=Other"])
    assert found.setups[0].workload.clients == 7
    assert found.setups[0].design.setting("replication", "r") == 2
    assert found.title == "Other"


def test_places_may_stand_with_the_cluster(small: Small) -> None:
    path = small('[network]\ngraph = "three_zones"\n')
    found = load(path, ['cluster.place={data-1 = "zone-2"}'])
    assert dict(found.setups[0].world.network.place) == {"data-1": "zone-2"}


def test_a_run_can_be_run_again_from_its_description(small: Small, tmp_path: Path) -> None:
    path = small('[vary]\n"design.replication.r" = [1, 2]\n')
    first = load(path).run(seed=3, out=tmp_path / "out")
    described = tmp_path / "out" / "runs" / "r=2,seed=3" / "run.json"
    again = load(described)
    assert again.first_seed == 3
    assert again.run().metrics == first.runs[1].metrics


def test_a_file_that_describes_no_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(msgspec.json.encode({"title": 3}))
    [problem] = problems(path)
    assert problem.startswith("run.json: is no run of an experiment")


def test_a_folder_does_not_hide_a_bundled_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quorum-staleness").mkdir()
    assert load("quorum-staleness").name == "quorum-staleness"


@pytest.mark.parametrize(
    ("more", "setting", "said"),
    [
        (
            '[vary]\n"design.replication.r" = [1, 2]\n',
            "design.replication.r=3",
            "--set design.replication.r: [vary] sets it at every point; set its values there",
        ),
        (
            '[[variant]]\nname = "a"\ndesign = { replication = "raft" }\n',
            "design.timeout=1s",
            "--set design.timeout: every [[variant]] has a design of its own; change it in the file",
        ),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(small: Small, more: str, setting: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(small(more), [setting])
    assert said in str(refused.value)
