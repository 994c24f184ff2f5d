"""What a replication strategy does for its clients, step by step: operations and refusals, retries, scans, crashes."""

from __future__ import annotations

from typing import Any

from kvsim.core.design import Design
from kvsim.core.message import Failure, Message, NodeId, tag_of
from kvsim.core.operation import (
    CONDITIONAL,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Operation,
    Page,
    Put,
    Read,
    Remove,
    Scan,
    Update,
    Written,
)
from kvsim.testing.by_hand import ByHand, shown
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

KEYS = tuple(b"key-%d" % number for number in range(6))
STEPS_LIMIT = 5_000
"""A write that takes more messages and syncs than this on a few nodes is answered by nobody."""


def operations_do_what_they_say(subject: Subject) -> None:
    """In a quiet cluster each operation does what its name says, or is not served at all."""
    world = _world(subject)
    story: list[tuple[tuple[Any, ...], str, bytes | None]] = [
        ((Read, b"k"), "absent", None),
        ((Create, b"k", b"one"), "written", b"one"),
        ((Create, b"k", b"two"), "already_exists", b"one"),
        ((Update, b"k", b"three"), "written", b"three"),
        ((Put, b"k", b"four"), "written", b"four"),
        ((CompareAndSet, b"k", b"five", b"four"), "written", b"five"),
        ((CompareAndSet, b"k", b"six", b"four"), "mismatch", b"five"),
        ((Delete, b"k"), "written", None),
        ((Delete, b"k"), "not_found", None),
        ((Update, b"k", b"seven"), "not_found", None),
        ((Put, b"k", b""), "written", b""),
        ((Remove, b"k"), "written", None),
        ((Remove, b"k"), "written", None),
        ((Put, b"\x00\xff other", b"\x00\xff"), "written", None),
    ]
    holds: bytes | None = None
    for (kind, *fields), expected, after in story:
        _settled_on(world, b"k", holds)
        got = world.insist(kind, *fields)
        if isinstance(got, Failure) and got.code == "not_served" and kind in CONDITIONAL:
            if after != holds:  # what the story needs, by other means
                world.insist(Put if after is not None else Remove, b"k", *([after] if after is not None else []))
        elif _outcome(got) != expected:
            said = f"{_words(kind, fields)} ends with {_told(got)}; it should end with {expected}"
            refuse(f"while the key holds {holds!r}, {said}", _remedy(kind, got))
        holds = after
    _settled_on(world, b"k", holds)
    _settled_on(world, b"\x00\xff other", b"\x00\xff")


def _world(subject: Subject, frontends: int = 1, **others: Any) -> ByHand:
    return ByHand(subject.design(**others), subject.nodes, frontends)


def _settled_on(world: ByHand, key: bytes, wanted: bytes | None, after: str = "") -> None:
    got = world.value_of(key, wanted, in_a_row=3)
    if got != wanted:
        found = _told(got) if isinstance(got, Failure) else repr(got)
        refuse(
            f"{after}the key {key.decode(errors='replace')!r} reads {found}, and {wanted!r} was written",
            "apply a write on its replicas before you answer Written, and read from one that has it",
        )


def _outcome(answer: Message) -> str:
    return answer.code if isinstance(answer, Failure) else str(tag_of(answer)).removeprefix("result.")


def _told(answer: Message) -> str:
    return f"{answer.code} ({answer.detail})" if isinstance(answer, Failure) else _outcome(answer)


def _words(kind: type[Operation], fields: list[Any]) -> str:
    return f"{kind.__name__.lower()} " + "=".join(field.decode(errors="replace") for field in fields[:2])


def _remedy(kind: type[Operation], got: Message) -> str:
    if isinstance(got, Failure) and got.code in ("outcome_unknown", "unavailable"):
        return "nothing was lost and nobody was down, so see what its coordinator waits for or refuses"
    if kind in CONDITIONAL:
        return "existed = self.replica.judge(op) before you apply, or raise NotServed"
    return "answer Written, Found or Absent, or raise an OperationError"


def every_key_is_served_at_every_door(subject: Subject) -> None:
    """A write through any door is read through every other, wherever its key lies."""
    world = _world(subject, frontends=2)
    doors = world.cluster.doors()
    for number, key in enumerate(KEYS):
        door = doors[number % len(doors)]
        got = world.insist(Put, key, b"v%d" % number, door=door)
        if not isinstance(got, Written):
            refuse(f"a put at {door} ends with {_told(got)}", "raise Elsewhere with a hint where another node serves")
        for other in doors:
            found = world.value_of(key, b"v%d" % number, other, in_a_row=3)
            if found != b"v%d" % number:
                refuse(f"what was put at {door} reads {found!r} at {other}", "bring each write to all its replicas")


