"""What the command line says of wrong input, and what `kvsim list` shows."""

from pathlib import Path

import pytest

import kvsim
from kvsim.cli.app import run
from kvsim.cli.explored import _share
from kvsim.core.settings import shown_size, size_bytes

Output = pytest.CaptureFixture[str]
DEAD_DOOR = "http://127.0.0.1:1"


def complaint(capsys: Output, *arguments: str) -> str:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


@pytest.mark.parametrize("command", ["simulate", "explore"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'title = "a"\ntitle = "b"\n', "line 2, column 12: the key title stands twice; keep one of them"),
        (b"[a]\nx = 1\n[a]\n", "[a] stands twice"),
        (b'title = "a\n', "a text does not end; close it with the quote"),
        (b"\xff\xfe", "is no text file (byte 0 is no UTF-8)"),
    ],
)
def test_a_file_that_is_no_toml_is_explained(
    command: str, content: bytes, said: str, tmp_path: Path, capsys: Output
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    error = complaint(capsys, command, str(path))
    assert error.startswith("kvsim: mine.toml: ")
    assert said in error


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("cluster.nodes=five", "cluster.nodes: expected a whole number, got 'five'"),
        ("workload.duration=-5s", "workload.duration: must not be negative, got '-5s'"),
        ("workload.mix=foo", "workload.mix: unknown 'foo'; there is ycsb-a, ycsb-b"),
    ],
)
def test_a_wrong_setting_is_told_in_words(setting: str, said: str, capsys: Output) -> None:
    assert said in complaint(capsys, "simulate", "quorum-staleness", "--dry-run", "--set", setting)


def test_a_wrong_time_is_not_missing_too(capsys: Output) -> None:
    fault = 'faults=[{kind="crash", node="data-1", at=-4}]'
    error = complaint(capsys, "simulate", "quorum-staleness", "--dry-run", "--set", fault)
    assert "faults[0].at: a time needs its unit" in error
    assert "missing" not in error


def test_new_names_the_missing_folder_and_the_remedy(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "none" / "mine.toml"
    assert f"{path}: there is no folder {path.parent}; make it first" in complaint(capsys, "new", str(path))


def test_a_cas_with_three_words_shows_how_it_is_written(capsys: Output) -> None:
    error = complaint(capsys, "client", DEAD_DOOR, "cas", "k", "old", "new")
    assert "cas k new --expected old" in error


def test_a_dead_door_is_the_same_to_where_and_to_client(capsys: Output) -> None:
    assert run(["where", "--url", DEAD_DOOR]) == run(["client", "--retries", "0", DEAD_DOOR, "get", "k"]) == 1
    assert capsys.readouterr().err.count("nobody answers") == 2


@pytest.mark.parametrize("address", ["foo", "tcp://foo", "tcp://foo:port"])
def test_a_dask_address_without_a_port_is_refused_before_connecting(address: str, capsys: Output) -> None:
    assert "names no port" in complaint(capsys, "sweep", "quorum-staleness", "--on", f"dask:{address}")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raft", "did you mean: kvsim list replication raft"),
        ("rafft", "'rafft' is unknown; did you mean: kvsim list replication raft"),
        ("quorum-staleness", "did you mean: kvsim list experiments quorum-staleness"),
        ("transactions", "no strategy of this axis comes with kvsim yet"),
    ],
)
def test_list_leads_to_where_a_thing_is_found(what: str, said: str, capsys: Output) -> None:
    assert said in complaint(capsys, "list", what)


def test_list_offers_no_axis_without_strategies(capsys: Output) -> None:
    assert "transactions" not in complaint(capsys, "list", "xyzzy")


@pytest.mark.parametrize(
    ("share", "told"), [(0.00004, "less than 0.01 %"), (0.0001, "about 0.01 %"), (0.125, "about 12.50 %")]
)
def test_a_small_share_is_not_shown_as_nothing(share: float, told: str) -> None:
    assert _share(share) == told


def test_list_shows_an_experiment_whole(capsys: Output) -> None:
    assert run(["list", "experiments", "quorum-staleness"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "What does reading from one replica cost?",
        "With R + W ≤ N",
        "design.replication.n = 3",
        'expect.stale_read_share[r=3] = "== 0"',
    ):
        assert part in shown


def test_list_names_the_usual_consistency_of_a_replication_and_sizes_with_units(capsys: Output) -> None:
    assert run(["list", "replication", "raft"]) == 0
    shown = capsys.readouterr().out
    assert "consistency: linearizable" in shown
    assert "1 MiB" in shown


def test_a_dry_run_has_the_key_names_and_sizes_of_a_file(capsys: Output) -> None:
    options = ("--set", 'design={replication="raft"}', "--set", "vary={}", "--set", "expect={}")
    assert run(["simulate", "quorum-staleness", "--dry-run", *options]) == 0
    assert "design.replication.max_batch = 1 MiB" in capsys.readouterr().out


@pytest.mark.parametrize("size", [0, 1, 1_000, 1_023, 1_024, 1_500, 1 << 20, 5 * 10**9, 1 << 30])
def test_a_shown_size_reads_back_as_it_was(size: int) -> None:
    assert size_bytes(shown_size(size)) == size


def test_the_api_is_listed_before_it_is_imported() -> None:
    assert {"load", "Client", "read_history"} <= set(dir(kvsim))
