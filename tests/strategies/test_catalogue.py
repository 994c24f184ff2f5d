"""The catalogue: every pair of strategies runs or is refused with reason and remedy; names lead where they should."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from kvsim.core.axes import Replication
from kvsim.core.design import AXES, Axis
from kvsim.core.message import Message
from kvsim.core.operation import Found, Put, Read, Written
from kvsim.core.settings import SettingsError
from kvsim.strategies import catalogue
from kvsim.strategies.catalogue import (
    BUILT_IN,
    DEFAULTS,
    StrategyNotFound,
    cluster_of,
    find_strategy,
    known,
    message_kinds,
    read_design,
)
from tests.strategies.stepping import Running

# Every pair ------------------------------------------------------------------------------------

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "client_server": [{"coordinator": "frontend"}],
    "primary_backup": [{"mode": "async"}],
    "quorum": [{"r": 1, "w": 1}, {"r": 1, "w": 3}, {"n": 1, "r": 1, "w": 1}],
    "raft": [{"reads": "follower"}],
    "last_writer_wins": [{"clock": "lamport"}, {"clock": "wall"}],
    "objects": [{"written": "once"}],
    "consistent_hashing": [{"vnodes": 1}],
}
"""Settings that change what a strategy does, beside its defaults."""


def choices(axis: Axis) -> list[dict[str, Any]]:
    return [
        {"strategy": name, **settings} for name in BUILT_IN.get(axis, {}) for settings in ({}, *VARIANTS.get(name, []))
    ]


def shown(choice: Mapping[str, Any] | str) -> str:
    if isinstance(choice, str):
        return choice
    return ",".join([choice["strategy"], *(f"{key}={value}" for key, value in choice.items() if key != "strategy")])


def pairs() -> Iterator[dict[str, Any]]:
    axes: list[Any] = [*AXES, "durability"]
    options = {axis: choices(axis) for axis in AXES} | {"durability": ["memory", "disk"]}
    seen: dict[str, None] = {}
    for one, other in itertools.combinations(axes, 2):
        for first, second in itertools.product(options[one], options[other]):
            table = {one: first, other: second}
            if repr(table) not in seen:
                seen[repr(table)] = None
                yield table


ALL_PAIRS = list(pairs())


@pytest.mark.parametrize("table", ALL_PAIRS, ids=lambda table: " ".join(map(shown, table.values())))
def test_every_pair_serves_or_is_refused_with_reason_and_remedy(table: dict[str, Any]) -> None:
    try:
        running = Running(table, nodes=3)
    except SettingsError as refused:
        for problem in refused.problems:
            assert problem.startswith("design: ")
            assert ";" in problem, f"no remedy: {problem}"
        return
    assert isinstance(answered(running, Put, b"k", b"v"), Written)
    found = read_until_found(running)
    assert isinstance(found, Found)
    assert found.value == b"v"
    again = read_design(running.design.described(), "design", 3)
    assert again.described() == running.design.described(), "a design can be read from its own description"


def answered(running: Running, *what: Any) -> Message:
    """A client that asks again while the cluster says that it cannot serve yet, at the door that answers first."""
    answer: Message = running.ask(*what)
    for _ in range(20):
        if getattr(answer, "code", "") != "unavailable":
            break
        running.wait(100)
        answer = running.ask(*what)
    return answer


def read_until_found(running: Running) -> Message:
    """Under eventual consistency the value may take its time."""
    answer = answered(running, Read, b"k")
    for _ in range(20):
        if isinstance(answer, Found):
            break
        running.wait(100)
        answer = answered(running, Read, b"k")
    return answer


def test_some_pairs_are_refused_and_most_are_not() -> None:
    """Lest the test above pass because everything is refused."""

    def is_refused(table: dict[str, Any]) -> bool:
        try:
            read_design(table, "design", 3)
        except SettingsError:
            return True
        return False

    refused = [table for table in ALL_PAIRS if is_refused(table)]
    assert 5 < len(refused) < len(ALL_PAIRS) / 5


def refusals(table: dict[str, Any], nodes: int = 3) -> str:
    with pytest.raises(SettingsError) as refused:
        read_design(table, "FILE: design", nodes)
    return str(refused.value)


QUORUM = {"strategy": "quorum", "n": 3}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"replication": QUORUM | {"r": 4}}, "R=4 and W=2 cannot exceed N=3"),
        ({"replication": QUORUM | {"r": 1}, "consistency": "linearizable"}, "linearizable needs R+W > N"),
        (
            {"consistency": "linearizable", "conflict": {"strategy": "last_writer_wins", "clock": "wall"}},
            "linearizable needs versions later than those read",
        ),
        ({"storage": {"strategy": "objects", "written": "once"}}, "needs an atomic create"),
        ({"replication": QUORUM | {"n": 5}}, "keeps 5 copies of each key, but cluster.nodes = 3; add nodes or lower n"),
        (
            {"replication": "single_copy", "topology": {"strategy": "client_server", "coordinator": "frontend"}},
            "coordinator = 'frontend' needs a replication that any node can coordinate",
        ),
        (
            {"membership": {"strategy": "heartbeat", "interval": "1s", "suspect_after": "1s"}},
            "suspect_after must be longer than interval",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_design_that_makes_no_sense_is_refused_when_it_is_read(table: dict[str, Any], reason: str) -> None:
    assert reason in refusals(table)


# Reading ---------------------------------------------------------------------------------------


def test_an_empty_table_is_the_default_design() -> None:
    design = read_design({}, "design", 3)
    assert {axis: design[axis].name for axis in DEFAULTS} == DEFAULTS
    assert design["consistency"].name == "eventual", "as quorum usually is"
    assert read_design({"replication": "raft"}, "design", 3)["consistency"].name == "linearizable"


def test_settings_without_a_name_are_those_of_the_default() -> None:
    design = read_design({"storage": {"written": "once"}, "replication": "raft", "topology": {}}, "design", 3)
    assert design["storage"].name == "objects"
    assert design.setting("storage", "written") == "once"
    assert design["topology"].name == "client_server"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"replicaton": "raft"}, "FILE: design.replicaton: unknown key; did you mean 'replication'?"),
        (
            {"replication": "qourum"},
            "FILE: design.replication.strategy: unknown strategy 'qourum'; did you mean 'quorum'?",
        ),
        ({"replication": "zzz"}, "unknown strategy 'zzz'; there is primary_backup, quorum, raft, single_copy"),
        ({"replication": 3}, "FILE: design.replication: expected a name, or a table like { strategy = "),
        ({"replication": {"strategy": 3}}, "FILE: design.replication: expected a name, or a table like { strategy = "),
        ({"transactions": {"n": 3}}, "FILE: design.transactions: expected a name, or a table like { strategy = "),
        ({"replication": {"strategy": "quorum", "R": 1}}, "FILE: design.replication.R: unknown key"),
        (
            {"replication": {"strategy": "quorum", "r": 0}},
            "FILE: design.replication.r: expected a whole number >= 1, got 0",
        ),
        ({"timeout": 5}, 'FILE: design.timeout: a time needs its unit, as in "50ms"; got 5'),
        ({"timeout_ns": -5}, "FILE: design.timeout_ns: expected a whole number >= 1, got -5"),
        ({"durability": "disc"}, "FILE: design.durability: unknown 'disc'; did you mean 'disk'?"),
        ({"limits": {"key": 0}}, "FILE: design.limits.key: expected a whole number >= 1, got 0"),
        (
            {"transactions": "two_phase_commit"},
            "FILE: design.transactions.strategy: unknown strategy 'two_phase_commit'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(table: dict[str, Any], problem: str) -> None:
    assert problem in refusals(table)


def test_all_problems_are_told_at_once() -> None:
    problems = refusals({"replication": "qourum", "membership": "hartbeat", "timeout": "x", "odd": 1}).splitlines()
    assert len(problems) == 4


def test_names_of_nodes_tell_their_role() -> None:
    served = cluster_of(read_design({"replication": "primary_backup"}, "design", 3), 3, 2)
    assert served.data == ("data-1", "data-2", "data-3")
    assert served.frontends == ("frontend-1", "frontend-2")
    assert served.services == ("view-1",)
    peers = cluster_of(read_design({"topology": "peer_to_peer"}, "design", 3), 3, 2)
    assert peers.everyone() == ("node-1", "node-2", "node-3")


# Finding ---------------------------------------------------------------------------------------

MINE = """
from kvsim.strategies.replication.quorum import Quorum

