"""What primary-backup can be set to, what it then promises, and which settings contradict each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from kvsim.core.design import Design
from kvsim.core.guarantee import Level, Promise, consistency, durability
from kvsim.core.message import MILLISECOND, Nanoseconds
from kvsim.core.settings import shown_duration


class PrimaryBackupSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of primary-backup replication."""

    mode: Literal["sync", "async"] = "sync"
    """`sync`: a write is answered when the primary and all backups store it; `async`: when the primary does."""
    copies: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Primary and backups together; all ServerData nodes if not given. The others are spares."""
    reads: Literal["lease", "round"] = "lease"
    """How a primary makes sure before a linearizable read that no newer one serves: a lease, or asking its backups."""
    ping_interval_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 50 * MILLISECOND
    """Time between two pings of a node to the view service."""
    dead_after_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 250 * MILLISECOND
    """Silence after which the view service takes a node for dead."""
    lease_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 200 * MILLISECOND
    """How long after sending a ping that was answered a primary may read without asking anybody."""
    drift: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.01
    """Bound on how much faster or slower than true time any node's clock runs: 0.01 is one percent."""


def contradictions(settings: PrimaryBackupSettings, design: Design) -> Iterable[str]:
    """Why these settings cannot stand: reason and remedy, a sentence each."""
    if settings.mode == "async" and design.uses("consistency", "linearizable"):
        yield (
            'mode = "async" answers a write before its backups have it, so a promotion can lose it, and linearizable '
            'reads would show that; use mode = "sync", or claim "eventual"'
        )
    if settings.dead_after_ns <= settings.ping_interval_ns:
        yield "dead_after must be longer than ping_interval, or every node is dead between two pings"
    longest_ns = longest_lease_ns(settings)
    if settings.reads == "lease" and settings.lease_ns > longest_ns:
        yield (
            f"a lease of {shown_duration(settings.lease_ns)} can outlast its grant: the view service may promote "
            f"another after dead_after = {shown_duration(settings.dead_after_ns)} on its clock, which with drift = "
            f"{settings.drift} leaves {shown_duration(longest_ns)} on the primary's; shorten lease, or raise dead_after"
        )


def longest_lease_ns(settings: PrimaryBackupSettings) -> Nanoseconds:
    """The longest safe lease: the primary's clock may be slow by the drift, and the view service's fast by it."""
    return int(settings.dead_after_ns * (1 - settings.drift) / (1 + settings.drift))


def promised(settings: PrimaryBackupSettings, design: Design) -> Iterable[Promise]:
    """What the settings amount to."""
    if design.uses("consistency", "linearizable"):
        how = (
            f"under a lease of {shown_duration(settings.lease_ns)}, if no clock drifts by over {settings.drift:.2%}"
            if settings.reads == "lease"
            else "after a round with its backups"
        )
        yield consistency(Level.LINEARIZABLE, f"one primary orders all writes, and reads {how}")
    kept = "keeps all acknowledged writes" if settings.mode == "sync" else "goes on with those that it has"
    yield Promise(
        "faults",
        f"one member that lives {kept}, and a backup takes the primary's place within about "
        f"{shown_duration(settings.dead_after_ns + settings.ping_interval_ns)}; the view service is a single point of "
        "failure: while it is down nobody is promoted, and a primary that dies before it acknowledged must come back",
    )
    yield _durability(settings, design)
    yield Promise("conditional operations", "atomic: the primary decides alone, in the order of its log")
    yield Promise("retries", "a retried operation is applied once, also by a newer primary that has it", "exactly-once")


def _durability(settings: PrimaryBackupSettings, design: Design) -> Promise:
    if settings.mode == "async":
        return durability(
            "an acknowledged write is stored by the primary alone; what no backup has yet is lost when one is promoted",
            False,
        )
    if design.durability == "disk":
        return durability(
            "an acknowledged write is on the disks of the primary and all backups, and survives every crash", True
        )
    return durability(
        "an acknowledged write is in the memories of the primary and all backups; if all of them crash, nobody serves",
        True,
    )
