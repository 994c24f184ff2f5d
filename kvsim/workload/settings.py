"""What `[workload]` in an experiment says: the mix of operations, the keys, and how clients pace themselves.

The mixes are those of Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kvsim.core.message import MILLISECOND, SECOND, Nanoseconds

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of each kind of operation; together they are 1.

    `read`, `update`, `insert`, `read_modify_write` and `scan` mean what they mean in YCSB, whose writes are blind:
    `update` and `insert` put, the one to a key that is there, the other to a new key. So they run under every design.
    """

    read: Share = 0.0
    update: Share = 0.0
    """Put a new value to an existing key."""
    insert: Share = 0.0
    """Put a value to a new key."""
    read_modify_write: Share = 0.0
    """Read a key, then put a new value to it: two operations."""
    scan: Share = 0.0
    """Read up to `scan_length` keys from a chosen key on."""
    put: Share = 0.0
    """The same as `update`."""
    create: Share = 0.0
    """Create a new key; fails if it is there."""
    update_if_present: Share = 0.0
    """Update; fails if the key is absent."""
    delete: Share = 0.0
    """Delete; fails if the key is absent."""
    remove: Share = 0.0
    """Delete without looking."""
    cas: Share = 0.0
    """Read a key, then compare-and-set it from what was read: two operations."""


MixName = Literal["ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"]
MIXES: dict[MixName, Mix] = {
    "ycsb-a": Mix(read=0.5, update=0.5),
    "ycsb-b": Mix(read=0.95, update=0.05),
    "ycsb-c": Mix(read=1.0),
    "ycsb-d": Mix(read=0.95, insert=0.05),
    "ycsb-e": Mix(scan=0.95, insert=0.05),
    "ycsb-f": Mix(read=0.5, read_modify_write=0.5),
}
"""Update heavy, read mostly, read only, read latest (with `keys.distribution = "latest"`), scans, read-modify-write."""


FIRST_PAUSE_NS = 50 * MILLISECOND
LONGEST_PAUSE_NS = SECOND


def retry_pause_ns(sent: int) -> Nanoseconds:
    """How long a client waits before it sends again; `sent` counts the sendings before the last one."""
    return min(FIRST_PAUSE_NS << sent, LONGEST_PAUSE_NS)


class _Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="distribution"):
    count: Count = 1_000
    """Keys put once before the workload begins."""


class Uniform(_Keys, frozen=True, tag="uniform"):
    """Every key is as likely."""


class Zipfian(_Keys, frozen=True, tag="zipfian"):
    """The i-th most popular key is drawn with a probability proportional to 1/i^theta."""

    theta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.99


class Latest(_Keys, frozen=True, tag="latest"):
    """Zipfian, the key inserted last being the most popular."""

    theta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.99


class Hotspot(_Keys, frozen=True, tag="hotspot"):
    """Some of the keys get most of the operations; uniform within both parts."""

    hot_keys: Share = 0.2
    """The share of keys that are hot."""
    hot_operations: Share = 0.8
    """The share of operations that go to them."""


Keys = Uniform | Zipfian | Latest | Hotspot


