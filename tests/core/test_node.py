"""A node gives each message to its handler and each answer to who waits for it, and nothing gets lost in between."""

from __future__ import annotations

import pytest

from kvsim.core import node as node_module
from kvsim.core.host import Host, Recovered
from kvsim.core.message import MILLISECOND, Envelope, Failure, Message, NodeId
from kvsim.core.node import Component, Node, View, answers, receives
from kvsim.core.operation import NotFound, OutcomeUnknown, Unavailable
from kvsim.core.waiting import Future, Scope
from kvsim.explore.stepper import Failed, InFlight, Sent, Stepper


class Ping(Message, tag="test.ping"):
    word: str = ""


class Slow(Message, tag="test.slow"):
    pass


class Note(Message, tag="test.note"):
    word: str


class Pong(Message, tag="test.pong"):
    word: str


class Stranger(Message, tag="test.stranger"):
    pass


class Server(Component):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.gate: Future[str] = Future()
        self.log: list[str] = []

    @answers(Ping)
    def ping(self, sender: NodeId, m: Ping) -> Pong:
        if m.word == "refuse":
            raise NotFound("no such thing", hint="b")
        if m.word == "break":
            raise ZeroDivisionError("a defect")
        return Pong(m.word)

    @answers(Slow)
    async def slow(self, sender: NodeId, m: Slow) -> Pong:
        word = await self.gate
        if word == "refuse":
            raise Unavailable("not now")
        if word == "break":
            raise ZeroDivisionError("a defect")
        return Pong(word)

    @receives(Note)
    async def note(self, sender: NodeId, m: Note) -> None:
        self.notes.append(m.word)

    def on_view(self, old: View, new: View) -> None:
        super().on_view(old, new)
        self.log.append(f"{old.epoch}->{new.epoch}")

    def on_peer_lost(self, peer: NodeId) -> None:
        self.log.append(f"lost {peer}")


class World:
    """Two nodes with a server each."""

    def __init__(self) -> None:
        self.stepper = Stepper(("a", "b"), self.build)

    def build(self, host: Host, scope: Scope) -> Node:
        return Node(host, scope, View(1, ("a", "b")), [Server()])

    def server(self, node: NodeId) -> Server:
        program = self.stepper.hosts[node].node
        assert program is not None
        [server] = program.components
        assert isinstance(server, Server)
        return server

    def ask(self, message: Message, number: int = 1) -> None:
        self.stepper.perform("client", "a", Envelope(message, number))

    def deliver_all(self) -> None:
        while flights := [choice for choice in self.stepper.choices() if isinstance(choice, InFlight)]:
            self.stepper.run(flights[0])

    def told(self) -> list[Message]:
        return [h.message for h in self.stepper.happened if isinstance(h, Sent) and h.to == "client"]

    def failures(self) -> list[Failed]:
        return [h for h in self.stepper.happened if isinstance(h, Failed)]


def test_a_handlers_result_is_the_answer() -> None:
    world = World()
    world.ask(Ping("hello"), number=7)
    assert world.stepper.happened == [Sent("a", "client", Pong("hello"), answers=7)]


def test_nobody_is_answered_who_did_not_ask() -> None:
    world = World()
    world.ask(Ping("hello"), number=0)
    world.ask(Note("x"))
    assert world.told() == []
    assert world.server("a").notes == ["x"]


def test_an_operations_error_goes_back_as_a_failure_with_its_hint() -> None:
    world = World()
    world.ask(Ping("refuse"))
    world.server("a").gate.complete("refuse")
    world.ask(Slow())
    assert world.told() == [Failure("not_found", "no such thing", "b"), Failure("unavailable", "not now")]
    assert world.failures() == []


@pytest.mark.parametrize("message", [Ping("break"), Slow()])
def test_a_defect_in_a_handler_stops_the_node_and_is_reported_with_its_place(message: Message) -> None:
    world = World()
    world.server("a").gate.complete("break")
    world.ask(message)
    [failed] = world.failures()
    assert (failed.node, type(failed.error)) == ("a", ZeroDivisionError)
    assert failed.error.__traceback__ is not None
    assert world.stepper.hosts["a"].node is None


def test_a_kind_that_nobody_handles_is_refused_and_the_node_goes_on() -> None:
    world = World()
    world.ask(Stranger())
    world.ask(Stranger(), number=0)
    world.ask(Ping("still here"))
    assert world.told() == [Failure("not_served", "a does not take Stranger"), Pong("still here")]


def test_a_subclass_may_replace_a_handler_without_marking_it_again() -> None:
    class Louder(Server):
        def ping(self, sender: NodeId, m: Ping) -> Pong:
            return Pong(m.word.upper())

    stepper = Stepper(("a",), lambda host, scope: Node(host, scope, View(1, ("a",)), [Louder()]))
    stepper.perform("client", "a", Envelope(Ping("hello"), 1))
    assert stepper.happened == [Sent("a", "client", Pong("HELLO"), answers=1)]


def test_two_components_may_not_handle_one_kind() -> None:
    with pytest.raises(AssertionError, match="two components of a handle Ping"):
        Stepper(("a",), lambda host, scope: Node(host, scope, View(1, ("a",)), [Server(), Server()]))


# Asking ----------------------------------------------------------------------------------------


def test_an_answer_finds_who_asked_and_a_second_one_nobody() -> None:
    world = World()
    heard: list[Message] = []
    world.server("a").ask("b", Ping("x"), lambda _, answer: heard.append(answer))
    world.deliver_all()
    [answer] = [h for h in world.stepper.happened if isinstance(h, Sent) and isinstance(h.message, Pong)]
    world.stepper.perform("b", "a", Envelope(answer.message, 0, answer.answers))
    assert heard == [Pong("x")]


