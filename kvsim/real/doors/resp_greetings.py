"""The RESP commands about the connection and the server: what clients send when they connect, and what people ask.

None of them reaches the store, so each is answered at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from kvsim.core.message import SECOND
from kvsim.real.doors.resp_replies import OK, array, bulk, error, integer, mapping, nil, status, text
from kvsim.real.doors.resp_session import Session

Arguments = list[bytes]

REDIS_VERSION = "7.0.0"
"""The Redis whose replies these are; clients decide by it what they may ask."""


def ping(session: Session, args: Arguments) -> bytes:
    """PING [message]."""
    if len(args) > 2:
        return wrong_arity("ping")
    return bulk(args[1]) if len(args) == 2 else status("PONG")


def echo(session: Session, args: Arguments) -> bytes:
    """ECHO message."""
    return bulk(args[1])


def quit_(session: Session, args: Arguments) -> bytes:
    """QUIT: the connection hangs up after this reply."""
    return OK


def reset(session: Session, args: Arguments) -> bytes:
    """RESET: the connection is as new, RESP2 again."""
    session.reset()
    return status("RESET")


def select(session: Session, args: Arguments) -> bytes:
    """SELECT 0: there is one database."""
    return OK if args[1] == b"0" else error("ERR DB index is out of range")


def hello(session: Session, args: Arguments) -> bytes:
    """HELLO [2 | 3 [AUTH user password] [SETNAME name]]."""
    protocol, name = session.protocol, session.name
    if len(args) > 1:
        if args[1] not in (b"2", b"3"):
            return error("NOPROTO unsupported protocol version")
        protocol = int(args[1])
        rest = args[2:]
        while rest:
            if rest[0].upper() == b"AUTH" and len(rest) >= 3:
                return auth(session, rest[:3])
            if rest[0].upper() != b"SETNAME" or len(rest) < 2:
                return error("ERR Syntax error in HELLO option")
            name, rest = rest[1], rest[2:]
            if not _is_name(name):
                return _BAD_NAME
    session.protocol, session.name = protocol, name
    pairs = [
        (bulk(b"server"), bulk(b"kvsim")),
        (bulk(b"version"), bulk(REDIS_VERSION.encode())),
        (bulk(b"proto"), integer(protocol)),
        (bulk(b"id"), integer(session.number)),
        (bulk(b"mode"), bulk(b"standalone")),
        (bulk(b"role"), bulk(b"master")),
        (bulk(b"modules"), array([])),
    ]
    return mapping(pairs, protocol)


def auth(session: Session, args: Arguments) -> bytes:
    """AUTH: nobody has to."""
    return error("ERR AUTH is called, but no password is configured here; connect without one")


def client(session: Session, args: Arguments) -> bytes:
    """CLIENT ID | SETNAME | GETNAME | SETINFO | INFO | LIST | NO-EVICT | NO-TOUCH."""
    match [args[1].upper(), *args[2:]]:
        case [b"ID"]:
            return integer(session.number)
        case [b"SETNAME", name]:
            if not _is_name(name):
                return _BAD_NAME
            session.name = name
            return OK
        case [b"GETNAME"]:
            return bulk(session.name) if session.name else nil(session.protocol)
        case [b"SETINFO", attribute, value] if attribute.upper() in (b"LIB-NAME", b"LIB-VER"):
            if not _is_name(value):
                return _BAD_NAME
            session.library[attribute.upper()] = value
            return OK
        case [b"INFO"]:
            return text(session.described(time.monotonic()) + "\n", session.protocol)
        case [b"LIST", *_]:
            now_s = time.monotonic()
            lines = [other.described(now_s) + "\n" for other in session.others.values()]
            return text("".join(lines), session.protocol)
        case [b"NO-EVICT" | b"NO-TOUCH", _]:
            return OK
    return error(f"ERR unknown subcommand '{shown(args[1])}'. Try CLIENT HELP.")


_BAD_NAME = error("ERR Client names cannot contain spaces, newlines or special characters.")
_LONGEST_NAME_BYTES = 256


def _is_name(name: bytes) -> bool:
    return len(name) <= _LONGEST_NAME_BYTES and all(33 <= byte <= 126 for byte in name)


def config(session: Session, args: Arguments) -> bytes:
    """CONFIG GET pattern: nothing here is configured that way."""
    if args[1].upper() == b"GET":
        return mapping([], session.protocol)
    return error(f"ERR CONFIG {shown(args[1])} is not served: a design is read when the cluster starts")


def cluster(session: Session, args: Arguments) -> bytes:
    """CLUSTER …: every door serves every key, so no client needs to know slots."""
    return error("ERR This instance has cluster support disabled")


def time_(session: Session, args: Arguments) -> bytes:
    """TIME: seconds and microseconds."""
    seconds, rest_ns = divmod(time.time_ns(), SECOND)
    return array([bulk(b"%d" % seconds), bulk(b"%d" % (rest_ns // 1_000))])


def info(session: Session, args: Arguments) -> bytes:
    """INFO [section]: always all of it, it is short."""
    store = session.store
    lines = [
        "# Server",
        f"redis_version:{REDIS_VERSION}",
        f"kvsim_version:{version('kvsim')}",
        "redis_mode:standalone",
        f"arch_bits:{64 if sys.maxsize > 2**32 else 32}",
        f"kvsim_node:{store.info.node}",
        f"run_id:{store.info.incarnation}",
        "# Clients",
        f"connected_clients:{len(session.others)}",
        "# Persistence",
        "loading:0",
        "# Replication",
        "role:master",
        "# Cluster",
        "cluster_enabled:0",
    ]
    return text("\r\n".join(lines) + "\r\n", session.protocol)


def wrong_arity(name: str) -> bytes:
    """The answer to too few or too many arguments."""
    return error(f"ERR wrong number of arguments for '{name}' command")


def shown(word: bytes) -> str:
    """A client's own word, short enough to be said back."""
    return word[:64].decode(errors="replace")


Greeting = Callable[[Session, Arguments], bytes]
