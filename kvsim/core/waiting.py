"""What a coroutine of a node may await: futures, acknowledgements and locks, with no event loop behind them.

A world feeds a node one input at a time; whatever that input completes is resumed from the node's own queue,
in the order of completion, before the world goes on. So no code of a node ever runs inside another's.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from kvsim.core.message import Failure, Message, NodeId

T = TypeVar("T")


class Future(Generic[T]):
    """A value that will be there later. Completed or failed once; whoever comes second is ignored."""

    __slots__ = ("_waiters", "done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: T | None = None
        self.error: Exception | None = None
        self._waiters: tuple[Callable[[Future[T]], None], ...] = ()  # mostly one, and often none

    def complete(self, value: T) -> None:
        """Give the value to all who wait."""
        if not self.done:
            self.value = value
            self._finish()

    def fail(self, error: Exception) -> None:
        """Raise the error in all who wait."""
        if not self.done:
            self.error = error
            self._finish()

    def when_done(self, call: Callable[[Future[T]], None]) -> None:
        """Call back on completion, at once if that has been."""
        if self.done:
            call(self)
        else:
            self._waiters = (*self._waiters, call)

    def _finish(self) -> None:
        self.done = True
        waiters, self._waiters = self._waiters, ()
        for call in waiters:
            call(self)

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self.done:
            yield self
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


_NOTHING: Future[Any] = Future()
_NOTHING.complete(None)


def completed(value: T) -> Future[T]:
    """A future that is done already."""
    if value is None:
        return _NOTHING  # nothing about it can change, so one serves all
    future: Future[T] = Future()
    future.complete(value)
    return future


class Acks(Future[dict[NodeId, Message]]):
    """Waits for the answers of `need` different senders out of `asked`, and gives them in the order of arrival.

    Completes with fewer when it is closed (a deadline), or when so many refused that `need` is out of reach.
    Counts senders, not answers: one replica that answers twice is one copy. Answers that come later go to `late`.
    """

    __slots__ = ("answers", "asked", "late", "need", "refused")

    def __init__(self, need: int, asked: int, late: Callable[[NodeId, Message], None] | None = None) -> None:
        super().__init__()
        self.late = late
        self.need = need
        self.asked = asked
        self.answers: dict[NodeId, Message] = {}
        self.refused: dict[NodeId, Failure] = {}
        if need <= 0 or need > asked:
            self.close()

    def add(self, sender: NodeId, answer: Message) -> None:
        """Count an answer; the continuation for `ask`."""
        if self.done:
            if self.late is not None:
                self.late(sender, answer)
        elif isinstance(answer, Failure):
            self.refused[sender] = answer
            if self.asked - len(self.refused) < self.need:
                self.close()
        else:
            self.answers[sender] = answer
            if len(self.answers) >= self.need:
                self.close()

    def close(self) -> None:
        """Complete with what has come so far."""
        self.complete(self.answers)


class Lock:
    """Mutual exclusion between coroutines of one node, first come, first served: `async with lock: …`."""

    __slots__ = ("_held", "_queue")

    def __init__(self) -> None:
        self._held = False
        self._queue: deque[Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._held:
            turn: Future[None] = Future()
            self._queue.append(turn)
            await turn  # the holder passes the lock on without opening it
        self._held = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._queue:
            self._queue.popleft().complete(None)
        else:
            self._held = False

    @property
    def free(self) -> bool:
        """Whether nobody holds it."""
        return not self._held


class Task(Future[Any]):
    """A coroutine on its way; completes with what the coroutine returns or raises."""

    __slots__ = ("_coroutine", "_scope")

    def __init__(self, scope: Scope, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self._scope = scope
        self._coroutine = coroutine

    def step(self) -> None:
        """Run until the coroutine waits or ends."""
        try:
            waited: Future[Any] = self._coroutine.send(None)
        except StopIteration as stop:
            self._scope.forget(self)
            self.complete(stop.value)
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it, or else the world does
            self._scope.forget(self)
            if not self._waiters:
                self._scope.failed(error)
            self.fail(error)
        else:
            self.wait_for(waited)

    def wait_for(self, waited: Future[Any]) -> None:
        """Go on when this is done; never, if the step just made has stopped the node."""
        if self._scope.closed:
            self._coroutine.close()
        else:
            waited.when_done(self.wake)

    def wake(self, _: Future[Any]) -> None:
        """Queue the next step."""
        if not self._scope.closed:
            self._scope.ready.append(self)

    def close(self) -> None:
        """End the coroutine where it stands; one that is running, since it stopped its own node, ends at its next
        wait."""
        if inspect.getcoroutinestate(self._coroutine) != inspect.CORO_RUNNING:
            self._coroutine.close()


class Scope:
    """All coroutines of one node. They die with it: after `close` nothing runs any more.

    `failed` receives an exception that nobody awaits: a defect in the node's code, which the world reports.
    """

    __slots__ = ("_tasks", "closed", "failed", "ready")

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self.failed = failed
        self.ready: deque[Task] = deque()
        self.closed = False
        self._tasks: dict[Task, None] = {}

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Task:
        """Start a coroutine; it runs at once up to its first wait."""
        task = Task(self, work)
        self.begin(task)
        return task

    def begin(self, task: Task) -> None:
        """Take charge of a task and run it up to its first wait."""
        if self.closed:
            task.close()
        else:
            self._tasks[task] = None
            task.step()

    def adopt(self, task: Task, waited: Future[Any]) -> None:
        """Take charge of a task whose coroutine has run up to its first wait."""
        self._tasks[task] = None
        task.wait_for(waited)

    def forget(self, task: Task) -> None:
        """The task has ended."""
        self._tasks.pop(task, None)

    def run_ready(self) -> None:
        """Resume all whose wait is over, and those whom they wake; a world calls this after each input."""
        ready = self.ready
        while ready:
            ready.popleft().step()

    def close(self) -> None:
        """Close every coroutine. The world has made the host inert before, so no `finally` reaches outside."""
        self.closed = True
        self.ready.clear()
        for task in list(self._tasks):
            task.close()
        self._tasks.clear()
        self.ready.clear()
