"""The clients of a run: they load the keys, drive the workload in a closed or open loop, and read all at the end.

What they ask and are told goes into the history. A client whose operation timed out goes on as a new process, since the
old one's operation may still take effect. With `retries` it sends an operation again under its number, as the client
library does; that is one operation of the history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kvsim.core.chance import Chance
from kvsim.core.history import Event, OperationName, Outcome, Recorder
from kvsim.core.message import MILLISECOND, SECOND, Failure, Nanoseconds
from kvsim.core.operation import ERRORS, AnyOperation, AnyResult, CompareAndSet, Found, Key, Page, Scan
from kvsim.workload.driver import Driver
from kvsim.workload.settings import Scripted, Workload, retry_pause_ns
from kvsim.workload.source import KeySpace, Source, Step, key_name, token_of

HELPERS = 8
"""Clients that load, and that read at the end."""
LOADING_LIMIT_NS = 60 * SECOND
"""A store that is not loaded by then is measured as it is, and the report says so."""
LOADING_PAUSE_NS = 20 * MILLISECOND
FINAL_READ_TRIES = 20
FINAL_READ_PAUSE_NS = 100 * MILLISECOND
OPEN_LIMIT = 20_000
"""Operations that an open loop has under way. More wait; their latency counts from when they should have begun."""

NAMES: dict[str, OperationName] = {
    "create": "create", "read": "read", "update": "update", "put": "put", "delete": "delete", "remove": "remove",
    "cas": "cas", "scan": "scan",
}  # fmt: skip
"""What the history calls an operation, by its tag."""

Ended = Callable[[Outcome, AnyResult | None], None]


class Told:
    """What clients were told beyond the history, by the index of the invocation."""

    def __init__(self) -> None:
        self.errors: dict[int, str] = {}
        """The code of the error of each operation that did not go well; `timeout` where no answer came."""
        self.intended_ns: dict[int, Nanoseconds] = {}
        """When an operation of an open loop should have begun, where that was earlier than it did."""


class Client:
    """One client: at most one operation open at a time."""

    def __init__(self, clients: Clients, name: str) -> None:
        self.clients = clients
        self.name = name
        self.source = Source(clients.settings, clients.chance.stream(name), clients.keys, name)
        self.process = clients.new_process()
        self._turn = self.process

    def perform(
        self, operation: AnyOperation, ended: Ended, intended_ns: Nanoseconds | None = None, door: str = ""
    ) -> None:
        """Do one operation, at this door if there is such a one, and call `ended` with its outcome."""
        clients, driver = self.clients, self.clients.driver
        process, door = self.process, self._door(door)
        index = clients.recorder.invoke(process, driver.now(), *_asked(operation))
        if clients.heard is not None:
            clients.heard(self.name, clients.recorder.history.events[-1])
        if intended_ns is not None and intended_ns != driver.now():
            clients.told.intended_ns[index] = intended_ns
        if clients.sent is not None:
            clients.sent[index] = self.name, door
        clients.open += 1

        def finish(outcome: Outcome, result: AnyResult | None, error: str) -> None:
            if error:
                clients.told.errors[index] = error
            if outcome == "info":
                self.process = clients.new_process()
            clients.recorder.complete(process, driver.now(), outcome, _answer(result))
            if clients.heard is not None:
                clients.heard(self.name, clients.recorder.history.events[-1])
            clients.open -= 1
            ended(outcome, result)

        _Asking(self, operation, door, finish).send()

    def _door(self, wanted: str) -> str:
        """The door that is wanted, or else the doors in turn, each client beginning at another one."""
        doors = self.clients.driver.doors()
        if wanted in doors:
            return wanted
        self._turn += 1
        return doors[self._turn % len(doors)]


class _Asking:
    """One operation on its way: sent, and sent again while that may help.

    Once one sending may have reached the store, a later failure does not show that the operation never happened.
    """

    def __init__(
        self,
        client: Client,
        operation: AnyOperation,
        door: str,
        finish: Callable[[Outcome, AnyResult | None, str], None],
    ) -> None:
        self.client, self.operation, self.door, self.finish = client, operation, door, finish
        self.settings, self.driver = client.clients.settings, client.clients.driver
        self.sent = 0
        self.unknown = ""
        """The error of the last sending that may have reached the store."""

    def send(self) -> None:
        """Send it, once more or for the first time."""
        self.sent += 1
        self.deadline = self.driver.after(self.settings.timeout_ns, self._late)
        self.forget = self.driver.perform(self.client.name, self.door, self.operation, self._answered)

    def _late(self) -> None:
        self.forget()
        self._failed("timeout", certain=False, retryable=True)

    def _answered(self, answer: AnyResult | Failure) -> None:
        self.deadline.cancel()
        if not isinstance(answer, Failure):
            self.finish("ok", answer, "")
            return
        known = ERRORS.get(answer.code)
        self._failed(
            answer.code, certain=known is not None and known.certain, retryable=known is None or known.retryable
        )

    def _failed(self, error: str, *, certain: bool, retryable: bool) -> None:
        if not certain:
            self.unknown = error
        if retryable and self.sent <= self.settings.retries:
            if self.settings.retry_at == "next":
                doors = self.driver.doors()
                self.door = doors[(doors.index(self.door) + 1) % len(doors)]
            self.driver.after(retry_pause_ns(self.sent - 1), self.send)
        else:
            self.finish("info" if self.unknown else "fail", None, self.unknown or error)


class Clients:
    """All clients of one run, phase after phase."""

    def __init__(self, driver: Driver, settings: Workload, chance: Chance) -> None:
        self.driver, self.settings, self.chance = driver, settings, chance
        self.recorder = Recorder()
        self.told = Told()
        self.keys = KeySpace(settings)
        self.not_loaded = 0
        self.sent: dict[int, tuple[str, str]] | None = None
        """Where somebody wants to know: the client and the door of each operation, by the index of its invocation."""
        self.heard: Callable[[str, Event], None] | None = None
        """Told each event of the history as it happens, with the client's name."""
        self.open = 0
        """Operations under way."""
        self.stopped = False
        self._processes = -1
        self._written: dict[Key, None] = {}
        self._waiting: deque[tuple[Step, Nanoseconds]] = deque()
        self._idle: list[Client] = []
        self._made = 0
        self._readers: list[Client] = []

    def new_process(self) -> int:
        """A process number that no history has seen."""
        self._processes += 1
        return self._processes

    # Loading

    def load(self, loaded: Callable[[], None], helper: str = "loader") -> None:
        """Put every key once, trying again while the store refuses; then call `loaded`. `helper` names the clients, and
        so their values: whoever loads a second time needs other ones."""
        left = iter([key_name(number) for number in self.keys.present])
        until_ns = self.driver.now() + LOADING_LIMIT_NS
        at_work = [Client(self, f"{helper}-{number}") for number in range(1, HELPERS + 1)]
        for client in list(at_work):
            self._load_next(client, left, until_ns, at_work, loaded)

    def _load_next(
        self, client: Client, left: Iterator[Key], until_ns: int, at_work: list[Client], loaded: Callable[[], None]
    ) -> None:
        key = next(left, None)
        if key is None:
            at_work.remove(client)
            if not at_work:
                loaded()
            return

        def ended(outcome: Outcome, _: AnyResult | None) -> None:
            if outcome == "ok":
                self._written[key] = None
            elif self.driver.now() < until_ns:
                self.driver.after(LOADING_PAUSE_NS, attempt)
                return
            else:
                self.not_loaded += 1
            self._load_next(client, left, until_ns, at_work, loaded)

        def attempt() -> None:
            client.perform(client.source.put(key), ended)

        attempt()

    # The workload

    def begin(self) -> None:
        """Start the workload; it goes on until `stop`."""
        if self.settings.script is not None:
            self._begin_script(self.settings.script)
            return
        if self.settings.open_loop:
            arrivals = Source(self.settings, self.chance.stream("open-loop"), self.keys, "open-0")
            self._next_arrival(arrivals, self.chance.stream("arrivals"))
            return
        for number in range(1, self.settings.client_count + 1):
            client = Client(self, f"client-{number}")
            self._pause(client, self.chance.stream(f"thinking/{client.name}"))

    def _begin_script(self, script: Iterable[Scripted]) -> None:
        start_ns = self.driver.now()
        steps: dict[str, deque[Scripted]] = {}
        for step in sorted(script, key=lambda step: step.at_ns):
            steps.setdefault(step.client, deque()).append(step)
        for name in sorted(steps, key=lambda name: (len(name), name)):
            self._follow(Client(self, name), steps[name], start_ns)

    def _follow(self, client: Client, steps: deque[Scripted], start_ns: Nanoseconds) -> None:
        """Do the next operation of a client's script when its time has come."""
        if not steps:
            return

        def begin() -> None:
            if self.stopped:
                return
            step = steps.popleft()
            operation = client.source.scripted(step)
            self._note_write(operation)
            client.perform(operation, lambda outcome, result: self._follow(client, steps, start_ns), door=step.door)

        wait_ns = start_ns + steps[0].at_ns - self.driver.now()
        if wait_ns > 0:
            self.driver.after(wait_ns, begin)
        else:
            begin()

    def stop(self) -> None:
        """Begin no more operations. Those under way end by an answer or by their timeout."""
        self.stopped = True
        self._waiting.clear()

    def _pause(self, client: Client, thinking: Chance) -> None:
        mean = self.settings.think_time_ns
        if mean:
            self.driver.after(round(thinking.exponential(mean)), lambda: self._go_on(client, thinking))
        else:
            self._go_on(client, thinking)

    def _go_on(self, client: Client, thinking: Chance) -> None:
        if self.stopped:
            return

        def ended(outcome: Outcome) -> None:
            pause = self.settings.pause_after_failure_ns if outcome != "ok" else 0
            if pause:
                self.driver.after(pause, lambda: self._pause(client, thinking))
            else:
                self._pause(client, thinking)

        self._do(client, client.source.next(), ended)

    def _next_arrival(self, arrivals: Source, chance: Chance) -> None:
        assert self.settings.rate is not None, "only an open loop has arrivals"
        delay_ns = round(chance.exponential(1e9 / self.settings.rate))
        due_ns = self.driver.now() + delay_ns

        def arrive() -> None:
            if self.stopped:
                return
            self._waiting.append((arrivals.next(), due_ns))
            self._serve_waiting()
            self._next_arrival(arrivals, chance)

        self.driver.after(delay_ns, arrive)

    def _serve_waiting(self) -> None:
        while self._waiting and self.open < OPEN_LIMIT:
            step, due_ns = self._waiting.popleft()
            client = self._idle.pop() if self._idle else self._new_client()

            def ended(_: Outcome, client: Client = client) -> None:
                self._idle.append(client)
                self._serve_waiting()

            self._do(client, step, ended, due_ns)

    def _new_client(self) -> Client:
        self._made += 1
        return Client(self, f"client-{self._made}")

    def _do(
        self, client: Client, step: Step, done: Callable[[Outcome], None], intended_ns: Nanoseconds | None = None
    ) -> None:
        """One step: an operation, and its second half where it has one."""

        def second(outcome: Outcome, _: AnyResult | None) -> None:
            done(outcome)

        def first(outcome: Outcome, result: AnyResult | None) -> None:
            if outcome == "ok" and step.inserts is not None:
                self.keys.present.append(step.inserts)
            if step.then is not None and outcome == "ok" and result is not None and not self.stopped:
                follow = step.then(result)
                self._note_write(follow)
                client.perform(follow, second)
            else:
                done(outcome)

        self._note_write(step.operation)
        client.perform(step.operation, first, intended_ns)

    def _note_write(self, operation: AnyOperation) -> None:
        tag = str(operation.__struct_config__.tag)
        if tag not in ("read", "scan") and not isinstance(operation, Scan):
            self._written.pop(operation.key, None)
            self._written[operation.key] = None

    # The end

    def read_all(self, done: Callable[[], None]) -> None:
        """Read each key that was written, those written last first and no more than `final_reads`; then call `done`."""
        keys = iter(list(self._written)[::-1][: self.settings.final_reads])
        if not self._readers:
            self._readers = [Client(self, f"reader-{number}") for number in range(1, HELPERS + 1)]
        at_work = list(self._readers)
        for client in self._readers:
            self._read_next(client, keys, at_work, done)

    def _read_next(self, client: Client, keys: Iterator[Key], at_work: list[Client], done: Callable[[], None]) -> None:
        key = next(keys, None)
        if key is None:
            at_work.remove(client)
            if not at_work:
                done()
            return
        tries = 0

        def ended(outcome: Outcome, _: AnyResult | None) -> None:
            if outcome != "ok" and tries < FINAL_READ_TRIES:
                self.driver.after(FINAL_READ_PAUSE_NS, attempt)
            else:
                self._read_next(client, keys, at_work, done)

        def attempt() -> None:
            nonlocal tries
            tries += 1
            client.perform(client.source.read(key), ended)

        attempt()


def _asked(operation: AnyOperation) -> tuple[OperationName, Key, Any, Any]:
    """An operation as the history's invocation: name, key, value, expected."""
    name = NAMES[str(operation.__struct_config__.tag)]
    if isinstance(operation, Scan):
        end = None if operation.end is None else operation.end.decode()
        return name, operation.start, {"end": end, "limit": operation.limit}, None
    value = getattr(operation, "value", None)
    expected = operation.expected if isinstance(operation, CompareAndSet) else None
    return (
        name,
        operation.key,
        None if value is None else token_of(value),
        None if expected is None else token_of(expected),
    )


def _answer(result: AnyResult | None) -> Any:
    """A result as the history's answer."""
    if isinstance(result, Found):
        return token_of(result.value)
    if isinstance(result, Page):
        return [[item.key.decode(), token_of(item.value).decode()] for item in result.items]
    return None
