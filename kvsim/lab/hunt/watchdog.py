"""A watchdog on a run: node code that never lets simulated time go on is stopped, with the place where it was."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

import kvsim
from kvsim.core.message import Nanoseconds

PATIENCE_S = 5.0
"""Simulated time that stands still for so much work of the CPU will never go on: no honest step of a node takes a
hundredth of it. It is the CPU's time that counts, so that a busy machine makes nobody look stuck."""
_HOME = str(Path(kvsim.__file__).parent)
_LOGIC = str(Path(_HOME, "strategies"))
OUTSIDE = "kvsim_outside_"
"""How the catalogue names the modules of users' files."""


class Stuck(BaseException):
    """Simulated time stood still; the message says in which line. No `except Exception` of a node may swallow it."""


@contextmanager
def watched(now: Callable[[], Nanoseconds]) -> Iterator[None]:
    """Raise `Stuck` in here when the time does not go on. Where there are no alarms (Windows, threads) nothing does."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    last_ns = -1

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal last_ns
        here_ns = now()
        if here_ns == last_ns:
            raise Stuck(f"time stands still at {here_ns / 1e9:.6f} s: {place_of_frame(frame) or 'no node is at work'}")
        last_ns = here_ns

    before = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def place_of_frame(frame: FrameType | None) -> str:
    """`mine.py, line 12, in store`: the innermost line of node logic on the stack; empty if there is none."""
    frames = []
    while frame is not None:
        frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return _place(frames)


def place_of_error(error: BaseException) -> str:
    """`mine.py, line 12, in store`: where an error arose."""
    frames: list[tuple[str, int, str]] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.insert(0, (code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return _place(frames)


def _place(frames: list[tuple[str, int, str]]) -> str:
    """Innermost first: a user's own line before a strategy of ours, and that before all else."""
    strangers = [
        getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name.startswith(OUTSIDE)
    ]
    outside = [f for f in frames if f[0] in strangers]
    ours = [f for f in frames if f[0].startswith(_LOGIC)]
    for file, line, function in (*outside, *ours):
        return f"{Path(file).name}, line {line}, in {function}"
    return ""
