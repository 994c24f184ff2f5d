"""The conformance suite of hosts: what every world promises to its nodes, as checks that any world can be put through.

`check_host(make_harness)` runs them all; a test may run one after the other from `HOST_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kvsim.core.host import Host, Recovered
from kvsim.core.journal import Journal
from kvsim.core.message import DATAGRAM_LIMIT_BYTES, MILLISECOND, Channel, Envelope, Message, NodeId
from kvsim.core.waiting import Future, Scope
from kvsim.testing.harness import Harness, MakeHarness, Options

A_WHILE_NS = 300 * MILLISECOND
"""How long the suite looks on when something must not happen."""


class Note(Message, tag="suite.note"):
    """A numbered message."""

    number: int
    padding: bytes = b""


class Probe:
    """A program that writes down what it is given."""

    def __init__(self, host: Host, scope: Scope) -> None:
        self.host, self.scope = host, scope
        self.got: list[tuple[NodeId, int]] = []
        self.lost: list[NodeId] = []
        self.on_note: Callable[[NodeId, int], None] = lambda sender, number: None

    def start(self, recovered: Recovered) -> None:
        """Keep what the disk kept."""
        self.recovered = recovered

    def deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """Write down."""
        self.got.append((sender, envelope.message.number))
        self.on_note(sender, envelope.message.number)

    def peer_lost(self, peer: NodeId) -> None:
        """Write down."""
        self.lost.append(peer)

    def stop(self) -> None:
        """Nothing to do."""

    def say(self, to: NodeId, number: int, channel: Channel = Channel.STREAM, padding: bytes = b"") -> None:
        """Send a note."""
        self.host.send(to, Envelope(Note(number, padding)), channel)

    def count(self, to: NodeId, notes: int, first: int = 0, channel: Channel = Channel.STREAM) -> None:
        """Send so many notes, one after the other."""
        for number in range(first, first + notes):
            self.say(to, number, channel)

    def replace(self, file: str, data: bytes) -> None:
        """Replace a file, and do not wait for it."""
        _ = self.host.disk.replace(file, data)

    def numbers(self, sender: NodeId) -> list[int]:
        """The numbers that came from this node, in the order of arrival."""
        return [number for other, number in self.got if other == sender]


class Cluster:
    """Some probes in a harness; `cluster["a"]` is the present life of node a."""

    def __init__(self, make_harness: MakeHarness, *nodes: NodeId, inbox: int = 10_000, outbox: int = 10_000) -> None:
        self.harness: Harness = make_harness(Options((Note,), inbox, outbox, torn=True))
        self.lives: dict[NodeId, list[Probe]] = {node: [] for node in nodes}
        self.harness.start(dict.fromkeys(nodes, self._build))
        self.until(lambda: all(self.lives.values()), "the nodes did not start")

    def _build(self, host: Host, scope: Scope) -> Probe:
        probe = Probe(host, scope)
        self.lives[host.id].append(probe)
        return probe

    def __getitem__(self, node: NodeId) -> Probe:
        return self.lives[node][-1]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.harness.close()

    def act(self, node: NodeId, call: Callable[[], None]) -> None:
        """Do this inside the node, and wait until it is done."""
        done: list[None] = []

        def once() -> None:
            call()
            done.append(None)

        self.harness.act(node, once)
        self.until(lambda: bool(done), f"{node} did not act")

    def until(self, predicate: Callable[[], bool], otherwise: str) -> None:
        """Wait for the predicate. Raises AssertionError when it does not come true."""
        assert self.harness.run_until(predicate), otherwise

    def never(self, predicate: Callable[[], bool], otherwise: str) -> None:
        """Look on for a while. Raises AssertionError if the predicate comes true."""
        assert not self.harness.run_until(predicate, A_WHILE_NS), otherwise

    def restart(self, node: NodeId) -> Probe:
        """Begin a new life and wait for it."""
        lives = len(self.lives[node])
        self.harness.restart(node)
        self.until(lambda: len(self.lives[node]) > lives, f"{node} did not restart")
        return self[node]


def streams_keep_order(make: MakeHarness) -> None:
    """Every message of a stream arrives, once, in the order of sending, whatever the sizes."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]

        def talk() -> None:
            for number in range(300):
                a.say("b", number, padding=bytes(10_000 if number % 7 == 0 else number))

        cluster.act("a", talk)
        cluster.until(lambda: len(b.got) >= 300, f"only {len(b.got)} of 300 messages arrived")
        assert b.numbers("a") == list(range(300)), "the messages of a stream arrived out of order"


