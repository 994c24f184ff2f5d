"""Where node code is: the line in which it broke, or the one that it never leaves."""

from __future__ import annotations

import signal
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from kvsim.core.message import Message
from kvsim.core.node import Node

PATIENCE_S = 1.0
"""CPU time after which one input of a node counts as endless: no honest one takes a hundredth of it."""
_HOUSE = Path(__file__).parent.parent
_OURS = tuple(str(_HOUSE / room) for room in ("core", "explore"))
_NOT_A_STUDENTS = (str(_HOUSE), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
_STRATEGIES = str(_HOUSE / "strategies")


class Endless(Exception):
    """Node code that does not come back from an input."""


class _Caught(BaseException):
    """The same on its way out of the node, which must not take it for its own."""


@contextmanager
def not_for_ever() -> Iterator[None]:
    """Raise `Endless`, with the place, in what takes longer than patience lasts. Nothing where there are no alarms."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    place = ""

    def stop(_: int, frame: FrameType | None) -> None:
        nonlocal place
        place = _innermost(traceback.extract_stack(frame))
        raise _Caught

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    except _Caught:
        raise Endless(f"it never comes back from this input: {place}") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def place_of(error: BaseException) -> str:
    """` (mine.py, line 12, in store)`; empty where the error came from no line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({_innermost(frames)})" if frames else ""


def handler_of(node: Node | None, message: Message) -> str:
    """The place of the code that handles a message: `mine.py, line 12, in store`; empty where there is none."""
    for component in node.components if node is not None else ():
        for owner in type(component).__mro__:
            for name, member in vars(owner).items():
                if getattr(member, "handles", (None,))[0] is type(message):
                    code = member.__code__
                    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}, in {name}"
    return ""


def _innermost(frames: traceback.StackSummary) -> str:
    """The innermost line that is neither the seam's nor a world's; a user's own before a strategy of ours."""
    outside = [frame for frame in frames if not frame.filename.startswith(_NOT_A_STUDENTS)]
    ours = [frame for frame in frames if frame.filename.startswith(_STRATEGIES)]
    users = [frame for frame in outside if _is_below_the_seam(frames, frame)]
    frame = (users or ours or frames)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"


def _is_below_the_seam(frames: traceback.StackSummary, frame: traceback.FrameSummary) -> bool:
    """Whether it was called by a node, and did not call the world."""
    at = frames.index(frame)
    return any(other.filename.startswith(_OURS) for other in frames[:at])