class Mine(Quorum):
    pass

class NoStrategy:
    pass
"""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("axis", AXES)
def test_every_built_in_name_is_a_strategy_of_its_axis_with_a_page(axis: Axis) -> None:
    for name in BUILT_IN.get(axis, {}):
        strategy = find_strategy(axis, name)
        assert strategy.axis == axis
        assert strategy.__doc__, f"{name} has no page"


def test_a_students_file_is_found_beside_the_experiment(tmp_path: Path) -> None:
    strategy = find_strategy("replication", "mine.py:Mine", write(tmp_path, MINE))
    assert issubclass(strategy, Replication)
    assert find_strategy("replication", "mine.py:Mine", tmp_path) is strategy, "and loaded once"
    running = Running({"replication": "mine.py:Mine"}, folder=tmp_path)
    assert isinstance(running.ask(Put, b"k", b"v"), Written)


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    before = find_strategy("replication", "mine.py:Mine", write(tmp_path, MINE))
    after = find_strategy("replication", "mine.py:Mine", write(tmp_path, MINE.replace("pass", "answer = 42", 1)))
    assert not hasattr(before, "answer")
    assert hasattr(after, "answer")


def test_two_files_of_one_name_are_two_strategies_with_their_own_messages(tmp_path: Path) -> None:
    text = 'from kvsim.core.message import Message\n{}\nclass Hello(Message, tag="mine.{}"):\n    pass\n'
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        write(folder, text.format(MINE, folder.name))
    designs = [read_design({"replication": "mine.py:Mine"}, "design", 3, folder) for folder in folders]
    tags = [[str(kind.__struct_config__.tag) for kind in message_kinds(design)] for design in designs]
    assert "mine.one" in tags[0]
    assert "mine.one" not in tags[1]
    assert "mine.two" in tags[1]


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (None, "mine.py:Mine", "there is no file mine.py in "),
        (MINE, "mine.py", "'mine.py' names a file and no class; write 'mine.py:ClassName'"),
        (MINE, "mine.py:Mien", "mine.py has no class 'Mien'; did you mean 'Mine'?"),
        (
            MINE,
            "mine.py:NoStrategy",
            "is no strategy for replication; derive its class from kvsim.core.axes.Replication",
        ),
        ("\n\ndef broken(:\n", "mine.py:Mine", "mine.py, line 3: "),
        ("\nimport no_such_module\n", "mine.py:Mine", "does not import: ModuleNotFoundError: No module named"),
        ("\nimport no_such_module\n", "mine.py:Mine", "(line 2)"),
        ("x = 1\ny = x / 0\n", "mine.py:Mine", "mine.py does not import: ZeroDivisionError: division by zero (line 2)"),
        ("import sys\nsys.exit('no')\n", "mine.py:Mine", "mine.py does not import: SystemExit: no (line 2)"),
    ],
    ids=["no file", "no class", "misspelt", "no strategy", "syntax", "import", "its line", "error", "exit"],
)
def test_a_file_that_does_not_serve_says_why(tmp_path: Path, text: str | None, name: str, problem: str) -> None:
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(StrategyNotFound) as refused:
        find_strategy("replication", name, tmp_path)
    assert problem in str(refused.value)


def test_a_strategy_of_another_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyNotFound, match=r"kvsim\.core\.axes\.Consistency"):
        find_strategy("consistency", "mine.py:Mine", write(tmp_path, MINE))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that offers strategies."""
    points = [
        metadata.EntryPoint("replication.theirs", "kvsim.strategies.replication.quorum:Quorum", catalogue.ENTRY_POINTS),
        metadata.EntryPoint("replication.broken", "no_such_package:Broken", catalogue.ENTRY_POINTS),
        metadata.EntryPoint("replication.raft", "no_such_package:Raft", catalogue.ENTRY_POINTS),
    ]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points if group == catalogue.ENTRY_POINTS else [])
    catalogue.installed.cache_clear()
    yield
    catalogue.installed.cache_clear()