def streams_go_both_ways(make: MakeHarness) -> None:
    """Two nodes that send at once both get everything."""
    with Cluster(make, "a", "b") as cluster:
        for one, other in (("a", "b"), ("b", "a")):
            cluster.act(one, partial(cluster[one].count, other, 50))
        cluster.until(lambda: len(cluster["a"].got) == len(cluster["b"].got) == 50, "messages are missing")
        assert cluster["a"].numbers("b") == cluster["b"].numbers("a") == list(range(50))


def self_sends_are_queued(make: MakeHarness) -> None:
    """A message to oneself is handled after what is going on, never inside it, and in order."""
    with Cluster(make, "a") as cluster:
        a, log = cluster["a"], []

        def note(sender: NodeId, number: int) -> None:
            log.append(f"begin {number}")
            if number < 3:
                a.say("a", number + 1)
            log.append(f"end {number}")

        a.on_note = note
        cluster.act("a", lambda: a.say("a", 0))
        cluster.until(lambda: "end 3" in log, "messages to oneself are missing")
        assert log == [f"{word} {number}" for number in range(4) for word in ("begin", "end")], log


def timers_tie_in_order_of_issue(make: MakeHarness) -> None:
    """Timers that are due at once fire in the order in which they were set; none fires early."""
    with Cluster(make, "a") as cluster:
        host, fired, early = cluster["a"].host, [], []

        def set_timers() -> None:
            # In a world where time passes between two calls, an earlier one is due earlier: same order.
            begun = host.now()
            for number in range(20):
                host.after(20 * MILLISECOND, lambda number=number: fire(number, begun + 20 * MILLISECOND))  # type: ignore[misc]

        def fire(number: int, due_ns: int) -> None:
            fired.append(number)
            if host.now() < due_ns:
                early.append(number)

        cluster.act("a", set_timers)
        cluster.until(lambda: len(fired) >= 20, "timers are missing")
        assert fired == list(range(20)), f"timers fired in the order {fired}"
        assert not early, f"timers {early} fired early"


def cancelling_is_harmless(make: MakeHarness) -> None:
    """A cancelled timer does not fire; cancelling again, or after it fired, does nothing."""
    with Cluster(make, "a") as cluster:
        host, fired = cluster["a"].host, []

        def set_timers() -> None:
            cancelled = host.after(5 * MILLISECOND, lambda: fired.append("cancelled"))
            early = host.after(1 * MILLISECOND, lambda: fired.append("early"))

            def late() -> None:
                fired.append("late")
                early.cancel()
                early.cancel()

            host.after(10 * MILLISECOND, late)
            cancelled.cancel()
            cancelled.cancel()

        cluster.act("a", set_timers)
        cluster.until(lambda: "late" in fired, "a timer is missing")
        assert fired == ["early", "late"], fired


def datagrams_have_a_limit(make: MakeHarness) -> None:
    """A datagram of the largest size may arrive, a larger one never does, and its sender lives on."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]

        def talk() -> None:
            a.say("b", 1, Channel.DATAGRAM, padding=bytes(DATAGRAM_LIMIT_BYTES))
            for _ in range(20):
                a.say("b", 2, Channel.DATAGRAM, padding=bytes(DATAGRAM_LIMIT_BYTES - 100))

        cluster.act("a", talk)
        cluster.until(lambda: ("a", 2) in b.got, "no datagram arrived")
        cluster.never(lambda: ("a", 1) in b.got, "a datagram beyond the limit arrived")
        assert not cluster.harness.failures()


def cuts_lose_nothing_in_silence(make: MakeHarness) -> None:
    """What is sent on a stream during a cut arrives in order after it, or the stream breaks and both ends learn it."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]
        cluster.act("a", lambda: a.say("b", 0))
        cluster.until(lambda: bool(b.got), "the stream did not open")
        cluster.harness.cut("a", "b")
        cluster.act("a", lambda: a.count("b", 5, first=1))
        cluster.never(lambda: len(b.got) > 1, "a message crossed a cut")
        cluster.harness.heal()

        def settled() -> bool:
            return b.numbers("a")[-1] == 5 or bool(a.lost and b.lost)

        cluster.until(settled, "messages were lost, and nobody was told")
        got = b.numbers("a")
        assert got == sorted(set(got)), f"after a cut came {got}"


