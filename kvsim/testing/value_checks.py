"""What a conflict rule, a storage and a consistency level promise of values: one winner, whole values, a level that can
be refuted."""

from __future__ import annotations

import itertools
from typing import cast

from kvsim.core.axes import Conflict, Consistency
from kvsim.core.guarantee import Level
from kvsim.core.message import Failure
from kvsim.core.operation import Create, Put, Read, Remove, Update, Written
from kvsim.core.replica import Record
from kvsim.core.version import Version
from kvsim.testing.by_hand import ByHand
from kvsim.testing.contract import refuse
from kvsim.testing.subject import Subject

RECORDS = (
    Record(b"one", Version(1, "data-1")),
    Record(b"two", Version(2, "data-1")),
    Record(None, Version(2, "data-2")),
    Record(b"three", Version(3, "data-3")),
)


# ---- conflict


def _rule(subject: Subject) -> Conflict:
    return cast(type[Conflict], subject.strategy)(subject.chosen)


def of_two_versions_one_stays(subject: Subject) -> None:
    """Of two different versions exactly one replaces the other, and none replaces itself."""
    rule = _rule(subject)
    for mine, theirs in itertools.product(RECORDS, repeat=2):
        there, back = rule.newer(mine, theirs), rule.newer(theirs, mine)
        if mine is theirs and there:
            refuse(f"{mine} replaces itself, so that it is written again for ever", "let newer(x, x) be False")
        if mine is not theirs and bool(there) == bool(back):
            which = "each replaces the other" if there else "neither replaces the other"
            refuse(f"of {mine} and {theirs} {which}", "compare by something that orders all versions")


def replicas_agree_whatever_comes_first(subject: Subject) -> None:
    """Replicas that get the same records in any order end with the same one."""
    rule = _rule(subject)
    winners: dict[Record, tuple[Record, ...]] = {}
    for order in itertools.permutations(RECORDS):
        stays = order[0]
        for record in order[1:]:
            stays = record if rule.newer(stays, record) else stays
        winners.setdefault(stays, order)
    if len(winners) > 1:
        (one, first), (other, second) = list(winners.items())[:2]
        orders = [" then ".join(str(record.version) for record in order) for order in (first, second)]
        refuse(
            f"{orders[0]} leaves {one.value!r}, and {orders[1]} leaves {other.value!r}",
            "compare records by their versions alone, transitively",
        )


def its_clock_never_repeats(subject: Subject) -> None:
    """Each version that its clock gives is later than the node's last one, and no other node gives the same."""
    world = ByHand(subject.design(), subject.nodes)
    rule = _rule(subject)
    seen: dict[Version, str] = {}
    for name in world.cluster.data:
        clock = rule.clock(world.world.hosts[name])
        last: Version | None = None
        for _ in range(20):
            version = clock.next()
            if last is not None and not version > last:
                refuse(f"the clock of {name} gives {version} after {last}", "count on: max(self.counter + 1, …)")
            if version in seen:
                refuse(f"{seen[version]} and {name} both give {version}", "put the node's name into its versions")
            seen[version] = name
            last = version


# ---- storage


def values_come_back_whole(subject: Subject) -> None:
    """A value of any bytes and of any size within the limit is read as it was written."""
    world = ByHand(subject.design(), subject.nodes)
    for number, value in enumerate((b"", b"\x00", bytes(range(256)), b"x" * world.design.limits.value_bytes)):
        key = b"key-%d" % number
        answer = world.insist(Create, key, value)
        if isinstance(answer, Failure) and answer.code == "not_served":
            answer = world.insist(Put, key, value)
        if not isinstance(answer, Written):
            refuse(f"a value of {len(value):,} bytes is refused: {answer}", "store whatever lies within the limits")
        if world.value_of(key, value) != value:
            refuse(f"a value of {len(value):,} bytes is read as another", "put a value's parts together again")


def keys_are_written_as_often_as_it_says(subject: Subject) -> None:
    """With `written = "once"` a key is created and never changed again; with "many" it is, as often as one likes."""
    written = getattr(subject.chosen, "written", "many")
    if written not in ("many", "once"):
        refuse(f"written is {written!r}", 'declare written: kvsim.core.replica.HowOften = "many" in its settings')
    replication = {} if "replication" in subject.others else {"replication": "single_copy"}
    world = ByHand(subject.design(**replication), subject.nodes)
    world.insist(Create, b"k", b"one")
    for kind, *fields in ((Update, b"k", b"two"), (Put, b"k", b"three"), (Remove, b"k")):
        answer = world.insist(kind, *fields)
        is_refused = isinstance(answer, Failure) and answer.code == "written_once"
        if is_refused != (written == "once"):
            said = "refused" if is_refused else "accepted"
            refuse(
                f"written is {written!r}, and a second write ({kind.__name__.lower()}) is {said}", "refuse or accept it"
            )


# ---- consistency


def its_level_is_promised(subject: Subject) -> None:
    """It names its level, and promises it, so that a judge can refute it."""
    strategy = cast(type[Consistency], subject.strategy)
    level: object = getattr(strategy, "level", None)
    if not isinstance(level, Level):
        refuse(f"level is {level!r}", "level = Level.EVENTUAL, or a stronger one of kvsim.core.guarantee")
    design = subject.design()
    promised = [p for p in strategy.promises(subject.chosen, design) if p.subject == "consistency"]
    if not promised:
        refuse("it promises no consistency", "yield kvsim.core.guarantee.consistency(cls.level, why) in promises()")
    if design.durability == "disk" and not any(promise.judge for promise in promised):
        refuse("no judge can refute its consistency", "yield kvsim.core.guarantee.consistency(cls.level, why)")


def reads_find_what_was_written(subject: Subject) -> None:
    """Once all is quiet a read finds the last write, and nothing after a removal."""
    world = ByHand(subject.design(), subject.nodes)
    for value in (b"one", b"two", None):
        answer = world.insist(Put, b"k", value) if value is not None else world.insist(Remove, b"k")
        if not isinstance(answer, Written):
            refuse(f"a write ends with {answer}", "hand writes on: await self.replication.write(op)")
        found = world.value_of(b"k", value, in_a_row=3)
        if found != value:
            refuse(
                f"{value!r} was written, and the read finds {found!r}",
                "read by self.replication.read_latest or read_any",
            )
    if world.insist(Read, b"never written") != world.insist(Read, b"k"):
        refuse("a removed key reads otherwise than one that never was", "answer Absent for both")
