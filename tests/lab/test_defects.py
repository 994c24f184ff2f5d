"""A defect in a student's code is told with its line, and once."""

import pytest

from kvsim.core.settings import duration_ns
from kvsim.lab.defects import alike_together, told


def _divide(by: int) -> float:
    return 1 / by


def test_a_defect_names_the_line_of_ones_own_file() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _divide(0)
    line = _divide.__code__.co_firstlineno + 1
    assert told("data-2", caught.value) == f"data-2: {caught.value!r} (test_defects.py, line {line}, in _divide)"


def test_a_defect_inside_kvsim_names_ones_own_line_that_led_there() -> None:
    with pytest.raises(ValueError, match="nonsense") as caught:
        duration_ns("nonsense")
    assert "(test_defects.py, line " in told("data-0", caught.value)


def test_sentences_that_say_the_same_are_told_once() -> None:
    said = [("data-0", "broke"), ("data-1", "broke"), ("data-1", "fell")]
    assert alike_together(said) == ["data-0: broke (and 1 more like it)", "data-1: fell"]
