"""Node: a stack of components behind one address, which gives each message to the component that handles it.

A handler is a method marked `@answers(Kind)`, whose result goes back to the asker, or `@receives(Kind)`, which answers
nothing.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec

from kvsim.core.host import Host, Recovered, Timer
from kvsim.core.message import Channel, Envelope, Failure, Message, Nanoseconds, NodeId
from kvsim.core.operation import NoAnswer, OperationError, error_from
from kvsim.core.recent import forget_oldest
from kvsim.core.waiting import Future, Scope, Task

Handler = TypeVar("Handler", bound=Callable[..., Any])
Way = Callable[[Callable[..., Any], NodeId, Message, int], None]
"""How a handler is called, and what happens with what it returns."""
Continuation = Callable[[NodeId, Message], None]

ASKS_KEPT = 65_536
"""Questions that may be open at one node; the oldest are given up first."""


class View(msgspec.Struct, frozen=True):
    """Who belongs to the cluster's ServerData, and who of them seems dead to this node."""

    epoch: int
    members: tuple[NodeId, ...]
    down: tuple[NodeId, ...] = ()

    def is_alive(self, node: NodeId) -> bool:
        """Whether the node is not suspected."""
        return node not in self.down


def answers(kind: type[Message]) -> Callable[[Handler], Handler]:
    """Mark a handler, `def` or `async def`, whose result is sent back to the asker; an `OperationError` goes back as
    `Failure`."""
    return _mark(kind, True)


def receives(kind: type[Message]) -> Callable[[Handler], Handler]:
    """Mark a handler, `def` or `async def`, of messages that want no answer."""
    return _mark(kind, False)


def _mark(kind: type[Message], answering: bool) -> Callable[[Handler], Handler]:
    def mark(method: Handler) -> Handler:
        method.handles = (kind, answering)  # type: ignore[attr-defined]
        return method

    return mark


class Component:
    """A part of a node that handles some kinds of messages. `attach` gives it the node before anything else happens."""

    node: Node
    host: Host
    view: View

    def attach(self, node: Node) -> None:
        """Belong to this node."""
        self.node, self.host, self.view = node, node.host, node.view
        self.ask, self.tell = node.ask, node.tell

    ask: Callable[..., int]
    """`ask(to, message, then, channel=STREAM)`: send, and call `then(sender, answer)` when the answer comes; a
    refusal, or a stream that breaks before, comes as `Failure`."""
    tell: Callable[..., None]
    """`tell(to, message, channel=STREAM)`: send, and want no answer."""

    async def call(self, to: NodeId, message: Message, timeout_ns: Nanoseconds) -> Message:
        """Send and wait for the answer. Raises what the answerer raised, `NoAnswer` when none comes in time."""
        answer: Future[Message] = Future()
        number = self.ask(to, message, lambda _, got: answer.complete(got))
        late = NoAnswer(f"no answer from {to} within {timeout_ns / 1e9:g} s")
        deadline = self.host.after(timeout_ns, lambda: answer.fail(late))
        try:
            got = await answer
        finally:
            deadline.cancel()
            self.node.forget(number)
        if isinstance(got, Failure):
            raise error_from(got)
        return got

    def pause(self, delay_ns: Nanoseconds) -> Future[None]:
        """Something to await that is done after this time."""
        over: Future[None] = Future()
        self.host.after(delay_ns, lambda: over.complete(None))
        return over

    def every(self, interval_ns: Nanoseconds, call: Callable[[], None]) -> None:
        """Call again and again; the first time after one interval."""

        def again() -> None:
            self.timers[call] = self.host.after(interval_ns, again)
            call()

        self.timers[call] = self.host.after(interval_ns, again)

    @property
    def timers(self) -> dict[Callable[[], None], Timer]:
        """The running repetitions of this component."""
        return self.node.repetitions

    def start(self, recovered: Recovered) -> None:
        """Begin, with what the disk kept."""

    def on_view(self, old: View, new: View) -> None:
        """Membership has changed; called in the order of the node's components."""
        self.view = new

    def on_peer_lost(self, peer: NodeId) -> None:
        """The stream to this peer broke."""

    def status(self) -> dict[str, str]:
        """What a person may want to know of it now: `term`, `view` …; its `role_name` is shown beside it."""
        return {}

    def held_bytes(self) -> int:
        """How many bytes of data it keeps in memory, where it counts them."""
        return 0

    def stop(self) -> None:
        """End in good order."""


