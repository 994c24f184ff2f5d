"""Operations: what clients ask of the store, what they get, and the one table of errors.

Every operation ends ok, fail (it certainly did not happen) or info (nobody knows); the table says which error is which.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple, dataclass_transform

import msgspec

from kvsim.core.message import Failure, Message, NodeId
from kvsim.core.version import Version

Key = bytes
Value = bytes


class RequestId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """(client, number): names an operation once and for all, so that a retry is known as one."""

    client: str
    number: int

    def __str__(self) -> str:
        return f"{self.client}/{self.number}"


@dataclass_transform(frozen_default=True)
class Operation(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all operations. All but `Scan` are on one key."""

    request: RequestId


class Create(Operation, tag="create"):
    """Bring a key into being. Fails with `AlreadyExists` if present."""

    key: Key
    value: Value


class Read(Operation, tag="read"):
    """Ask for a key's value: `Found` or `Absent`."""

    key: Key


class Update(Operation, tag="update"):
    """Give a key a new value. Fails with `NotFound` if absent."""

    key: Key
    value: Value


class Put(Operation, tag="put"):
    """Create or update."""

    key: Key
    value: Value


class Delete(Operation, tag="delete"):
    """Remove a key. Fails with `NotFound` if absent."""

    key: Key


class Remove(Operation, tag="remove"):
    """Blind delete: the key is absent afterwards, whatever it was."""

    key: Key


class CompareAndSet(Operation, tag="cas"):
    """Write only if the key holds what is expected. Fails with `Mismatch` otherwise."""

    key: Key
    value: Value
    expected: Value | None = None
    """The value that must be there; None: the key must be absent. Ignored where `expected_version` is given."""
    expected_version: Version | None = None
    """The version that must be there."""


class Scan(Operation, tag="scan"):
    """Ask for the keys from `start` up to but not including `end`, in order, at most `limit` of them."""

    start: Key
    end: Key | None = None
    limit: int = 100


Write = Create | Update | Put | Delete | Remove | CompareAndSet
"""What changes a key."""
Keyed = Write | Read
"""What has a key."""
AnyOperation = Write | Read | Scan
CONDITIONAL = (Create, Update, Delete, CompareAndSet)
"""Operations that happen only if the key is as they expect."""


class Result(Message, tag=True):
    """Base of what an operation that went well gives."""


class Written(Result, tag="result.written"):
    """The write has happened, with this version."""

    version: Version
    existed: bool | None = None
    """Whether the key held a value before; None where the design cannot know."""


class Found(Result, tag="result.found"):
    """The key holds this."""

    value: Value
    version: Version


class Absent(Result, tag="result.absent"):
    """The key holds nothing."""


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key of a page."""

    key: Key
    value: Value
    version: Version


class Page(Result, tag="result.page"):
    """A part of a range; `next` is where the following page starts, None at the end."""

    items: tuple[Item, ...]
    next: Key | None = None


AnyResult = Written | Found | Absent | Page


class Perform(Message, tag="client.perform"):
    """Client to ServerFrontend or peer, and ServerFrontend to ServerData: do this operation and answer its result."""

    operation: AnyOperation
    hops: int = 0
    """How often nodes have passed it on."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is too large to store."""

    key_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_024
    value_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1_048_576

    def check(self, operation: AnyOperation) -> None:
        """Raise `TooLarge` for what is beyond, `NotServed` for a scan of nothing; both client and store call this."""
        if isinstance(operation, Scan):
            if operation.limit < 1:
                raise NotServed(f"a scan asks for at least one key, and limit = {operation.limit} for none")
            key = operation.start
        else:
            key = operation.key
        if len(key) > self.key_bytes:
            raise TooLarge(
                f"the key has {len(key)} bytes, the limit is {self.key_bytes}; "
                "shorten it or raise design.limits.key_bytes"
            )
        value = getattr(operation, "value", b"")
        if len(value) > self.value_bytes:
            raise TooLarge(
                f"the value has {len(value)} bytes, the limit is {self.value_bytes}; "
                "split it or raise design.limits.value_bytes"
            )


