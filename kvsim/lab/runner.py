"""How a sweep has its runs made: each is a task, and a runner has tasks done somewhere, in whatever order suits it.

A task is plain data and is done anew from nothing, so that the same task gives the same bytes wherever it is done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from io import BytesIO
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from kvsim.core.settings import SettingsError
from kvsim.lab.experiment import read_setup
from kvsim.lab.outcome import outcome_of
from kvsim.lab.run import Progress, simulate

PARTING_S = 5.0
"""How long a process may take to end before it is killed."""


class Task(msgspec.Struct, frozen=True):
    """One run to be made: all that decides it."""

    path: str
    """The experiment's file: its folder is where files that the setup names are."""
    where: tuple[tuple[str, str], ...]
    tables: dict[str, Any]
    """The setup, as written."""
    seed: int
    measures: tuple[str, ...] = ()
    traced: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came of a task."""

    outcome: bytes = b""
    """An encoded `Outcome`; empty if there is none."""
    problem: str = ""
    """Why there is none."""


class Runner(Protocol):
    """Has tasks done. Tasks are taken from `tasks` when there is somebody to do them."""

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Answer], None, None]:
        """Each task with its answer, as they come. Closing the iterator stops what is under way."""
        ...


def perform(task: Task, progress: Progress | None = None) -> Answer:
    """Do a task in this process. A run that fails is an answer too."""
    try:
        setup = read_setup(task.where, task.tables, Path(task.path))
        trace = BytesIO() if task.traced else None
        run = simulate(setup, task.seed, task.measures, trace, progress)
        return Answer(outcome_of(run, None if trace is None else trace.getvalue()).encode())
    except SettingsError as error:
        return Answer(problem="; ".join(error.problems))
    except Exception as error:  # noqa: BLE001 - one run's defect must not lose the others
        return Answer(problem=f"{type(error).__name__}: {error}")


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection

    def give(self, task: Task) -> None:
        self.connection.send_bytes(msgspec.msgpack.encode(task))

    def take(self) -> Answer:
        """Raises EOFError or OSError if the process is gone."""
        return msgspec.msgpack.decode(self.connection.recv_bytes(), type=Answer)

    def end(self) -> None:
        self.process.terminate()
        self.process.join(PARTING_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


class Processes:
    """Does tasks in processes of this machine, one at a time in each.

    A process that dies loses the task that it had; another takes its place. Processes end when this one does, even by
    kill -9: they see their connection close, at the latest when they would answer.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._context = multiprocessing.get_context("spawn")  # a fork would copy whatever threads hold

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Answer], None, None]:
        """Each task with its answer, as they come."""
        waiting = iter(tasks)
        busy: dict[Any, tuple[_Worker, Task]] = {}
        try:
            for _ in range(self.jobs):
                self._give_next(None, waiting, busy)
            while busy:
                for connection in wait(list(busy)):
                    worker, task = busy.pop(connection)
                    free: _Worker | None = worker
                    try:
                        answer = worker.take()
                    except (EOFError, OSError):
                        worker.end()
                        free = None
                        answer = Answer(problem=f"its process ended ({_ending(worker.process.exitcode)})")
                    self._give_next(free, waiting, busy)
                    yield task, answer
        finally:
            for worker, _ in busy.values():
                worker.end()

    def _give_next(
        self, worker: _Worker | None, waiting: Iterator[Task], busy: dict[Any, tuple[_Worker, Task]]
    ) -> None:
        task = next(waiting, None)
        if task is None:
            if worker is not None:
                worker.end()
            return
        worker = worker or self._start()
        busy[worker.connection] = worker, task
        try:
            worker.give(task)
        except OSError:
            pass  # it is gone, which taking its answer will tell

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, os.getpid()), daemon=True)
        # A blocked signal stays blocked in the new process: Ctrl-C is for this one, which then ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours)


def _work(connection: Connection, parent: int) -> None:
    """Do tasks until nobody gives any."""

    def look_for_parent(_: float) -> None:
        if os.getppid() != parent:
            os._exit(1)

    try:
        while True:
            task = msgspec.msgpack.decode(connection.recv_bytes(), type=Task)
            connection.send_bytes(msgspec.msgpack.encode(perform(task, look_for_parent)))
    except (EOFError, OSError):
        return


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}; if memory ran out, use fewer --jobs"
    return f"with exit code {code}"
