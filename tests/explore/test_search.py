"""The search sees everything once: reductions change neither verdict nor what clients can see, and goals guard it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvsim.core.message import SECOND
from kvsim.core.settings import SettingsError
from kvsim.explore.beginning import begin
from kvsim.explore.explore import explore
from kvsim.explore.scenario import Scenario, read_scenario
from kvsim.explore.search import Search, Watch
from kvsim.explore.shortest import replay
from kvsim.explore.walks import Walks
from kvsim.explore.world import World
from tests.explore.worlds import quorum, single, two_owners


def searched(scenario: Scenario, *, reduce: bool, cut: bool, merge: bool) -> tuple[str, int, Watch]:
    """The verdict, how many different histories there are, and what was counted."""
    world, watch = World(scenario, merge=merge), Watch(scenario)
    search = Search(world, watch, begin(world).state, reduce=reduce, cut=cut)
    search.run(lambda: True)
    assert search.is_complete or watch.finding is not None
    return ("refuted" if watch.finding else "kept", watch.always.histories, watch)


SMALL: dict[str, dict[str, Any]] = {
    "calm": {"bounds": {"crashes": 0}},
    "a crash": {"bounds": {"crashes": 1}, "notices": False},
    "a broken stream and a timer": {"bounds": {"crashes": 0, "losses": 1, "timers": 1, "faults": 1}},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("merge", [True, False])
def test_reductions_leave_verdict_and_histories_as_they_are(name: str, merge: bool) -> None:
    scenario = quorum("c1: put x=1 at node-1", **SMALL[name])
    verdict, histories, everything = searched(scenario, reduce=False, cut=True, merge=False)
    for reduce, cut in ((True, True), (True, False), (False, True)):
        less = searched(scenario, reduce=reduce, cut=cut, merge=merge)
        assert less[:2] == (verdict, histories)
        if reduce and cut:
            assert less[2].counts.steps < everything.counts.steps


@pytest.mark.parametrize("clients", [("c1: put x=1 at node-1", "c2: get x at node-1"), ("c1: put x=1 at node-1",)])
def test_reductions_leave_histories_of_two_clients_as_they_are(clients: tuple[str, ...]) -> None:
    scenario = single(*clients, "c1: get x at node-1", bounds={"crashes": 1, "retries": 1})
    plain = searched(scenario, reduce=False, cut=False, merge=False)
    for reduce, cut, merge in ((True, False, False), (False, True, True), (True, True, True)):
        assert searched(scenario, reduce=reduce, cut=cut, merge=merge)[:2] == plain[:2]


def test_reductions_keep_every_order_of_ends_and_beginnings_at_nodes_that_do_not_meet() -> None:
    scenario = two_owners(
        "c1: put z=1 at node-1", "c1: get z at node-1", "c2: put x=1 at node-2", "c2: get x at node-2",
        bounds={"crashes": 0},
    )  # fmt: skip
    plain = searched(scenario, reduce=False, cut=False, merge=False)
    assert plain[1] > 20
    for reduce, cut, merge in ((True, False, False), (False, True, True), (True, True, True)):
        assert searched(scenario, reduce=reduce, cut=cut, merge=merge)[:2] == plain[:2]


def test_a_broken_protocol_is_refuted_with_and_without_reductions(tmp_path: Path) -> None:
    scenario = quorum(
        "c1: put x=1 at node-1", "c1: get x at node-2", folder=tmp_path, bounds={"crashes": 1}, notices=False
    )
    for reduce in (True, False):
        assert searched(scenario, reduce=reduce, cut=True, merge=True)[0] == "refuted"


def test_what_is_found_is_as_short_as_it_can_be_and_still_fails(tmp_path: Path) -> None:
    scenario = quorum(
        "c1: put x=1 at node-1", "c2: get x at node-2", "c2: get x at node-3", folder=tmp_path, bounds={"crashes": 2}
    )
    found = explore(scenario, 20 * SECOND)
    assert found.verdict == "refuted"
    story = found.story
    assert story is not None and len(story.path) <= 14
    for at in range(len(story.path)):
        without = story.path[:at] + story.path[at + 1 :]
        again = replay(found.world, found.beginning.state, without)
        assert again is None or len(again.path) >= len(story.path), "a step could be left out"


@pytest.mark.parametrize("mode", ["auto", "dfs", "bfs"])
def test_a_sound_protocol_survives_its_whole_small_world(mode: Any) -> None:
    found = explore(quorum("c1: put x=1 at node-1", bounds={"crashes": 1}), 60 * SECOND, mode)
    assert found.verdict == "not_refuted" and found.is_complete
    assert found.counts.schedules > 500


def test_by_faults_tells_up_to_how_many_everything_was_seen() -> None:
    found = explore(quorum("c1: put x=1 at node-1", bounds={"crashes": 1, "timers": 1}), 60 * SECOND, "bfs")
    assert found.complete_to_faults == 2


def test_one_seed_is_one_walk(tmp_path: Path) -> None:
    scenario = quorum(
        "c1: put x=1 at node-1", "c2: get x at node-2", "c2: get x at node-3", folder=tmp_path, bounds={"crashes": 2}
    )
    found = []
    for _ in range(2):
        world, watch = World(scenario, merge=False), Watch(scenario)
        Walks(world, watch, seed=3).run(begin(world).state, lambda: True)
        found.append(watch.finding)
    assert found[0] is not None and found[0] == found[1]


def test_what_never_happens_is_told_with_the_nearest_that_did() -> None:
    scenario = quorum("c1: put x=1 at node-1", sometimes=["answered", "raft.elected"], bounds={"crashes": 0})
    found = explore(scenario, 30 * SECOND)
    assert found.verdict == "unknown", "an empty world must not pass"
    answered, elected = found.goals
    assert answered.reached and not elected.reached
    assert elected.path


def test_time_that_is_up_is_told_as_a_share_of_the_whole() -> None:
    found = explore(
        quorum("c1: put x=1 at node-1", "c2: put y=1 at node-2", bounds={"crashes": 2}), SECOND // 10, "dfs"
    )
    assert found.verdict == "unknown" and not found.is_complete
    assert found.share is not None and 0 <= found.share < 1


def test_an_exception_in_a_node_is_the_finding(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Breaks."""\n'
        "from kvsim.strategies.replication.quorum import Quorum\n\n"
        "class Mine(Quorum):\n"
        '    """Breaks."""\n'
        "    async def write(self, op):\n"
        "        return {}['nothing']\n",
        encoding="utf-8",
    )
    table = {
        "design": {"topology": "peer_to_peer", "replication": {"strategy": "mine.py:Mine"}},
        "explore": {"operations": ["c1: put x=1 at node-1"]},
    }
    found = explore(read_scenario(table, "mine.toml", tmp_path), 10 * SECOND)
    assert found.story is not None
    assert "node-1 broke: KeyError: 'nothing' (mine.py, line 7, in write)" in found.story.sentence
    assert len(found.story.path) == 1