def scans_give_every_key_once(subject: Subject) -> None:
    """A scan gives each key of its range once, in order, page by page; or is not served."""
    world = _world(subject)
    for number, key in enumerate(KEYS):
        world.insist(Put, key, b"v%d" % number)
        world.value_of(key, b"v%d" % number)
    world.wait(500)
    got: list[bytes] = []
    start: bytes | None = b"key-1"
    while start is not None:
        page = world.insist(Scan, start, b"key-5", 2)
        if isinstance(page, Failure) and page.code == "not_served":
            return
        if not isinstance(page, Page) or len(page.items) > 2 or (page.next is not None and page.next <= start):
            refuse(f"a scan from {start!r} with limit 2 is answered with {page}", "return a Page that goes on")
        got += [item.key for item in page.items]
        start = page.next
    if got != list(KEYS[1:5]):
        refuse(f"a scan of {KEYS[1]!r} to {KEYS[5]!r} gives {got}", "ask every partition, and merge in order")


def a_retry_is_applied_once(subject: Subject) -> None:
    """A design that promises so answers a retried operation as before, and does not apply it again."""
    design = subject.design()
    if all(promise.subject != "retries" for promise in design.promises()):
        return
    world = _world(subject)
    world.insist(Put, b"k", b"older")
    first = world.operation(Put, b"k", b"old")
    answered = world.perform(first)
    world.insist(Put, b"k", b"new")
    again = world.perform(first)
    if again != answered:
        refuse(
            f"a retry is answered {again}, and the first time was {answered}", "done = self.replica.known(op.request)"
        )
    _settled_on(world, b"k", b"new", "a retry of an older put was applied again: ")


def an_answer_waits_for_the_disk(subject: Subject) -> None:
    """A design that promises durability acknowledges a write only when it survives a power cut of all nodes."""
    design = subject.design()
    if not _is_durable(design):
        return
    writes: tuple[tuple[type[Operation], bytes | None], ...] = ((Put, b"first"), (Put, b"second"), (Remove, None))
    for step, (kind, value) in enumerate(writes):
        world = _world(subject)
        if step:
            world.insist(Put, b"k", b"before")
        world.value_of(b"k", b"before" if step else None)
        operation = world.operation(kind, b"k", *([value] if value is not None else []))
        world.begin(operation)
        for _ in range(STEPS_LIMIT):
            if world.answer() is not None:
                break
            if not world.one_step():
                world.world.advance(10_000_000)
        if not isinstance(world.answer(), Written):
            continue
        everyone = world.cluster.everyone()
        world.crash(*everyone)
        world.restart(*everyone)
        found = world.value_of(b"k", value)
        if found != value:
            shown_found = _told(found) if isinstance(found, Failure) else repr(found)
            refuse(
                f"{shown(operation)} was acknowledged, and just then all nodes lost power; now k reads {shown_found}",
                "await self.replica.apply(change) at every replica whose answer counts, and only then answer",
            )


def _is_durable(design: Design) -> bool:
    return design.durability == "disk" and any(promise.judge == "durability" for promise in design.promises())


def any_node_may_crash_and_come_back(subject: Subject) -> None:
    """While any one node is down every operation ends; when it is back all is served again, and what was promised to be
    durable is there."""
    for node in _world(subject, frontends=2).cluster.everyone():
        _one_crashes(subject, node)


def _one_crashes(subject: Subject, node: NodeId) -> None:
    world = _world(subject, frontends=2)
    may_hold: dict[bytes, list[bytes | None]] = {key: [None] for key in KEYS}
    for number, key in enumerate(KEYS):
        value = b"before-%d" % number
        if isinstance(world.insist(Put, key, value), Written):
            may_hold[key] = [value]
    world.crash(node)
    for number, key in enumerate(KEYS):
        value = b"during-%d" % number
        answer = world.ask(Put, key, value)
        if isinstance(answer, Written):
            may_hold[key] = [value]
        elif isinstance(answer, Failure) and answer.code == "outcome_unknown":
            may_hold[key].append(value)
        world.ask(Read, key)
    world.restart(node)
    world.wait(1_000)
    durable = _is_durable(world.design)
    for key, values in may_hold.items():
        found = world.insist(Read, key)
        if isinstance(found, Failure):
            refuse(
                f"{node} crashed and came back, and a read still ends with {_told(found)}",
                "take over in start(recovered) what the disk kept, and let a coordinator be found again",
            )
        if not durable or (found.value if isinstance(found, Found) else None) in values:
            continue
        holds = world.value_of(key, values[-1])
        if holds not in values:
            refuse(
                f"{node} crashed and came back; now {key.decode()} reads {holds!r}, and {values[0]!r} was acknowledged",
                "keep on disk what an answer rests on, and read it in start(recovered)",
            )
    again = world.insist(Put, KEYS[0], b"after")
    if not isinstance(again, Written):
        refuse(f"{node} crashed and came back, and a put ends with {_told(again)}", "let it take part again")
    _settled_on(world, KEYS[0], b"after", f"{node} crashed and came back; ")


def it_tells_of_itself_in_words(subject: Subject) -> None:
    """What its nodes say of themselves for `kvsim where` are texts."""
    world = _world(subject)
    for name in world.cluster.everyone():
        for component in world.node(name).components:
            status: object = component.status()
            if not isinstance(status, dict) or not all(
                isinstance(text, str) for fact in status.items() for text in fact
            ):
                refuse(f"status() of {name} gives {status!r}", "return a dict of texts: {'term': str(term)}")
