"""The stepper lets nothing happen by itself, and its disks and crashes keep the rules of every host."""

from __future__ import annotations

from kvsim.core.host import Host, Recovered
from kvsim.core.journal import Journal
from kvsim.core.message import MILLISECOND, Envelope, Message, NodeId
from kvsim.core.node import Component, Node, View, answers
from kvsim.core.trace import Event
from kvsim.core.waiting import Scope
from kvsim.explore.stepper import Failed, InFlight, Pending, Recorded, Sent, Stepper


class Keep(Message, tag="test.keep"):
    word: str


class Kept(Message, tag="test.kept"):
    words: tuple[str, ...]


class Ticked(Event, tag="test.ticked"):
    at_ns: int


class Keeper(Component):
    """Keeps words in a journal, and ticks every 10 ms."""

    def start(self, recovered: Recovered) -> None:
        self.journal = Journal(self.host.disk, "words", self.host.fail)
        self.words = [record.decode() for record in self.journal.recover(recovered.files.get("words", b""))]
        self.every(10 * MILLISECOND, lambda: self.host.record(Ticked(self.host.now())))

    @answers(Keep)
    async def keep(self, sender: NodeId, message: Keep) -> Kept:
        self.words.append(message.word)
        await self.journal.append(message.word.encode())
        return Kept(tuple(self.words))


def keepers(*names: NodeId) -> Stepper:
    def build(host: Host, scope: Scope) -> Node:
        return Node(host, scope, View(1, names), [Keeper()])

    return Stepper(names, build)


def keep(world: Stepper, word: str) -> None:
    world.perform("client", "a", Envelope(Keep(word), 1))


def kept(world: Stepper) -> list[tuple[str, ...]]:
    return [h.message.words for h in world.happened if isinstance(h, Sent) and isinstance(h.message, Kept)]


def test_an_answer_waits_until_the_sync_is_chosen() -> None:
    world = keepers("a")
    keep(world, "x")
    assert kept(world) == []
    world.run(next(iter(world.works.values())))
    assert kept(world) == [("x",)]


def test_a_crash_loses_what_no_sync_covered_and_keeps_the_rest() -> None:
    world = keepers("a")
    keep(world, "safe")
    keep(world, "lost")  # shares the sync after the one under way
    world.run(next(iter(world.works.values())))
    world.crash("a")
    assert world.choices() == []
    world.restart("a")
    keep(world, "new")
    world.run(next(iter(world.works.values())))
    assert kept(world)[-1] == ("safe", "new")


def test_a_disk_does_one_thing_after_the_other() -> None:
    world = keepers("a")
    keep(world, "one")
    disk = world.hosts["a"].disk
    disk.replace("words", b"new")
    disk.append("words", b"er")
    disk.sync("words")
    assert len(world.choices()) == 2, "a timer, and what the disk does next"
    for _ in range(3):
        world.run(next(choice for choice in world.choices() if not isinstance(choice, Pending)))
    assert world.hosts["a"].step_disk.durable == {"words": b"newer"}


def test_a_failed_disk_stops_the_node() -> None:
    world = keepers("a")
    keep(world, "x")
    world.break_disk(next(iter(world.works.values())))
    assert isinstance(world.happened[-1], Failed)
    assert world.hosts["a"].node is None
    assert kept(world) == []


def test_messages_wait_to_be_chosen_and_cut_links_lose_them() -> None:
    world = keepers("a", "b")
    world.hosts["a"].send("b", Envelope(Keep("one")))
    [flight] = world.flights.values()
    assert (flight.sender, flight.to) == ("a", "b")
    world.cut("a", "b")
    assert world.flights == {}
    world.hosts["a"].send("b", Envelope(Keep("two")))
    assert world.happened[-1] == Sent("a", "b", Keep("two"), lost=True)
    world.heal()
    world.hosts["a"].send("b", Envelope(Keep("three")))
    assert [choice.envelope.message for choice in world.choices() if isinstance(choice, InFlight)] == [Keep("three")]


def test_time_passes_timer_by_timer_on_the_clocks_that_are_named() -> None:
    world = keepers("a", "b")
    world.advance(25 * MILLISECOND)
    ticks = [(h.node, h.event) for h in world.happened if isinstance(h, Recorded)]
    at = [Ticked(10 * MILLISECOND), Ticked(20 * MILLISECOND)]
    assert ticks == [("a", at[0]), ("b", at[0]), ("a", at[1]), ("b", at[1])]
    world.advance(10 * MILLISECOND, ["b"])
    assert world.happened[-1] == Recorded("b", Ticked(30 * MILLISECOND))
    assert (world.hosts["a"].now(), world.hosts["b"].now()) == (25 * MILLISECOND, 35 * MILLISECOND)


def test_a_dead_node_leaves_no_timer_behind() -> None:
    world = keepers("a")
    assert any(isinstance(choice, Pending) for choice in world.choices())
    world.crash("a")
    world.advance(50 * MILLISECOND)
    assert world.happened == []