@pytest.mark.parametrize(
    ("explore_table", "said"),
    [
        ({"operations": ["c1: put x=1"]}, "expected"),
        ({"operations": ["c1: put x=1 at nowhere"]}, "nowhere takes no requests; there is node-1"),
        ({"operations": ["c1: pat x=1 at node-1"]}, "unknown operation 'pat'"),
        ({"operations": ["c1: put x at node-1"]}, "expected KEY=VALUE"),
        ({"operations": []}, "nothing is asked"),
        ({"bounds": {"crashs": 1}}, "did you mean 'crashes'?"),
        ({"bounds": {"crashes": -1}}, "crashes"),
        ({"begin": ["timer nobody"]}, "there is no node 'nobody'"),
        ({"begin": ["sync node-1"]}, "cannot happen at this moment"),
        ({"begin": ["jump"]}, "expected a command"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_its_place(explore_table: dict[str, Any], said: str) -> None:
    table = {"design": {"topology": "peer_to_peer", "replication": "quorum"}, "explore": explore_table}
    with pytest.raises(SettingsError) as refused:
        explore(read_scenario(table, "bad.toml"), SECOND)
    [problem] = refused.value.problems
    assert problem.startswith("bad") and said in problem


def mine(folder: Path, body: str, **explore_table: Any) -> Scenario:
    """A world of a student's nodes: quorum replication with these methods."""
    source = (
        '"""A student\'s."""\nimport random\nfrom kvsim.core.node import answers\n'
        "from kvsim.core.version import Version\n"
        "from kvsim.strategies.replication.quorum import Quorum, Store, Stored\n\n"
        'class Mine(Quorum):\n    """Mine."""\n' + body
    )
    (folder / "mine.py").write_text(source, encoding="utf-8")
    table = {
        "design": {"topology": "peer_to_peer", "replication": {"strategy": "mine.py:Mine"}},
        "explore": {"operations": ["c1: put x=1 at node-1"], **explore_table},
    }
    return read_scenario(table, "mine.toml", folder)


def test_code_that_draws_for_itself_is_named_with_node_input_and_what_it_sent(tmp_path: Path) -> None:
    draws = "    @answers(Store)\n    def store(self, sender, m):\n        drawn = random.getrandbits(60)\n"
    draws += "        return Stored(Version(drawn, 'a'))\n"
    with pytest.raises(SettingsError) as refused:
        explore(mine(tmp_path, draws), 20 * SECOND, "dfs")
    [problem] = refused.value.problems
    assert "does not do the same twice" in problem and "it first sent [['quorum.stored'" in problem
    assert "deliver quorum.store" in problem and "mine.py, line 9, in store" in problem


def test_code_that_never_comes_back_is_stopped_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvsim.explore.place.PATIENCE_S", 0.05)
    loops = "    @answers(Store)\n    def store(self, sender, m):\n        while True:\n            pass\n"
    world, watch = World(mine(tmp_path, loops)), Watch(mine(tmp_path, loops))
    Search(world, watch, begin(world).state).run(lambda: True)
    assert watch.finding is not None
    assert "it never comes back from this input: mine.py, line 1" in watch.finding.sentence
    assert "in store" in watch.finding.sentence


def test_a_node_that_breaks_as_it_starts_is_told_with_the_line(tmp_path: Path) -> None:
    breaks = "    def start(self, recovered):\n        super().start(recovered)\n        raise KeyError('nothing')\n"
    with pytest.raises(
        SettingsError, match=r"as it starts, node-1 broke: KeyError: 'nothing' \(mine.py, line 11, in st"
    ):
        explore(mine(tmp_path, breaks), SECOND)


def test_time_that_is_up_tells_how_long_all_would_take() -> None:
    found = explore(quorum("c1: put x=1 at node-1", bounds={"crashes": 1, "timers": 1}), SECOND, "dfs", clock=ticks())
    assert not found.is_complete and found.share is not None
    assert found.whole_s is None or found.whole_s > found.seconds


def ticks() -> Any:
    """A clock that goes on by a tenth of a second whenever it is looked at."""
    count = iter(range(1_000_000))
    return lambda: next(count) / 10