def long_cuts_break_streams(make: MakeHarness) -> None:
    """A stream that is cut for long breaks: both ends learn of it, and what they send after it arrives."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]
        cluster.act("a", lambda: a.say("b", 0))
        cluster.until(lambda: bool(b.got), "the stream did not open")
        cluster.harness.cut("a", "b")
        cluster.act("a", lambda: a.say("b", 1))
        cluster.until(lambda: "b" in a.lost, "the sender never learned that its stream broke")
        cluster.until(lambda: "a" in b.lost, "the receiver never learned that its stream broke")
        cluster.harness.heal()
        cluster.act("a", lambda: a.say("b", 2))
        cluster.until(lambda: b.numbers("a")[-1] == 2, "nothing arrives after a broken stream")


def crashes_reach_the_peers(make: MakeHarness) -> None:
    """Who has a stream with a node that crashes learns of it."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]
        b.on_note = b.say
        cluster.act("a", lambda: a.say("b", 0))
        cluster.until(lambda: bool(a.got), "no answer")
        cluster.harness.crash("b")
        cluster.until(lambda: "b" in a.lost, "the peer of a crashed node was not told")


def full_queues_break_streams(make: MakeHarness) -> None:
    """Queues are bounded: a stream that is given too much breaks and says so; the node lives on."""
    with Cluster(make, "a", "b", inbox=20, outbox=20) as cluster:
        a, b = cluster["a"], cluster["b"]
        cluster.act("a", lambda: a.count("b", 2_000))
        cluster.until(lambda: "b" in a.lost, "2,000 messages fitted into a queue of 20")
        assert cluster.harness.overflows() > 0, "the full queue was not counted"
        cluster.act("a", lambda: a.say("b", -1))
        cluster.until(lambda: ("a", -1) in b.got, "nothing arrives after a full queue")
        got = [number for number in b.numbers("a") if number >= 0]
        assert got == sorted(set(got)), "a full queue upset the order"


def full_queues_drop_datagrams(make: MakeHarness) -> None:
    """A flood of datagrams harms nobody: some are dropped."""
    with Cluster(make, "a", "b", inbox=20, outbox=20) as cluster:
        a, b = cluster["a"], cluster["b"]
        cluster.act("a", lambda: a.count("b", 2_000, channel=Channel.DATAGRAM))
        cluster.act("a", lambda: a.say("b", -1))
        cluster.until(lambda: ("a", -1) in b.got, "nothing arrives after a flood of datagrams")
        assert len(b.got) <= 2_001
        assert not cluster.harness.failures()


def crashed_nodes_are_inert(make: MakeHarness) -> None:
    """Nothing that a coroutine does while it is closed by a crash is seen outside; no timer of the old life fires."""
    with Cluster(make, "a", "b") as cluster:
        a, b, fired = cluster["a"], cluster["b"], list[str]()
        never: Future[None] = Future()

        async def haunt() -> None:
            try:
                await never
            finally:
                a.say("b", 666)
                a.say("b", 667, Channel.DATAGRAM)
                _ = a.host.disk.append("file", b"ghost")
                a.host.after(0, lambda: fired.append("ghost"))

        def heard() -> bool:
            return bool(fired) or any(number >= 666 for number in b.numbers("a"))

        def begin() -> None:
            a.say("b", 1)
            _ = a.host.spawn(haunt())
            a.host.after(50 * MILLISECOND, lambda: fired.append("old"))

        cluster.act("a", begin)
        cluster.until(lambda: ("a", 1) in b.got, "the stream did not open")
        cluster.harness.crash("a")
        cluster.never(heard, "a crashed node was heard")
        again = cluster.restart("a")
        assert not again.recovered.files.get("file"), "a crashed node wrote to its disk"
        cluster.never(heard, "an earlier life of a node was heard")


def restarts_count_lives(make: MakeHarness) -> None:
    """Each life has a greater incarnation and another stream of chance; the peers can talk with it."""
    with Cluster(make, "a", "b") as cluster:
        seen = [cluster["a"].recovered.incarnation]
        draws = [cluster["a"].host.chance.uniform01()]
        for number in range(3):
            cluster.harness.crash("a")
            a = cluster.restart("a")
            seen.append(a.recovered.incarnation)
            draws.append(a.host.chance.uniform01())
            cluster.act("a", lambda a=a, number=number: a.say("b", number))  # type: ignore[misc]
            cluster.until(lambda number=number: ("a", number) in cluster["b"].got, "a restarted node is not heard")  # type: ignore[misc]
        assert seen == sorted(set(seen)), f"incarnations were {seen}"
        assert len(set(draws)) == len(draws), "two lives of a node drew the same numbers"


