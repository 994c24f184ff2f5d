"""Every error has its row in the table, and says honestly whether the operation certainly did not happen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvsim.core.message import Failure
from kvsim.core.operation import (
    ERRORS,
    CompareAndSet,
    Create,
    Limits,
    NotServed,
    OperationError,
    OutcomeUnknown,
    Put,
    Read,
    RequestId,
    Scan,
    TooLarge,
    error_from,
)

R = RequestId("c", 1)


def all_errors(kind: type[OperationError] = OperationError) -> Iterator[type[OperationError]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("kvsim."):
            yield below
            yield from all_errors(below)


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    assert {error.code for error in all_errors()} == set(ERRORS)


@pytest.mark.parametrize("code", ERRORS)
def test_a_row_says_why_and_what_to_do_in_sentences(code: str) -> None:
    row = ERRORS[code]
    assert row.why.endswith(".")
    assert row.remedy.endswith(".")


@pytest.mark.parametrize("error", OperationError.__subclasses__(), ids=lambda error: error.code)
def test_an_error_survives_the_wire(error: type[OperationError]) -> None:
    again = error_from(error("a detail", "data-1").as_failure())
    assert type(again) is error
    assert (again.detail, again.hint, again.kind) == ("a detail", "data-1", ERRORS[error.code])


def test_an_error_that_is_not_known_here_leaves_the_outcome_unknown() -> None:
    """A newer node may know more; only what is understood to be certain may be called a failure."""
    assert isinstance(error_from(Failure("from_the_future", "?")), OutcomeUnknown)


def test_only_an_unknown_outcome_is_uncertain() -> None:
    assert [code for code, row in ERRORS.items() if not row.certain] == ["outcome_unknown"]


def test_limits_are_kept_for_keys_and_values_and_name_the_setting() -> None:
    limits = Limits(key_bytes=3, value_bytes=4)
    for within in (
        Put(R, b"key", b"1234"),
        Read(R, b"key"),
        CompareAndSet(R, b"key", b"1234", b"any length"),
        Scan(R, b""),
    ):
        limits.check(within)
    with pytest.raises(TooLarge, match=r"the key has 4 bytes, the limit is 3; .*design\.limits\.key_bytes"):
        limits.check(Read(R, b"keys"))
    with pytest.raises(TooLarge, match=r"the value has 5 bytes, the limit is 4; .*design\.limits\.value_bytes"):
        limits.check(Create(R, b"key", b"12345"))
    with pytest.raises(TooLarge):
        limits.check(Scan(R, b"keys"))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_scan_of_nothing_is_refused(limit: int) -> None:
    with pytest.raises(NotServed, match="at least one key"):
        Limits().check(Scan(R, b"", None, limit))


def test_a_request_reads_as_client_and_number() -> None:
    assert str(RequestId("c1", 7)) == "c1/7"