class ErrorKind(NamedTuple):
    """A row of the table of errors."""

    certain: bool
    """True: the operation certainly did not happen. False: it may have, or may yet."""
    retryable: bool
    """Whether the same request may succeed later."""
    why: str
    remedy: str


class OperationError(Exception):
    """Base of all errors that an operation may end with. `code` is its row in `ERRORS`."""

    code: ClassVar[str]

    def __init__(self, detail: str, hint: NodeId = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    @property
    def kind(self) -> ErrorKind:
        """This error's row in the table."""
        return ERRORS[self.code]

    def as_failure(self) -> Failure:
        """The error as a message."""
        return Failure(self.code, self.detail, self.hint)


class AlreadyExists(OperationError):
    """A create met a present key."""

    code = "already_exists"


class NotFound(OperationError):
    """A read, update or delete met an absent key."""

    code = "not_found"


class Mismatch(OperationError):
    """A compare-and-set met another value or version."""

    code = "mismatch"


class WrittenOnce(OperationError):
    """The design stores each key once (WORM), and this one is stored."""

    code = "written_once"


class TooLarge(OperationError):
    """The key or value is beyond the limits."""

    code = "too_large"


class NotServed(OperationError):
    """The design does not serve this operation at all."""

    code = "not_served"


class Unavailable(OperationError):
    """The design cannot keep its promise now, and nothing was done."""

    code = "unavailable"


class Elsewhere(OperationError):
    """This node does not serve the key; `hint` names who does, where known. Stays inside the cluster."""

    code = "elsewhere"


class OutcomeUnknown(OperationError):
    """The operation may have happened, or may happen yet."""

    code = "outcome_unknown"


class NoAnswer(OutcomeUnknown):
    """Nobody has answered in time. To a client it is the same; a node may ask itself whether the other lives."""


ERRORS: dict[str, ErrorKind] = {
    "already_exists": ErrorKind(
        certain=True,
        retryable=False,
        why="A create met a key that is present.",
        remedy="Update it, or put to have either.",
    ),
    "not_found": ErrorKind(
        certain=True,
        retryable=False,
        why="The key is absent.",
        remedy="Create it first, or put, which needs no key there; to have it absent, remove needs none either.",
    ),
    "mismatch": ErrorKind(
        certain=True,
        retryable=False,
        why="A compare-and-set met another value or version.",
        remedy="Read again and decide anew.",
    ),
    "written_once": ErrorKind(
        certain=True,
        retryable=False,
        why="The design writes each key once.",
        remedy='Use a new key, or a design with storage.written = "many".',
    ),
    "too_large": ErrorKind(
        certain=True,
        retryable=False,
        why="The key or value is beyond the design's limits.",
        remedy="Split it, or raise design.limits.",
    ),
    "not_served": ErrorKind(
        certain=True,
        retryable=False,
        why="The design does not serve this operation.",
        remedy="See what it promises: kvsim simulate FILE --dry-run.",
    ),
    "unavailable": ErrorKind(
        certain=True,
        retryable=True,
        why="Too few nodes could be reached to keep the promise; nothing was done.",
        remedy="Try again later.",
    ),
    "elsewhere": ErrorKind(
        certain=True,
        retryable=True,
        why="Another node serves this key.",
        remedy="Ask the node that the hint names.",
    ),
    "outcome_unknown": ErrorKind(
        certain=False,
        retryable=True,
        why="Too few answers came in time; the operation may have happened, or may happen yet.",
        remedy="Read before deciding, or retry with the same request number.",
    ),
}

_CLASSES: dict[str, type[OperationError]] = {kind.code: kind for kind in OperationError.__subclasses__()}


def error_from(failure: Failure) -> OperationError:
    """The error that a failure message stands for."""
    return _CLASSES.get(failure.code, OutcomeUnknown)(failure.detail, failure.hint)
