"""A client's stream of operations, drawn from its own stream of chance: the same for every design it is run against."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvsim.core.chance import Chance
from kvsim.core.operation import (
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Key,
    Put,
    Read,
    Remove,
    RequestId,
    Scan,
    Update,
    Value,
)
from kvsim.workload.distributions import chooser_for
from kvsim.workload.settings import Scripted, Workload

PADDING = b"."
"""Fills a value up to its size; a token holds none."""


def key_name(number: int) -> Key:
    """The name of the n-th key; names sort as numbers do."""
    return b"key-%08d" % number


def token_of(value: Value) -> Value:
    """What tells this value from all others: the part before the padding."""
    return value.partition(PADDING)[0]


class KeySpace:
    """The keys known to be in the store, shared by all clients: inserts add to it once they are acknowledged."""

    def __init__(self, settings: Workload) -> None:
        self.present = list(range(settings.keys.count))
        self._next = settings.keys.count
        self._chooser = chooser_for(settings.keys)

    def choose(self, chance: Chance) -> Key:
        """A key that is there, unless it was deleted."""
        return key_name(self.present[self._chooser.next(chance, len(self.present))])

    def new(self) -> int:
        """The number of a key that nobody has used."""
        self._next += 1
        return self._next - 1


class Step(NamedTuple):
    """What a client does next."""

    operation: AnyOperation
    then: Callable[[AnyResult], AnyOperation] | None = None
    """The second half of a read-modify-write or compare-and-set, made from what the first half returned."""
    inserts: int | None = None
    """The number of the key that the operation brings into being."""


class Source:
    """One client's operations. `client` names it and begins its tokens: `client-3` writes `c3-1`, `c3-2`, …"""

    def __init__(self, settings: Workload, chance: Chance, keys: KeySpace, client: str) -> None:
        self.settings, self.chance, self.keys, self.client = settings, chance, keys, client
        kind, _, number = client.rpartition("-")
        self._token = f"{kind[:1]}{number}"
        self._number = 0
        shares = settings.shares
        self._kinds: list[tuple[float, str]] = []
        bound = 0.0
        for name in shares.__struct_fields__:
            if share := getattr(shares, name):
                bound += share
                self._kinds.append((bound, name))

    def next(self) -> Step:
        """Draw the next operation."""
        draw = self.chance.uniform01()
        kind = next((name for bound, name in self._kinds if draw < bound), self._kinds[-1][1])
        if kind in ("insert", "create"):
            number = self.keys.new()
            return Step(self._one(kind, key_name(number)), inserts=number)
        key = self.keys.choose(self.chance)
        if kind == "scan":
            limit = self.chance.between(1, self.settings.scan_length)
            return Step(Scan(self._request(), key, None, limit))
        if kind == "read_modify_write":
            return Step(Read(self._request(), key), then=lambda _: self.put(key))
        if kind == "cas":
            return Step(Read(self._request(), key), then=lambda found: self._compare_and_set(key, found))
        return Step(self._one(kind, key))

    def put(self, key: Key) -> Put:
        """A blind write of a value never written before."""
        request = self._request()
        return Put(request, key, self._value(request))

    def read(self, key: Key) -> Read:
        """A read."""
        return Read(self._request(), key)

    def scripted(self, step: Scripted) -> AnyOperation:
        """An operation of a script."""
        request, key = self._request(), step.key.encode()
        value = self._padded((step.value or "").encode())
        match step.op:
            case "scan":
                return Scan(request, key, None, step.limit)
            case "read":
                return Read(request, key)
            case "put":
                return Put(request, key, value)
            case "create":
                return Create(request, key, value)
            case "update":
                return Update(request, key, value)
            case "delete":
                return Delete(request, key)
            case "remove":
                return Remove(request, key)
            case "cas":
                expected = None if step.expected is None else self._padded(step.expected.encode())
                return CompareAndSet(request, key, value, expected)

    def _one(self, kind: str, key: Key) -> AnyOperation:
        request = self._request()
        match kind:
            case "read":
                return Read(request, key)
            case "delete":
                return Delete(request, key)
            case "remove":
                return Remove(request, key)
            case "create":
                return Create(request, key, self._value(request))
            case "update_if_present":
                return Update(request, key, self._value(request))
            case _:  # update, insert, put: blind, as YCSB's are
                return Put(request, key, self._value(request))

    def _compare_and_set(self, key: Key, found: AnyResult) -> CompareAndSet:
        request = self._request()
        expected = found.value if isinstance(found, Found) else None
        return CompareAndSet(request, key, self._value(request), expected)

    def _request(self) -> RequestId:
        self._number += 1
        return RequestId(self.client, self._number)

    def _value(self, request: RequestId) -> Value:
        return self._padded(f"{self._token}-{request.number}".encode())

    def _padded(self, token: Value) -> Value:
        return token.ljust(self.settings.value_size_bytes, PADDING)
