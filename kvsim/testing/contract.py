"""How a check of the conformance kit ends: in silence, or with the promise that is broken, how, and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NoReturn

from kvsim.core.settings import SettingsError
from kvsim.lab.hunt.watchdog import Stuck, place_of_error, watched
from kvsim.testing.by_hand import ByHand, ContractBroken
from kvsim.testing.subject import Subject

Check = Callable[[Subject], None]
"""Raises `ContractBroken` if the strategy breaks what the check's docstring says."""


def refuse(what: str, remedy: str) -> NoReturn:
    """Say what is wrong and what to do about it."""
    raise ContractBroken(f"{what}\n  remedy: {remedy}")


def played(check: Check) -> Check:
    """Mark a check that plays whole runs: those watch over themselves."""
    check.is_played = True  # type: ignore[attr-defined]
    return check


def run_check(check: Check, subject: Subject) -> None:
    """Put a strategy through one check. Raises `ContractBroken`, whatever the strategy's own code raised."""
    __tracebackhide__ = True
    problem = ""
    try:
        with nullcontext() if hasattr(check, "is_played") else watched(lambda: ByHand.steps):
            check(subject)
    except ContractBroken as broken:
        problem = str(broken)
    except SettingsError as error:
        problem = f"its design is refused: {error}\n  remedy: give the check a design that makes sense with it"
    except Stuck as stuck:
        place = str(stuck).partition(": ")[2]
        problem = f"it never comes back: {place}\n  remedy: await something, or end the loop"
    except Exception as error:
        place = place_of_error(error)
        if not place:
            raise  # not the strategy's doing
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        problem = f"it raises {said} at {place}\n  remedy: an operation that cannot be done raises an OperationError"
    if problem:
        promise = " ".join((check.__doc__ or check.__name__).split())
        raise ContractBroken(f"{subject.name} breaks the contract of {subject.axis}: {promise}\n  {problem}")
