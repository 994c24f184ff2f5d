"""Forwarding finds who serves by hints, remembers it, goes in no circle, ends at its deadline, and sends no write
twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvsim.core.design import Cluster
from kvsim.core.message import MILLISECOND, Envelope, Failure, Message, NodeId
from kvsim.core.operation import Operation, Perform, Put, Read, RequestId, Written
from kvsim.explore.stepper import InFlight, Pending, Sent, Stepper
from kvsim.strategies.catalogue import assemble, read_design

HERE = Path(__file__).parent
NODES = ("a", "b", "c")


class Run:
    """A frontend `f` before nodes of which one may lead, or the nodes alone as peers."""

    def __init__(self, topology: str = "client_server") -> None:
        table: dict[str, Any] = {
            "topology": topology,
            "replication": "leaders.py:Leader",
            "partitioning": "modulo",
            "consistency": "linearizable",
            "timeout": "1s",
        }
        design = read_design(table, "test", len(NODES), HERE)
        self.leader: Any = design["replication"].strategy
        self.leader.believed = {}
        self.leader.done = []
        self.leader.slow_readers = ()
        frontends = ("f",) if topology == "client_server" else ()
        cluster = Cluster(NODES, frontends)
        self.world = Stepper(cluster.everyone(), lambda host, scope: assemble(design, cluster, host, scope))
        self.number = 0

    def believe(self, **leaders: NodeId) -> None:
        self.leader.believed = leaders

    def ask(self, kind: type[Operation] = Put, at: NodeId = "f") -> None:
        self.number += 1
        request = RequestId("c", self.number)
        operation: Any = Put(request, b"k", b"%d" % self.number) if kind is Put else Read(request, b"k")
        self.world.perform("client", at, Envelope(Perform(operation), self.number))

    def settle(self) -> None:
        while choices := [choice for choice in self.world.choices() if not isinstance(choice, Pending)]:
            self.world.run(choices[0])

    def answered(self) -> list[Message]:
        return [h.message for h in self.world.happened if isinstance(h, Sent) and h.to == "client"]

    def asked(self) -> list[NodeId]:
        """Whom the door asked, in order."""
        return [h.to for h in self.world.happened if isinstance(h, Sent) and isinstance(h.message, Perform)]


@pytest.fixture
def run() -> Iterator[Run]:
    return Run()


def first_of(run: Run) -> NodeId:
    """Whom the door asks when it knows nothing."""
    run.ask(Read)
    run.settle()
    return run.asked()[0]


def test_a_hint_is_followed_and_remembered() -> None:
    first = first_of(Run())
    leader = next(node for node in NODES if node != first)
    run = Run()
    run.believe(**dict.fromkeys(NODES, leader))
    run.ask()
    run.settle()
    assert run.asked() == [first, leader]
    assert run.leader.done == [f"{leader} 1"]
    run.ask()
    run.settle()
    assert run.asked() == [first, leader, leader], "the next operation goes there at once"
    assert all(isinstance(answer, Written) for answer in run.answered())


def test_a_leader_that_leads_no_longer_is_forgotten_and_the_new_one_learnt() -> None:
    run = Run()
    run.believe(a="a", b="a", c="a")
    run.ask()
    run.settle()
    run.believe(a="c", b="c", c="c")
    run.ask()
    run.settle()
    run.ask()
    run.settle()
    assert run.leader.done == ["a 1", "c 2", "c 3"]
    assert run.asked()[-1] == "c"


def test_two_that_name_each_other_are_no_endless_circle() -> None:
    run = Run()
    run.believe(a="b", b="a", c="a")
    run.ask()
    run.settle()
    assert sorted(run.asked()) == sorted(NODES), "each is asked once"
    assert run.answered() == []
    run.believe(a="b", b="b", c="b")
    run.world.advance(20 * MILLISECOND)
    run.settle()
    assert run.leader.done == ["b 1"], "after a pause it asks again, and finds who leads now"


def test_without_a_leader_the_wait_ends_at_the_deadline_with_a_certain_failure() -> None:
    run = Run()
    run.believe(a="b", b="a", c="a")
    run.ask()
    for _ in range(60):
        run.settle()
        run.world.advance(20 * MILLISECOND)
    [answer] = run.answered()
    assert isinstance(answer, Failure)
    assert answer.code == "unavailable"
    assert "names" in answer.detail
    assert len(run.asked()) <= 3 * 51, "a round every 20 ms, no more"


def test_a_write_that_was_sent_and_not_answered_is_not_sent_again() -> None:
    run = Run()
    run.believe(a="a", b="b", c="c")
    run.ask()
    [flight] = [choice for choice in run.world.choices() if isinstance(choice, InFlight)]
    run.world.drop(flight)
    run.world.advance(3_000 * MILLISECOND)
    run.settle()
    assert len(run.asked()) == 1
    [answer] = run.answered()
    assert isinstance(answer, Failure)
    assert answer.code == "outcome_unknown"


def test_a_read_goes_on_to_the_next_node_within_its_deadline() -> None:
    run = Run()
    run.believe(a="a", b="b", c="c")
    run.ask(Read)
    [flight] = [choice for choice in run.world.choices() if isinstance(choice, InFlight)]
    run.world.drop(flight)
    run.world.advance(334 * MILLISECOND)
    run.settle()
    assert len(set(run.asked())) == 2
    assert len(run.answered()) == 1


def test_a_remembered_leader_whose_connection_broke_is_not_asked_first() -> None:
    run = Run()
    run.believe(a="a", b="a", c="a")
    run.ask()
    run.settle()
    asked = len(run.asked())
    run.world.lose_peer("f", "a")
    run.ask(Read)
    assert run.asked()[asked] != "a"


def test_a_node_that_gives_its_word_is_not_avoided_for_what_others_did_not_do() -> None:
    """A coordinator that says «nobody knows» lives; so does one that is slow with one answer and not with others."""
    run = Run()
    run.believe(a="a", b="b", c="c")
    run.ask(Read)
    [first] = run.asked()
    run.settle()
    run.leader.outcome_unknown = True
    run.ask()
    run.settle()
    run.leader.outcome_unknown = False
    run.ask()
    assert run.asked() == [first, first, first]

    slow = next(choice for choice in run.world.choices() if isinstance(choice, InFlight))
    run.world.drop(slow)
    run.world.advance(100 * MILLISECOND)
    run.ask(Read)
    run.settle()
    run.world.advance(1_200 * MILLISECOND)
    run.ask()
    assert run.asked()[-1] == first, "it answered the read, so it is not silent"


def test_a_node_that_was_asked_and_never_heard_of_is_avoided() -> None:
    run = Run()
    run.believe(a="a", b="b", c="c")
    run.ask()
    [first] = run.asked()
    run.world.drop(next(choice for choice in run.world.choices() if isinstance(choice, InFlight)))
    run.world.advance(1_300 * MILLISECOND)
    run.ask()
    assert run.asked()[-1] != first


def test_a_peer_passes_on_at_most_once() -> None:
    run = Run("peer_to_peer")
    run.believe(a="b", b="c", c="c")
    run.ask(at="a")
    run.settle()
    passed = [h for h in run.world.happened if isinstance(h, Sent) and isinstance(h.message, Perform)]
    assert [(h.sender, h.to) for h in passed] == [("a", "b"), ("a", "c")], (
        "b names c, and a asks it: b passes nothing on"
    )
    assert run.leader.done == ["c 1"]


DOORS = [("client_server", "f"), ("peer_to_peer", "a")]
"""The door that a client asks in each topology: what it may expect of the two is the same."""


def settle_for(run: Run, milliseconds: int) -> None:
    """Let everything happen in steps of 20 ms, the pause between two rounds."""
    for _ in range(0, milliseconds, 20):
        run.settle()
        run.world.advance(20 * MILLISECOND)
    run.settle()


@pytest.mark.parametrize(("topology", "door"), DOORS)
def test_a_door_tries_on_while_all_refuse_and_has_success_when_one_can(topology: str, door: NodeId) -> None:
    run = Run(topology)
    run.ask(at=door)
    settle_for(run, 500)
    assert run.answered() == [], "an election is on: certainly nothing has happened, and there is time left"
    run.believe(a="c", b="c", c="c")
    settle_for(run, 40)
    assert run.leader.done == ["c 1"]
    assert isinstance(run.answered()[0], Written)


@pytest.mark.parametrize(("topology", "door"), DOORS)
def test_a_door_gives_up_at_the_timeout_in_the_words_of_who_refused(topology: str, door: NodeId) -> None:
    run = Run(topology)
    run.ask(at=door)
    settle_for(run, 980)
    assert run.answered() == []
    settle_for(run, 20)
    [answer] = run.answered()
    assert isinstance(answer, Failure)
    assert (answer.code, answer.detail) == ("unavailable", "an election is on")


@pytest.mark.parametrize(("topology", "door"), DOORS)
def test_a_read_leaves_a_node_without_an_answer_after_a_third_of_the_timeout(topology: str, door: NodeId) -> None:
    """The door itself gets no more patience than others."""
    run = Run(topology)
    run.believe(a="a", b="b", c="c")
    run.leader.slow_readers = ("a", "b", "c")
    run.ask(Read, at=door)
    run.settle()
    slow = run.asked() or [door]
    run.leader.slow_readers = tuple(slow)
    run.world.advance(333 * MILLISECOND)
    run.settle()
    assert run.answered() == []
    run.world.advance(1 * MILLISECOND)
    run.settle()
    assert len(run.answered()) == 1
    assert run.asked()[-1] not in slow


@pytest.mark.parametrize(("topology", "door"), DOORS)
def test_a_read_that_nobody_answers_ends_at_the_timeout(topology: str, door: NodeId) -> None:
    run = Run(topology)
    run.believe(a="a", b="b", c="c")
    run.leader.slow_readers = ("a", "b", "c")
    run.ask(Read, at=door)
    run.settle()
    for _ in range(3):
        assert run.answered() == []
        run.world.advance(334 * MILLISECOND)
        run.settle()
    [answer] = run.answered()
    assert isinstance(answer, Failure)
    assert answer.code == "unavailable"