def disks_keep_what_was_synced(make: MakeHarness) -> None:
    """After a crash a file holds all that was synced, and after it at most a part of what was appended, in order."""
    with Cluster(make, "a") as cluster:
        for life in range(5):
            disk, done = cluster["a"].host.disk, list[str]()
            before = cluster["a"].recovered.files.get("log", b"")

            def write(disk: Any = disk, done: list[str] = done, life: int = life) -> None:
                _ = disk.append("log", b"synced %d;" % life)
                disk.sync("log").when_done(lambda _: done.append("sync"))
                _ = disk.append("log", b"appended after the sync was asked for")

            cluster.act("a", write)
            cluster.until(lambda done=done: bool(done), "the sync never completed")  # type: ignore[misc]
            cluster.harness.crash("a")
            kept = cluster.restart("a").recovered.files["log"]
            sound = before + b"synced %d;" % life
            whole = sound + b"appended after the sync was asked for"
            assert kept.startswith(sound), f"what was synced is gone: {kept!r}"
            assert whole.startswith(kept), f"the disk holds what was never written: {kept!r}"


def replacing_is_atomic(make: MakeHarness) -> None:
    """After a crash a replaced file holds the old content or the new one; the new one if the replace had completed."""
    with Cluster(make, "a") as cluster:
        done: list[None] = []

        def write() -> None:
            disk = cluster["a"].host.disk
            _ = disk.append("file", b"old"), disk.sync("file")
            disk.replace("file", b"new").when_done(lambda _: done.append(None))

        cluster.act("a", write)
        cluster.until(lambda: bool(done), "the replace never completed")
        cluster.act("a", partial(cluster["a"].replace, "file", b"newest"))
        cluster.harness.crash("a")
        assert cluster.restart("a").recovered.files["file"] in (b"new", b"newest")


def torn_journals_recover(make: MakeHarness) -> None:
    """A journal that a crash tore keeps every record that it vouched for, and no half one."""
    with Cluster(make, "a") as cluster:
        vouched: list[int] = []

        def write() -> None:
            journal = Journal(cluster["a"].host.disk, "journal", cluster["a"].host.fail)

            def one(number: int) -> None:
                journal.append(b"%d" % number).when_done(lambda _: vouched.append(number))
                if number < 1_000:
                    cluster["a"].host.after(MILLISECOND // 10, lambda: one(number + 1))

            one(0)

        cluster.act("a", write)
        cluster.until(lambda: len(vouched) >= 20, "the journal vouched for nothing")
        cluster.harness.crash("a")
        promised = list(vouched)
        a = cluster.restart("a")
        records = Journal(a.host.disk, "journal", a.host.fail).recover(a.recovered.files["journal"])
        numbers = [int(record) for record in records]
        assert numbers == list(range(len(numbers))), f"the journal holds {numbers}"
        assert len(numbers) >= len(promised), f"{len(promised)} records were vouched for, {len(numbers)} are left"


def defects_stop_one_node(make: MakeHarness) -> None:
    """A node whose code raises stops and is named; the others go on, and it can be restarted."""
    with Cluster(make, "a", "b") as cluster:
        a, b = cluster["a"], cluster["b"]

        def defect(sender: NodeId, number: int) -> None:
            raise ZeroDivisionError("a defect")

        a.on_note = defect
        cluster.act("b", lambda: b.say("a", 1))
        cluster.until(lambda: bool(cluster.harness.failures()), "a defect was not reported")
        [(node, error)] = cluster.harness.failures()
        assert node == "a"
        assert isinstance(error, ZeroDivisionError)
        again = cluster.restart("a")
        cluster.act("b", lambda: b.say("b", 2))
        cluster.until(lambda: ("b", 2) in b.got, "another node stopped too")
        cluster.act("a", lambda: again.say("b", 3))
        cluster.until(lambda: ("a", 3) in b.got, "a node did not come back from its defect")


HOST_CHECKS: tuple[Callable[[MakeHarness], None], ...] = (
    streams_keep_order,
    streams_go_both_ways,
    self_sends_are_queued,
    timers_tie_in_order_of_issue,
    cancelling_is_harmless,
    datagrams_have_a_limit,
    cuts_lose_nothing_in_silence,
    long_cuts_break_streams,
    crashes_reach_the_peers,
    full_queues_break_streams,
    full_queues_drop_datagrams,
    crashed_nodes_are_inert,
    restarts_count_lives,
    disks_keep_what_was_synced,
    replacing_is_atomic,
    torn_journals_recover,
    defects_stop_one_node,
)
"""Each raises AssertionError, with a sentence, if the world breaks the promise in its docstring."""


def check_host(make_harness: MakeHarness) -> None:
    """Put a world through all checks. Raises AssertionError with the broken promise."""
    for check in HOST_CHECKS:
        check(make_harness)