@pytest.mark.usefixtures("installed")
def test_installed_packages_add_strategies_and_cannot_replace_ours() -> None:
    assert find_strategy("replication", "theirs").__name__ == "Quorum"
    assert find_strategy("replication", "raft").__name__ == "Raft"
    assert "theirs" in known("replication")
    assert "theirs" not in known("membership")
    with pytest.raises(StrategyNotFound, match="no_such_package does not import: ModuleNotFoundError"):
        find_strategy("replication", "broken")


# Consistency chooses the read path -------------------------------------------------------------


def messages_of_a_read(table: dict[str, Any]) -> list[str]:
    running = Running(table, nodes=3)
    assert isinstance(answered(running, Put, b"k", b"v"), Written)
    running.wait(500)
    read_until_found(running)
    answered(running, Read, b"k")
    return [tag for tag in running.sent() if not tag.startswith(("client.", "result.", "heartbeat."))]


@pytest.mark.parametrize(
    "replication",
    [{"strategy": "quorum", "r": 1, "w": 3}, "raft", {"strategy": "primary_backup", "reads": "round"}],
    ids=shown,
)
def test_consistency_chooses_the_read_path(replication: Any) -> None:
    """What a linearizable read costs is seen in its messages."""
    reads = {
        level: messages_of_a_read({"replication": replication, "consistency": level})
        for level in ("linearizable", "eventual")
    }
    assert sorted(reads["linearizable"]) != sorted(reads["eventual"])
    assert len(reads["linearizable"]) > len(reads["eventual"])
