"""Clients of an explored world: who waits for what, and what they saw, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kvsim.core.history import History, Recorder
from kvsim.core.message import Failure, Message
from kvsim.core.operation import ERRORS, CompareAndSet, Found, Page, Read, Scan
from kvsim.explore.past import Past
from kvsim.explore.scenario import Ask
from kvsim.workload.source import token_of

MOST_TRIES = 64
INVOKED, OK, FAIL, INFO = range(4)
_OUTCOMES: dict[int, Any] = {OK: "ok", FAIL: "fail", INFO: "info"}

Seen = tuple[int, int, int, Any]
"""One line of a history: what it is, client, position of the operation, answer."""


class Client(NamedTuple):
    """One client: it asks one thing after the other, and may ask the same again."""

    asked: int = 0
    """How many operations it has begun."""
    open: bool = False
    tries: int = 0
    live: tuple[tuple[int, int], ...] = ()
    """(try, node): attempts whose answers may still come."""
    doubt: bool = False
    """Whether an attempt ended that may have happened."""
    life: int = 0
    """Of the node first asked: a retry there counts as one only while it has not restarted."""

    @property
    def waits(self) -> bool:
        """Whether an answer may come."""
        return self.open and bool(self.live)


def number_of(client: int, position: int, attempt: int) -> int:
    """The number of a question, by which its answer is known."""
    return (client * MOST_TRIES + position) * MOST_TRIES + attempt + 1


def asked_by(number: int) -> tuple[int, int, int]:
    """Client, operation and try of a question's number."""
    rest, attempt = divmod(number - 1, MOST_TRIES)
    return (*divmod(rest, MOST_TRIES), attempt)


def told(client: Client, ask: Ask, attempt: int, answer: Message) -> tuple[Client, int | None, Any]:
    """The client after an answer; how its operation ended, if it did; and with what value."""
    live = tuple(waiting for waiting in client.live if waiting[0] != attempt)
    if not isinstance(answer, Failure):
        return client._replace(open=False, live=(), doubt=False), OK, _value(answer)
    is_certain = answer.code in ERRORS and ERRORS[answer.code].certain
    if is_certain and not live and (not client.doubt or isinstance(ask.operation, Read)):
        return client._replace(open=False, live=(), doubt=False), FAIL, None
    return client._replace(live=live, doubt=client.doubt or not is_certain), None, None


def _value(answer: Message) -> Any:
    if isinstance(answer, Found):
        return answer.value
    if isinstance(answer, Page):
        return tuple((item.key, item.value) for item in answer.items)
    return None


def canonical(seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """The same for all orders that no judge tells apart: beginnings in a row are sorted, and so are ends."""
    found: list[Seen] = []
    row: list[Seen] = []
    for line in seen:
        if row and (row[0][0] == INVOKED) != (line[0] == INVOKED):
            found += sorted(row, key=_place)
            row = []
        row.append(line)
    return (*found, *sorted(row, key=_place))


def _place(line: Seen) -> tuple[int, int, int]:
    return line[:3]


def history_of(seen: Iterable[Seen], asks: Sequence[Sequence[Ask]], past: Past | None = None) -> History:
    """What the clients saw, as judges read it; a client in doubt goes on as another process."""
    recorder = Recorder()
    process = processes(past, len(asks))
    first = first_process(past)
    begins_ns = 0
    token: Callable[[Any], Any] = _as_it_is
    if past is not None:
        begins_ns, token = past.moment_ns, _token
        for event in past.events:
            if event.type == "invoke":
                recorder.invoke(event.process, event.time_ns, event.op, event.key, event.value, event.expected)
            else:
                recorder.complete(event.process, event.time_ns, event.type, event.value)
    for time_ns, (what, client, position, value) in enumerate(seen, begins_ns + 1):
        if what != INVOKED:
            recorder.complete(process[client], time_ns, _OUTCOMES[what], token(value))
            if what == INFO:
                process[client] = max(process[client], first + client) + len(asks)
            continue
        operation = asks[client][position].operation
        name: Any = str(operation.__struct_config__.tag)
        if isinstance(operation, Scan):
            continue  # no judge here reads scans; the answer has no invocation then
        expected = operation.expected if isinstance(operation, CompareAndSet) else None
        written = token(getattr(operation, "value", None))
        recorder.invoke(process[client], time_ns, name, operation.key, written, token(expected))
    return recorder.history


def _as_it_is(value: Any) -> Any:
    return value


def _token(value: Any) -> Any:
    """What a workload's value is in a history."""
    return token_of(value) if isinstance(value, bytes) else value


def first_process(past: Past | None) -> int:
    """The first process that the past does not know."""
    if past is None:
        return 0
    return 1 + max([*(each.process for each in past.opens), *(event.process for event in past.events)], default=-1)


def processes(past: Past | None, clients: int) -> list[int]:
    """Which process each client is at first: those who were in the middle of something go on as who they were."""
    known = [each.process for each in past.opens] if past is not None else []
    first = first_process(past)
    return [*known, *range(first + len(known), first + clients)]


def client_of(process: int, past: Past | None, clients: int) -> int | None:
    """Which client this process is; None for one of the past alone."""
    first = first_process(past)
    if process >= first:
        return (process - first) % clients
    known = processes(past, clients)
    return known.index(process) if process in known else None