class Scripted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One operation of a script: who does what, and when."""

    client: Annotated[str, msgspec.Meta(pattern=r"^client-[0-9]+$")]
    at_ns: Annotated[Nanoseconds, msgspec.Meta(ge=0)]
    """When it begins, counted from the beginning of the workload; later if the client's last one has not ended."""
    op: Literal["create", "read", "update", "put", "delete", "remove", "cas", "scan"]
    key: str
    """Of a scan: where it starts."""
    value: str | None = None
    """The token to write; it is padded like any other."""
    expected: str | None = None
    """Of a `cas`: the token that must be there; none: the key must be absent."""
    limit: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Of a scan: how many keys it asks for."""
    door: str = ""
    """The node that is asked; when not given, or where it is no door, the doors in turn."""


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks what, when. Either a closed loop of `clients`, or an open loop of `rate` operations a second."""

    mix: MixName | Mix = "ycsb-a"
    keys: Keys = Zipfian()
    value_size_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 100
    """Each value is a token that never repeats, such as `c3-17`, padded to this size; a longer token is not cut."""
    clients: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    """Closed loop: so many clients, each of which begins an operation when its last one ended; 5 without a `rate`."""
    think_time_ns: Annotated[Nanoseconds, msgspec.Meta(ge=0)] = 0
    """Closed loop: the mean pause of a client between two operations, exponentially distributed."""
    rate: Annotated[float, msgspec.Meta(gt=0, le=10_000_000)] | None = None
    """Open loop: operations begin at this rate a second as a Poisson process, however slow the answers are."""
    duration_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 5 * SECOND
    """How long operations begin, the warm-up included."""
    warm_up_ns: Annotated[Nanoseconds, msgspec.Meta(ge=0)] | Literal["auto"] = 0
    """The first part of the duration, which metrics leave out. `auto`: it ends where the latencies settle, by the rule
    MSER-5 (White 1997), in the first half; for simulated runs that faults do not disturb."""
    timeout_ns: Annotated[Nanoseconds, msgspec.Meta(ge=1)] = 2 * SECOND
    """How long a client waits for an answer to one sending; then the outcome is unknown to it, and it goes on."""
    pause_after_failure_ns: Annotated[Nanoseconds, msgspec.Meta(ge=0)] = 10 * MILLISECOND
    """Closed loop: how long a client waits after an operation that ended in a refusal or an unknown outcome."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    """How often a client sends an operation again, under its number, when it was refused for now or nobody knows what
    came of it; the pauses are those of the client library. The history shows one operation."""
    retry_at: Literal["same", "next"] = "same"
    """At which door: the one that was asked, or the next one."""
    scan_length: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """The most keys that a scan asks for; the number is drawn evenly from 1 to this."""
    settle_ns: Annotated[Nanoseconds, msgspec.Meta(ge=0)] = 2 * SECOND
    """After the workload and the last fault: the quiet time before all written keys are read, and once more."""
    final_reads: NotNegative = 1_000
    """The most keys that are read at the end; of more, those written last."""
    script: tuple[Scripted, ...] | None = None
    """The operations themselves, in place of all that is drawn; of what is said beside, the keys are still loaded."""

    @property
    def shares(self) -> Mix:
        """The mix by its shares."""
        return self.mix if isinstance(self.mix, Mix) else MIXES[self.mix]

    @property
    def open_loop(self) -> bool:
        """Whether operations begin at a rate of their own."""
        return self.rate is not None

    @property
    def client_count(self) -> int:
        """Clients of the closed loop."""
        return self.clients or 5

    @property
    def longest_ns(self) -> Nanoseconds:
        """How long an operation takes at most, with all its retries."""
        return (self.retries + 1) * self.timeout_ns + sum(map(retry_pause_ns, range(self.retries)))

    def refusals(self) -> list[str]:
        """Why this makes no sense, a sentence each, beginning with the key; empty where it does."""
        problems = []
        shares = self.shares
        total = sum(getattr(shares, name) for name in shares.__struct_fields__)
        if abs(total - 1) > 1e-6:
            problems.append(f"mix: the shares add up to {total:g}; they must add up to 1")
        if self.clients is not None and self.rate is not None:
            problems.append("rate: an open loop takes as many clients as it needs; leave out clients or rate")
        if self.think_time_ns and self.open_loop:
            problems.append("think_time: only a closed loop thinks; leave it out, or leave out rate")
        if self.script is not None and self.open_loop:
            problems.append("script: it says when each operation begins; leave out rate")
        problems += [
            f"script[{number}]: a {step.op} needs a value"
            for number, step in enumerate(self.script or ())
            if step.value is None and step.op in ("create", "update", "put", "cas")
        ]
        if self.warm_up_ns != "auto" and self.warm_up_ns >= self.duration_ns:
            problems.append("warm_up: it is a part of the duration and must be shorter")
        return problems