class _Answering(Task):
    """An asynchronous handler on its way; what it returns is the answer."""

    __slots__ = ("_asker", "_node", "_number")

    def __init__(self, node: Node, asker: NodeId, number: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__(node.scope, coroutine)
        self._node, self._asker, self._number = node, asker, number

    def step(self) -> None:
        try:
            waited: Future[Any] = self._coroutine.send(None)
        except StopIteration as stop:
            self._scope.forget(self)
            self._node.reply(self._asker, self._number, stop.value)
        except OperationError as error:
            self._scope.forget(self)
            self._node.reply(self._asker, self._number, error.as_failure())
        except Exception as error:  # noqa: BLE001 - a defect in a handler: the world reports it
            self._scope.forget(self)
            self._scope.failed(error)
        else:
            self.wait_for(waited)


class Node:
    """Implements `Program`: what a world drives.

    `scope` is where its coroutines live; the world resumes them after each input.
    """

    def __init__(self, host: Host, scope: Scope, view: View, components: Sequence[Component]) -> None:
        self.host = host
        self.scope = scope
        self.view = view
        self.components = tuple(components)
        self.repetitions: dict[Callable[[], None], Timer] = {}
        self._new_views: deque[View] = deque()
        self._send = host.send
        self._number = 0
        self._asked: dict[int, tuple[NodeId, Continuation]] = {}
        self._handlers: dict[type[Message], tuple[Way, Callable[..., Any]]] = {}
        for component in self.components:
            component.attach(self)
            for kind, name, answering, asynchronous in _handlers_of(type(component)):  # type: ignore[arg-type]  # a class has a hash
                assert kind not in self._handlers, f"two components of {host.id} handle {kind.__name__}"
                self._handlers[kind] = (self._way(answering, asynchronous), getattr(component, name))

    def start(self, recovered: Recovered) -> None:
        """Begin; numbers continue where no earlier life of this node has been."""
        self._number = recovered.incarnation << 32
        for component in self.components:
            component.start(recovered)

    def deliver(self, sender: NodeId, envelope: Envelope[Any]) -> None:
        """Give a message to its handler, or an answer to who waits for it."""
        message = envelope.message
        if envelope.answers:
            asked = self._asked.pop(envelope.answers, None)
            if asked is not None:  # else it came too late, or twice
                asked[1](sender, message)
            return
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler[0](handler[1], sender, message, envelope.request)
        elif envelope.request:
            detail = f"{self.host.id} does not take {type(message).__name__}"
            self.reply(sender, envelope.request, Failure("not_served", detail))

    def _way(self, answering: bool, asynchronous: bool) -> Way:
        if asynchronous:
            return self._answer_later if answering else self._begin
        return self._answer if answering else self._tell

    def _answer_later(self, handler: Callable[..., Any], asker: NodeId, message: Message, number: int) -> None:
        """Let a coroutine answer. Most need not wait for anything, so it becomes a task only at its first wait."""
        work = handler(asker, message)
        try:
            waited: Future[Any] = work.send(None)
        except StopIteration as stop:
            if number:  # as in `reply`, without the call
                send = self._send
                send(asker, Envelope(stop.value, 0, number))
        except OperationError as error:
            self.reply(asker, number, error.as_failure())
        except Exception as error:  # noqa: BLE001 - a defect in a handler: the world reports it
            self.scope.failed(error)
        else:
            self.scope.adopt(_Answering(self, asker, number, work), waited)

    def _answer(self, handler: Callable[..., Any], asker: NodeId, message: Message, number: int) -> None:
        try:
            answer = handler(asker, message)
        except OperationError as error:
            answer = error.as_failure()
        self.reply(asker, number, answer)

    def _begin(self, handler: Callable[..., Any], sender: NodeId, message: Message, number: int) -> None:
        self.scope.begin(Task(self.scope, handler(sender, message)))

    def _tell(self, handler: Callable[..., Any], sender: NodeId, message: Message, number: int) -> None:
        handler(sender, message)

    def reply(self, asker: NodeId, number: int, answer: Message) -> None:
        """Answer a question, if an answer is wanted."""
        if number:
            self._send(asker, Envelope(answer, 0, number))

    def ask(self, to: NodeId, message: Message, then: Continuation, channel: Channel = Channel.STREAM) -> int:
        """Send, and call `then(sender, answer)` when the answer comes. Gives the number, for `forget`."""
        self._number = number = self._number + 1
        self._asked[number] = (to, then)
        if len(self._asked) > ASKS_KEPT:
            forget_oldest(self._asked)
        send = self._send
        send(to, Envelope(message, number), channel)
        return number

    def tell(self, to: NodeId, message: Message, channel: Channel = Channel.STREAM) -> None:
        """Send, and want no answer."""
        self._send(to, Envelope(message), channel)

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._asked.pop(number, None)

    def peer_lost(self, peer: NodeId) -> None:
        """Questions to this peer are answered by a failure of unknown outcome: it may have acted on them."""
        lost = [(number, then) for number, (to, then) in self._asked.items() if to == peer]
        for number, then in lost:
            if self._asked.pop(number, None) is not None:
                then(peer, Failure("outcome_unknown", f"the connection to {peer} broke"))
        for component in self.components:
            component.on_peer_lost(peer)

    def change_view(self, new: View) -> None:
        """Tell all components, in their order, that membership has changed; a view that one of them answers with is
        told when all have heard of this one."""
        self._new_views.append(new)
        if len(self._new_views) > 1:
            return
        while self._new_views:
            old, self.view = self.view, self._new_views[0]
            for component in self.components:
                component.on_view(old, self.view)
            self._new_views.popleft()

    def stop(self) -> None:
        """End in good order."""
        for component in self.components:
            component.stop()

    def held_bytes(self) -> int:
        """How many bytes of data its components keep in memory."""
        return sum(component.held_bytes() for component in self.components)

    def kinds(self) -> tuple[type[Message], ...]:
        """The kinds of messages that this node handles."""
        return tuple(self._handlers)


@cache
def _handlers_of(kind: type[Any]) -> tuple[tuple[type[Message], str, bool, bool], ...]:
    """What a kind of component handles: message, method, whether it answers and whether it waits; looked up once, as
    explored worlds start nodes by the thousand."""
    found: dict[str, tuple[type[Message], str, bool, bool]] = {}
    for owner in kind.__mro__:
        for name, member in vars(owner).items():
            handles = getattr(member, "handles", None)
            if handles is not None and name not in found:
                asynchronous = inspect.iscoroutinefunction(getattr(kind, name))
                found[name] = (handles[0], name, handles[1], asynchronous)
    return tuple(found.values())