def test_an_answer_to_what_was_asked_before_a_crash_is_nobodys() -> None:
    world = World()
    world.server("a").ask("b", Ping("old"), lambda _, answer: heard.append(answer))
    heard: list[Message] = []
    [flight] = world.stepper.choices()
    assert isinstance(flight, InFlight)
    world.stepper.crash("a")
    world.stepper.restart("a")
    world.server("a").ask("b", Ping("new"), lambda _, answer: heard.append(answer))
    world.stepper.perform("b", "a", Envelope(Pong("old"), 0, flight.envelope.request))
    assert heard == []
    world.deliver_all()
    assert heard == [Pong("new")]


def test_a_call_that_nobody_answers_ends_unknown_and_its_late_answer_is_ignored() -> None:
    world = World()
    server = world.server("a")
    outcomes: list[str] = []

    async def call() -> None:
        try:
            await server.call("b", Ping("x"), 50 * MILLISECOND)
        except OutcomeUnknown as error:
            outcomes.append(error.detail)

    server.host.spawn(call())
    world.stepper.advance(50 * MILLISECOND)
    assert outcomes == ["no answer from b within 0.05 s"]
    world.deliver_all()
    assert len(outcomes) == 1
    assert server.node._asked == {}


def test_a_call_raises_what_the_answerer_raised() -> None:
    world = World()
    server = world.server("a")
    raised: list[NotFound] = []

    async def call() -> None:
        try:
            await server.call("b", Ping("refuse"), 50 * MILLISECOND)
        except NotFound as error:
            raised.append(error)

    server.host.spawn(call())
    world.deliver_all()
    assert [(error.detail, error.hint) for error in raised] == [("no such thing", "b")]
    assert world.stepper.timers == {}, "its deadline is gone"


def test_a_lost_peer_fails_the_questions_to_it_and_no_others() -> None:
    world = World()
    heard: list[tuple[NodeId, Message]] = []
    server = world.server("a")
    server.ask("b", Ping("x"), lambda sender, answer: heard.append((sender, answer)))
    server.ask("a", Ping("self"), lambda sender, answer: heard.append((sender, answer)))
    world.stepper.lose_peer("a", "b")
    assert heard == [("b", Failure("outcome_unknown", "the connection to b broke"))]
    assert server.log == ["lost b"]
    world.deliver_all()
    assert heard[1:] == [("a", Pong("self"))], "and the answer of the lost one comes too late"


def test_the_oldest_question_is_given_up_when_too_many_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "ASKS_KEPT", 2)
    world = World()
    heard: list[Message] = []
    for word in ("one", "two", "three"):
        world.server("a").ask("b", Ping(word), lambda _, answer: heard.append(answer))
    world.deliver_all()
    assert heard == [Pong("two"), Pong("three")]


def test_numbers_of_questions_never_repeat_over_the_lives_of_a_node() -> None:
    world = World()
    first = world.server("a").ask("b", Ping(), lambda *_: None)
    world.stepper.crash("a")
    world.stepper.restart("a")
    assert world.server("a").ask("b", Ping(), lambda *_: None) > first + 1_000_000_000


# Views, timers ---------------------------------------------------------------------------------


def test_components_hear_of_a_new_view_in_their_order() -> None:
    log: list[str] = []

    class Listener(Component):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_view(self, old: View, new: View) -> None:
            super().on_view(old, new)
            log.append(f"{self.name} {old.epoch}->{self.view.epoch}")

    parts = [Listener("one"), Listener("two")]
    stepper = Stepper(("a",), lambda host, scope: Node(host, scope, View(1, ("a",)), parts))
    node = stepper.hosts["a"].node
    assert node is not None
    node.change_view(View(2, ("a",), down=("b",)))
    assert log == ["one 1->2", "two 1->2"]
    assert not node.view.is_alive("b")


def test_a_view_that_leads_to_another_is_told_to_all_before_it() -> None:
    """A component that answers a view with a view must not leave the later components with the older one."""
    log: list[str] = []

    class Hasty(Component):
        def on_view(self, old: View, new: View) -> None:
            super().on_view(old, new)
            if new.epoch == 2:
                self.node.change_view(View(3, new.members))

    class Listener(Component):
        def on_view(self, old: View, new: View) -> None:
            super().on_view(old, new)
            log.append(f"{old.epoch}->{new.epoch}")

    listener = Listener()
    stepper = Stepper(("a",), lambda host, scope: Node(host, scope, View(1, ("a",)), [Hasty(), listener]))
    node = stepper.hosts["a"].node
    assert node is not None
    node.change_view(View(2, ("a",)))
    assert log == ["1->2", "2->3"]
    assert listener.view.epoch == 3


def test_a_repetition_goes_on_until_its_timer_is_cancelled() -> None:
    world = World()
    ticks: list[int] = []
    server = world.server("a")

    def tick() -> None:
        ticks.append(server.host.now() // MILLISECOND)
        if len(ticks) == 3:
            server.timers[tick].cancel()

    server.every(10 * MILLISECOND, tick)
    world.stepper.advance(100 * MILLISECOND)
    assert ticks == [10, 20, 30]


def test_a_pause_is_over_after_its_time() -> None:
    world = World()
    server = world.server("a")
    over = server.pause(10 * MILLISECOND)
    world.stepper.advance(9 * MILLISECOND)
    assert not over.done
    world.stepper.advance(1 * MILLISECOND)
    assert over.done


def test_a_start_without_a_disk_is_the_first() -> None:
    assert Recovered() == Recovered({}, 1)
