"""The RESP commands that read and write keys. A command on many keys is one operation a key, and not atomic.

SET is a put, SET NX a create, SET XX an update, SET IFEQ a compare-and-set, DEL a delete a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvsim.core.operation import (
    AnyOperation,
    AnyResult,
    CompareAndSet,
    Create,
    Delete,
    Found,
    Key,
    NotFound,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Put,
    Read,
    Remove,
    Update,
    Value,
)
from kvsim.real.doors.glob import Glob
from kvsim.real.doors.key_cursor import LAST_CURSOR, next_slice
from kvsim.real.doors.resp_replies import OK, array, bulk, error, integer, nil, status
from kvsim.real.doors.resp_session import Session, Single

Arguments = list[bytes]

LARGEST_REPLY_BYTES = 64 * 1_048_576
DEFAULT_SCAN_COUNT = 1_000
LARGEST_SCAN_COUNT = 10_000
SYNTAX_ERROR = error("ERR syntax error")
NOT_AN_INTEGER = error("ERR value is not an integer or out of range")


def get(session: Session, args: Arguments) -> Single:
    """GET key."""
    return Single(Read(session.store.request(), args[1]), _value)


def strlen(session: Session, args: Arguments) -> Single:
    """STRLEN key."""
    return Single(Read(session.store.request(), args[1]), _length)


def type_of(session: Session, args: Arguments) -> Single:
    """TYPE key."""
    return Single(Read(session.store.request(), args[1]), _type)


def set_(session: Session, args: Arguments) -> Single | bytes:
    """SET key value [NX | XX | IFEQ old]."""
    if len(args) == 3:
        return Single(Put(session.store.request(), args[1], args[2]), _done)
    operation = _conditional_set(session, args[1], args[2], args[3:])
    return operation if isinstance(operation, bytes) else Single(operation, _done, unmet=nil(session.protocol))


def setnx(session: Session, args: Arguments) -> Single:
    """SETNX key value."""
    return Single(Create(session.store.request(), args[1], args[2]), _one, unmet=integer(0))


def remove(session: Session, args: Arguments) -> Single:
    """KVSIM.REMOVE key: afterwards it is absent, whatever it was before."""
    return Single(Remove(session.store.request(), args[1]), _done)


def _value(result: AnyResult, protocol: int) -> bytes:
    return bulk(result.value) if isinstance(result, Found) else nil(protocol)


def _length(result: AnyResult, protocol: int) -> bytes:
    return integer(len(result.value) if isinstance(result, Found) else 0)


def _type(result: AnyResult, protocol: int) -> bytes:
    return status("string" if isinstance(result, Found) else "none")


def _done(result: AnyResult, protocol: int) -> bytes:
    return OK


def _one(result: AnyResult, protocol: int) -> bytes:
    return integer(1)


_EXPIRY = {b"EX", b"PX", b"EXAT", b"PXAT"}


def _conditional_set(session: Session, key: Key, value: Value, options: Arguments) -> AnyOperation | bytes:
    """The operation that these options ask for, or the error to answer."""
    words = [option.upper() for option in options]
    request = session.store.request()
    match words:
        case [b"KEEPTTL"]:
            return Put(request, key, value)
        case [b"NX"]:
            return Create(request, key, value)
        case [b"XX"]:
            return Update(request, key, value)
        case [b"IFEQ", _]:
            return CompareAndSet(request, key, value, expected=options[1])
    if words[0] in _EXPIRY or (len(words) > 1 and words[1] in _EXPIRY):
        return error("ERR expiry is not served: a key lives until it is deleted; leave out EX, PX, EXAT and PXAT")
    if b"GET" in words:
        return error("ERR SET with GET is not served: the old value is not read together with the write; GET it first")
    return SYNTAX_ERROR


async def delete(session: Session, args: Arguments) -> bytes:
    """DEL key …: how many there were."""
    keys = list(dict.fromkeys(args[1:]))
    deleted = done = 0
    async for ended in session.store.perform_each(Delete(session.store.request(), key) for key in keys):
        if isinstance(ended, OperationError) and not isinstance(ended, NotFound):
            raise _part_done(ended, done, len(keys), "DEL")
        deleted += not isinstance(ended, NotFound)
        done += 1
    return integer(deleted)


async def mset(session: Session, args: Arguments) -> bytes:
    """MSET key value …: a put a key; where a key is named twice its last value counts."""
    if len(args) % 2 == 0:
        return error("ERR wrong number of arguments for 'mset' command")
    pairs = dict(zip(args[1::2], args[2::2], strict=True))
    done = 0
    async for ended in session.store.perform_each(Put(session.store.request(), *pair) for pair in pairs.items()):
        if isinstance(ended, OperationError):
            raise _part_done(ended, done, len(pairs), "MSET")
        done += 1
    return OK


def _part_done(failed: OperationError, done: int, of: int, command: str) -> OperationError:
    """The error of a command on many keys: when some are done, the whole neither happened nor did it not."""
    if of == 1:
        if isinstance(failed, NotServed) and command == "DEL":
            return NotServed(f"{failed.detail}; KVSIM.REMOVE key deletes without looking")
        return failed
    return OutcomeUnknown(
        f"{command} is not atomic: at least {done} of {of} keys are done, one failed: {failed.detail}"
    )


async def mget(session: Session, args: Arguments) -> bytes:
    """MGET key …: a read a key."""
    replies: list[bytes] = []
    size_bytes = 0
    nothing = nil(session.protocol)
    async for ended in session.store.perform_each(Read(session.store.request(), key) for key in args[1:]):
        if isinstance(ended, OperationError):
            raise ended
        replies.append(bulk(ended.value) if isinstance(ended, Found) else nothing)
        size_bytes += len(replies[-1])
        if size_bytes > LARGEST_REPLY_BYTES:
            return error(f"ERR the reply has more than {LARGEST_REPLY_BYTES} bytes; ask for fewer keys at a time")
    return array(replies)


async def exists(session: Session, args: Arguments) -> bytes:
    """EXISTS key …: how many there are; a key named twice counts twice."""
    present = 0
    async for ended in session.store.perform_each(Read(session.store.request(), key) for key in args[1:]):
        if isinstance(ended, OperationError):
            raise ended
        present += isinstance(ended, Found)
    return integer(present)


async def dbsize(session: Session, args: Arguments) -> bytes:
    """DBSIZE: reads the whole store, since nobody counts its keys."""
    size = 0
    async for _ in session.store.items():
        size += 1
    return integer(size)


async def keys(session: Session, args: Arguments) -> bytes:
    """KEYS pattern."""
    try:
        pattern = Glob(args[1])
    except ValueError as wrong:
        return error(f"ERR {wrong}")
    found: list[bytes] = []
    size_bytes = 0
    async for key in session.store.keys():
        if pattern.matches(key):
            found.append(bulk(key))
            size_bytes += len(found[-1])
            if size_bytes > LARGEST_REPLY_BYTES:
                return error(f"ERR the reply has more than {LARGEST_REPLY_BYTES} bytes; use SCAN")
    return array(found)


async def scan(session: Session, args: Arguments) -> bytes:
    """SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]."""
    cursor = _whole(args[1], LAST_CURSOR)
    if cursor is None:
        return error("ERR invalid cursor")
    pattern: Glob | None = None
    count = DEFAULT_SCAN_COUNT
    strings = True
    for name, value in _options(args[2:]):
        if name == b"MATCH":
            try:
                pattern = Glob(value)
            except ValueError as wrong:
                return error(f"ERR {wrong}")
        elif name == b"COUNT":
            asked = _whole(value, 2**63 - 1)
            if asked is None:
                return NOT_AN_INTEGER
            if asked == 0:
                return SYNTAX_ERROR
            count = min(asked, LARGEST_SCAN_COUNT)
        elif name == b"TYPE":
            strings = value.lower() == b"string"
        else:
            return SYNTAX_ERROR
    following, found = await next_slice(session.store.keys(), cursor, count)
    given = [bulk(key) for key in found if strings and (pattern is None or pattern.matches(key))]
    return array([bulk(b"%d" % following), array(given)])


def _options(words: Arguments) -> Iterator[tuple[bytes, bytes]]:
    """Name and value in turn; a name without a value comes as an unknown option."""
    for at in range(0, len(words), 2):
        yield (words[at].upper(), words[at + 1]) if at + 1 < len(words) else (b"", b"")


def _whole(digits: bytes, largest: int) -> int | None:
    """A number as Redis writes it; int() alone would also take signs, spaces, underscores and other scripts' digits."""
    if not (0 < len(digits) <= 20 and digits.isdigit()):
        return None
    number = int(digits)
    return number if number <= largest else None
