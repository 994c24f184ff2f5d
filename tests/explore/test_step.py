"""`kvsim explore` and `kvsim step` as a user meets them: commands in, words and files out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kvsim.testing.transcript import rerun

FILE = """
title = "A write and two reads"

[design]
topology = "peer_to_peer"
partitioning = "modulo"
replication = { strategy = "quorum", n = 3, r = 2, w = 2 }

[explore]
operations = ["c1: put x=1 at node-1"]
bounds = { crashes = 1 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def kvsim(folder: Path, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kvsim.cli import main; main()", *words]
    return subprocess.run(command, cwd=folder, input=said, capture_output=True, text=True, timeout=100, check=False)


def test_a_sound_world_is_not_refuted_and_the_bounds_are_told(folder: Path) -> None:
    done = kvsim(folder, "explore", "small.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not refuted: durability, its invariants" in done.stdout
    assert "(all)" in done.stdout and "crashes ≤ 1" in done.stdout


def test_a_refuted_schedule_is_a_story_and_a_transcript_that_replays(folder: Path) -> None:
    (folder / "mine.py").write_text(
        '"""One answer too few."""\n'
        "from kvsim.strategies.replication.quorum import Quorum\n\n"
        "class Mine(Quorum):\n"
        '    """Waits for W - 1."""\n'
        "    def __init__(self, site, settings):\n"
        "        super().__init__(site, settings)\n"
        "        self.w -= 1\n",
        encoding="utf-8",
    )
    done = kvsim(
        folder, "explore", "small.toml", "--set", "design.replication.strategy=mine.py:Mine", "--out", "found", "--json"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    told = msgspec.json.decode(done.stdout)
    assert told["verdict"] == "refuted" and len(told["story"]) <= 6
    story = (folder / "found" / "story.md").read_text(encoding="utf-8")
    assert "c1 asks node-1: put x=1" in story.replace("C1", "c1") and "W promises outlive a crash" in story
    text = (folder / "found" / "transcript.txt").read_text(encoding="utf-8")
    sound = text.replace("mine.py:Mine", "quorum")
    assert "node-1->client ok c1/1" in text
    assert "node-1->client ok" not in rerun(sound, "transcript.txt"), "the protocol as it is does not answer yet"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explore", "nowhere.toml"), "nowhere"),
        (("explore", "small.toml", "--for", "soon"), "--for"),
        (("explore", "small.toml", "--mode", "best"), "there are auto, dfs, bfs, pct"),
        (("explore", "small.toml", "--bound", "crashs=1"), "did you mean 'crashes'?"),
        (("step", "nowhere.toml"), "nowhere"),
    ],
    ids=str,
)
def test_bad_input_is_told_in_a_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = kvsim(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_person_chooses_goes_back_looks_and_saves_a_test(folder: Path) -> None:
    said = "1\nmark asked\n2\ndiff node-2\nundo\n2\nstate node-2\ngo asked\njudge\npath\nsave t.txt\nquit\n"
    done = kvsim(folder, "step", "small.toml", said=said)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert "c1 asks node-1: put x=1" in out
    assert "→ node-1 sends to node-3: quorum.store c1/1 x=1 @1.node-1" in out
    assert '+ records = {"x":' in out, "what the last step changed in the node"
    assert "at asked, after 1 step\n" in out
    assert "nothing speaks against it so far" in out
    text = (folder / "t.txt").read_text(encoding="utf-8")
    assert "put node-1 x=1 client=c1" in text
    assert rerun(text, "t.txt") == text


def test_several_numbers_are_taken_in_a_row_and_gone_back_and_forth_by_the_beginnings_of_words(folder: Path) -> None:
    done = kvsim(folder, "step", "small.toml", said="1 2 3\nu\nredo\ndiff\nseen\nstate\nu\n1\nredo\ns\nq\n")
    assert done.returncode == 0, done.stderr
    before, _, after = done.stdout.partition("one step back")
    assert "node-2 receives from node-1: quorum.store" in before and "step 3> " in before
    redone, _, rest = after.partition("step 3> ")
    assert "step 2> " in redone and "node-2\n- " in rest, "what was undone is done again, and changed that node"
    assert "  c1 asks: put x=1" in rest
    assert all(f"{node}\n  clock_ns = 0" in rest for node in ("node-1", "node-2", "node-3"))
    assert "nothing was undone from here" in rest, "another step was taken since"
    assert "s may be state or save or seen" in rest


def test_words_that_mean_nothing_do_no_harm(folder: Path) -> None:
    done = kvsim(folder, "step", "small.toml", said="jump\n99\nmark\nstate nobody\ngo nowhere\nundo\nsave /nowhere/t\n")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    for answer in (
        "unknown command jump",
        "there is no 99",
        "other words",
        "no node nobody",
        "no moment",
        "the beginning",
    ):
        assert answer in done.stdout
