"""A sweep's runs on a Dask cluster (https://distributed.dask.org), by the extra `dask`; its workers need kvsim too."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import msgspec

from kvsim.core.settings import SettingsError
from kvsim.lab.runner import Answer, Task, perform

CONNECTING_S = 10
AHEAD = 2
"""Tasks under way for each of the cluster's threads: one that is done and one that waits beside it."""


class Dask:
    """Does tasks on a Dask cluster. Raises `SettingsError` where there is none, or no extra."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise SettingsError(["--on dask needs distributed; install it with: pip install 'kvsim[dask]'"]) from None
        self._distributed: Any = distributed
        try:
            self._client = self._distributed.Client(address, timeout=CONNECTING_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SettingsError(
                [f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler"]
            ) from None

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Answer], None, None]:
        """Each task with its answer, as they come."""
        waiting = iter(tasks)
        asked: dict[Any, Task] = {}
        completed = self._distributed.as_completed(loop=self._client.loop)
        try:
            threads = sum(self._client.nthreads().values())
            if not threads:
                raise SettingsError(["the Dask cluster has no workers; start one with: dask worker ADDRESS"])
            for task in _some(waiting, AHEAD * threads):
                self._ask(task, asked, completed)
            for future in completed:
                task = asked.pop(future.key)
                for following in _some(waiting, 1):
                    self._ask(following, asked, completed)
                yield task, _answer(future)
        finally:
            self._client.cancel(list(completed.futures))
            self._client.close()

    def _ask(self, task: Task, asked: dict[Any, Task], completed: Any) -> None:
        # `pure=False`: Dask may not know better than us that two tasks are the same.
        future = self._client.submit(perform_encoded, msgspec.msgpack.encode(task), pure=False)
        asked[future.key] = task
        completed.add(future)


def perform_encoded(task: bytes) -> bytes:
    """`perform` in a worker: bytes in, bytes out, so that Dask serialises none of our types."""
    return msgspec.msgpack.encode(perform(msgspec.msgpack.decode(task, type=Task)))


def _answer(future: Any) -> Answer:
    try:
        return msgspec.msgpack.decode(future.result(), type=Answer)
    except Exception as error:  # noqa: BLE001 - whatever befell the worker, the other runs go on
        return Answer(problem=f"its worker failed: {type(error).__name__}: {error}")


def _some(waiting: Any, most: int) -> list[Task]:
    return [task for _, task in zip(range(most), waiting, strict=False)]
