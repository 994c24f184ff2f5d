"""Transcripts: what is run, what is shown, and what is refused with its line."""

from __future__ import annotations

import pytest

from kvsim.core.message import Failure, Message
from kvsim.core.operation import Absent, Found, Put, RequestId, Written
from kvsim.core.version import Version
from kvsim.explore import shown
from kvsim.testing.transcript import TranscriptError, rerun

CLUSTER = "cluster quorum nodes=a,b,c\n"
REQUEST = RequestId("c1", 1)


def test_what_stands_below_the_rule_is_written_anew_and_all_else_is_kept() -> None:
    text = "# One.\n" + CLUSTER + "put a x=1\n----\nnonsense\n\n# Two.\ncrash a\n----\n"
    now = rerun(text, "t")
    assert now.startswith("# One.\n" + CLUSTER + "put a x=1\n----\na->")
    assert "nonsense" not in now
    assert now.endswith("\n\n# Two.\ncrash a\n----\n")
    assert rerun(now, "t") == now


def test_a_delivery_takes_what_is_on_its_way_now_and_not_what_that_leads_to() -> None:
    text = CLUSTER.replace("nodes", "durability=memory nodes") + "put a x=1\ndeliver a b\n----\n"
    assert [line.split()[1] for line in rerun(text, "t").splitlines()[4:]] == ["quorum.store"] * 3 + [
        "quorum.stored"
    ] * 2


def test_quietly_hides_what_a_command_leads_to_and_nothing_else() -> None:
    output = rerun(CLUSTER + "put a x=1\nquietly settle\ncrash b\nget a x\n----\n", "t")
    assert "quorum.store " in output
    assert "quorum.stored" not in output
    assert "quorum.fetch" in output


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ("deliver a\n", "t:1: deliver a: a transcript begins with the command cluster"),
        (CLUSTER + "shake a\n", "t:2: shake a: unknown command shake"),
        (CLUSTER + "deliver d\n", "t:2: deliver d: there is no node d"),
        (CLUSTER + "deliver a\n", "t:2: deliver a: nothing is on its way to a"),
        (CLUSTER + "sync a\n", "t:2: sync a: the disk of a has nothing to do"),
        (CLUSTER + "put a x\n", "t:2: put a x: expected KEY=VALUE, got 'x'"),
        (CLUSTER + "crash a\nget a x\n", "t:3: get a x: a is down"),
        (CLUSTER + "put a x=1\n\n", "t:3: commands without a rule below them, which led to: a->. quorum.store"),
        ("cluster quorum n=5 nodes=a,b,c\n", "t:1: cluster quorum n=5 nodes=a,b,c: .*add nodes or lower n"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_with_its_line(commands: str, message: str) -> None:
    with pytest.raises(TranscriptError, match=message):
        rerun(commands, "t")


class Everything(Message, tag="test.everything"):
    request: RequestId
    key: bytes
    value: bytes | None
    version: Version
    before: Version
    wait_ns: int
    members: tuple[str, ...]
    done: bool
    inner: Put | None = None


def test_every_field_is_shown_the_well_known_ones_in_short() -> None:
    message = Everything(REQUEST, b"x", None, Version(3, "a"), Version(2), 1_500_000, ("a", "b"), False)
    assert shown.line(message) == "test.everything c1/1 x=- @3.a before=@2 wait=1.5ms members=a,b done=no inner=-"


def test_a_struct_in_a_message_is_shown_in_brackets() -> None:
    message = Everything(REQUEST, b"x", b"\xff", Version(1), Version(0), 0, (), True, Put(REQUEST, b"two words", b""))
    assert shown.line(message).endswith(
        'x="b64:/w==" @1 before=@0 wait=0ns members=- done=yes (put c1/1 "two words"="")'
    )


def test_a_client_is_told_ok_fail_or_info() -> None:
    assert shown.answer(Written(Version(1), existed=None), REQUEST) == "ok c1/1 @1 existed=-"
    assert shown.answer(Found(b"v", Version(1)), REQUEST) == "ok c1/1 value=v @1"
    assert shown.answer(Absent(), REQUEST) == "ok c1/1 absent"
    assert shown.answer(Failure("not_found", "x is absent"), REQUEST) == "fail c1/1 not_found: x is absent"
    assert shown.answer(Failure("outcome_unknown", "late"), REQUEST) == "info c1/1 outcome_unknown: late"
    assert shown.answer(Failure("elsewhere", "not here", "b"), REQUEST) == "fail c1/1 elsewhere: not here hint=b"
