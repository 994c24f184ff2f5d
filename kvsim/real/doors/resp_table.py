"""The table of RESP commands: how each is called, what it touches, and what COMMAND says of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from kvsim.real.doors import resp_commands, resp_greetings
from kvsim.real.doors.key_order import Touches
from kvsim.real.doors.resp_greetings import shown, wrong_arity
from kvsim.real.doors.resp_replies import array, bulk, error, integer, mapping, nil, status
from kvsim.real.doors.resp_session import Session, Single

Arguments = list[bytes]
Handler = Callable[[Session, Arguments], "bytes | Single | Coroutine[Any, Any, bytes]"]
"""Gives the reply, or what it takes: one operation, or a coroutine for what is more."""


class Row(NamedTuple):
    """One command. `arity` counts the name itself; negative: at least so many."""

    name: str
    arity: int
    touches: Touches
    run: Handler
    keys: tuple[int, int, int] = (0, 0, 0)
    """First key, last key (−1: to the end) and step, as COMMAND says it."""

    def accepts(self, args: Arguments) -> bool:
        """Whether the number of arguments is right."""
        return len(args) == self.arity if self.arity > 0 else len(args) >= -self.arity

    def keys_of(self, args: Arguments) -> Arguments:
        """The keys among the arguments."""
        first, last, step = self.keys
        if not first:
            return []
        if last == first:
            return [args[first]]
        return args[first::step]

    def described(self) -> bytes:
        """The command as COMMAND gives it."""
        flags = {"read": ["readonly"], "write": ["write"], "everything": ["readonly"]}.get(self.touches, ["fast"])
        return array(
            [
                bulk(self.name.encode()),
                integer(self.arity),
                array([status(flag) for flag in flags]),
                *map(integer, self.keys),
            ]
        )


def command(session: Session, args: Arguments) -> bytes:
    """COMMAND [COUNT | INFO name … | DOCS | LIST | GETKEYS …]."""
    match [word.upper() for word in args[1:2]]:
        case []:
            return array([row.described() for row in TABLE.values()])
        case [b"COUNT"]:
            return integer(len(TABLE))
        case [b"INFO"]:
            rows = [TABLE.get(name.upper()) for name in args[2:]] or list(TABLE.values())
            return array([row.described() if row else nil(session.protocol) for row in rows])
        case [b"DOCS"]:
            return mapping([], session.protocol)
        case [b"LIST"]:
            return array([bulk(row.name.encode()) for row in TABLE.values()])
        case [b"GETKEYS"] if len(args) > 2:
            row = TABLE.get(args[2].upper())
            if row is None or not row.accepts(args[2:]) or not row.keys[0]:
                return error("ERR The command has no key arguments, or its arguments are wrong")
            return array([bulk(key) for key in row.keys_of(args[2:])])
    return error(f"ERR unknown subcommand '{shown(args[1])}'. Try COMMAND HELP.")


_ONE = (1, 1, 1)
_ALL = (1, -1, 1)
_ROWS = [
    Row("get", 2, "read", resp_commands.get, _ONE),
    Row("set", -3, "write", resp_commands.set_, _ONE),
    Row("setnx", 3, "write", resp_commands.setnx, _ONE),
    Row("del", -2, "write", resp_commands.delete, _ALL),
    Row("unlink", -2, "write", resp_commands.delete, _ALL),
    Row("kvsim.remove", 2, "write", resp_commands.remove, _ONE),
    Row("mset", -3, "write", resp_commands.mset, (1, -1, 2)),
    Row("mget", -2, "read", resp_commands.mget, _ALL),
    Row("exists", -2, "read", resp_commands.exists, _ALL),
    Row("strlen", 2, "read", resp_commands.strlen, _ONE),
    Row("type", 2, "read", resp_commands.type_of, _ONE),
    Row("dbsize", 1, "everything", resp_commands.dbsize),
    Row("keys", 2, "everything", resp_commands.keys),
    Row("scan", -2, "everything", resp_commands.scan),
    Row("ping", -1, "nothing", resp_greetings.ping),
    Row("echo", 2, "nothing", resp_greetings.echo),
    Row("time", 1, "nothing", resp_greetings.time_),
    Row("info", -1, "nothing", resp_greetings.info),
    Row("command", -1, "nothing", command),
    Row("config", -2, "nothing", resp_greetings.config),
    Row("cluster", -2, "nothing", resp_greetings.cluster),
    Row("client", -2, "connection", resp_greetings.client),
    Row("hello", -1, "connection", resp_greetings.hello),
    Row("auth", -2, "connection", resp_greetings.auth),
    Row("select", 2, "connection", resp_greetings.select),
    Row("reset", 1, "connection", resp_greetings.reset),
    Row("quit", -1, "connection", resp_greetings.quit_),
]
TABLE = {row.name.upper().encode(): row for row in _ROWS}

_REASONS = {
    "EXPIRE PEXPIRE EXPIREAT PEXPIREAT SETEX PSETEX PERSIST TTL PTTL": "a key lives until it is deleted",
    "INCR DECR INCRBY DECRBY INCRBYFLOAT APPEND GETSET GETDEL SETRANGE": (
        "reading and writing in one step is not offered; GET it, then SET key value IFEQ old"
    ),
    "MULTI EXEC DISCARD WATCH UNWATCH": "commands are not grouped here; with redis-py use pipeline(transaction=False)",
    "FLUSHALL FLUSHDB": "nobody empties the whole store at once; SCAN and DEL",
    "SUBSCRIBE PSUBSCRIBE PUBLISH": "there are no channels, only keys",
    "LPUSH RPUSH SADD HSET ZADD XADD": "a value is a string of bytes",
    "EVAL EVALSHA FUNCTION SCRIPT": "no scripts run here",
}
NOT_SERVED = {name: reason for names, reason in _REASONS.items() for name in names.split()}
"""Commands of Redis that people try first, and why they are not there."""


def refusal(args: Arguments) -> bytes:
    """The answer to a command that is not in the table."""
    name = shown(args[0])
    reason = NOT_SERVED.get(name.upper())
    if reason:
        return error(f"ERR {name.upper()} is not served: {reason}")
    rest = " ".join(f"'{shown(word)}'" for word in args[1:4])
    return error(f"ERR unknown command '{name}', with args beginning with: {rest}")


def misuse(row: Row) -> bytes:
    """The answer to a command with a wrong number of arguments."""
    return wrong_arity(row.name)
