"""Claims of the papers, each with the place where it stands, checked on stepped clusters.

Budhiraja, Marzullo, Schneider and Toueg, "The primary-backup approach", 1993 (Pb1 to Pb4 are its four properties);
Alsberg and Day, "A principle for resilient sharing of distributed resources", 1976; the notes of MIT's course 6.824.
"""

from __future__ import annotations

from kvsim.core.message import NodeId
from kvsim.testing.transcript import rerun
from tests.strategies.primary_backup.schedules import Schedule

START = "quietly cluster primary_backup ping_interval=1s dead_after=3s lease=2s {more}\nquietly settle\n"
PROMOTE = "quietly advance 2s\nquietly settle\nquietly advance 2s\nquietly settle\n"


def told(script: str, more: str = "nodes=a,b,c") -> list[str]:
    """What happens in a script, but for what happens quietly."""
    text = rerun(START.format(more=more) + script + "\n----\n", "paper")
    return text.rpartition("----\n")[2].splitlines()


def to_client(lines: list[str]) -> list[str]:
    return [line.split("->client ")[1] for line in lines if "->client " in line]


def test_pb1_at_no_moment_do_two_nodes_serve_as_primary_of_one_view() -> None:
    """Pb1: at any time at most one server considers itself primary.

    Kept view by view, as in 6.824: an old primary that is cut off does not know of the newer view yet, but nobody
    follows it, and it can answer nothing.
    """
    leaders: dict[int, tuple[NodeId, int]] = {}

    class Watched(Schedule):
        def check(self) -> None:
            super().check()
            for name in self.nodes:
                member = self.member(name)
                if member is not None and member.leads and member.state.view is not None:
                    life = (name, member.incarnation)
                    assert leaders.setdefault(member.state.view.number, life) == life

    for seed in range(5):
        leaders.clear()
        Watched(seed).run(800)
        assert len(leaders) > 1


def test_pb3_a_request_that_reaches_no_primary_is_not_queued_there() -> None:
    """Pb3: a server that is not the primary does not enqueue a client's request: it names the primary instead."""
    lines = told("put b x=1")
    assert lines == ["b->a client.perform (put c1/1 x=1) hops=1"]


def test_pb4_the_service_is_down_for_a_bounded_time_after_a_crash() -> None:
    """Pb4: failover time is bounded: here by dead_after, one look of the view service, and one ping of the backup."""
    four_seconds = 4 * "quietly advance 1s\nquietly settle\n"
    assert to_client(told("crash a\n" + four_seconds + "put b x=1\nsettle")) == ["ok c1/1 @1.v2 existed=no"]


def test_the_primary_answers_only_after_all_its_backups_have_the_update() -> None:
    """The paper's simple protocol: first the update to the backup, then the answer to the client.

    Its links lose nothing, so the order of sending is enough; these do, so the primary waits for the backups' word.
    """
    assert to_client(told("put a x=1\nsync a\ndeliver b\nsync b\ndeliver a")) == []
    assert to_client(told("put a x=1\nsync a\ndeliver b c\nsync b c\ndeliver a")) == ["ok c1/1 @1.v1 existed=no"]


def test_two_hosts_must_know_of_an_update_before_it_is_acknowledged() -> None:
    """Alsberg and Day, 2-host resiliency: the user is told only when one host beside the primary can carry on."""
    acknowledged = "put a x=1\nquietly settle\ncrash a\n" + PROMOTE
    assert to_client(told(acknowledged + "get b x\nsettle", "nodes=a,b"))[-1] == "ok c1/2 value=1 @1.v1"


def test_the_next_view_waits_for_the_acknowledgement_of_this_one() -> None:
    """6.824: the view service must not proceed from view i before its primary has acknowledged view i."""
    dead_before_acknowledging = (
        "crash a\nquietly advance 2s\nquietly settle\nquietly advance 1s\ndeliver view-1\nsync view-1\n"
    )
    lines = told(dead_before_acknowledging + "crash b\n" + 3 * PROMOTE + "state view-1")
    assert lines[-1].startswith("view-1 view=(number=2 primary=b incarnation=1 backups=c joining=-) acknowledged=no")


def test_only_a_backup_of_the_view_before_becomes_primary() -> None:
    """6.824: the primary in a view must have been the primary or a backup of the previous view, and not a newcomer."""
    script = "crash a\ncrash b\n" + 3 * PROMOTE + "state view-1"
    assert "primary=c" in told(script)[-1], "all three are members, so c has everything"
    assert "primary=a" in told(script, "copies=2 nodes=a,b,c")[-1], "c is a spare and has nothing"


def test_a_backup_rejects_what_an_old_primary_forwards() -> None:
    """6.824: a server that is no longer what the forwarding primary takes it for must refuse, so that it learns."""
    cut_from_the_service = "cut a view-1\n" + PROMOTE + "put a x=1\ndeliver b c\nquietly deliver a"
    answers = told(cut_from_the_service)
    assert "b->a primary_backup.fenced view=(number=2 primary=b incarnation=1 backups=c joining=-)" in answers
    assert to_client(told(cut_from_the_service.replace("quietly deliver a", "deliver a")))[0].startswith("info c1/1")


def test_whoever_pings_in_time_is_never_replaced() -> None:
    """6.824: the view service takes a server for dead only after several ping intervals of silence."""
    calm = 20 * "quietly advance 1s\nquietly settle\n"
    assert "number=1" in told(calm + "state view-1")[0]
