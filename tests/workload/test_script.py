"""A workload given as its operations: what was drawn once can be played again, cut and edited."""

import pytest

from kvsim.core.settings import SettingsError, read_settings
from kvsim.workload.settings import Scripted, Workload


def test_a_script_is_read_with_units_and_says_what_is_wrong() -> None:
    step = {"client": "client-1", "at": "5ms", "op": "put", "key": "k", "value": "c1-1"}
    read = read_settings(Workload, {"script": [step]}, "file: workload")
    assert read.script == (Scripted("client-1", 5_000_000, "put", "k", "c1-1"),)
    assert read.refusals() == []
    with pytest.raises(SettingsError, match=r"script\[0\].op: unknown 'putt'; did you mean 'put'"):
        read_settings(Workload, {"script": [step | {"op": "putt"}]}, "file: workload")
    with pytest.raises(SettingsError, match=r"script\[0\].client"):
        read_settings(Workload, {"script": [step | {"client": "loader-1"}]}, "file: workload")


def test_a_write_without_a_value_and_a_script_at_a_rate_are_refused() -> None:
    lacks = Workload(script=(Scripted("client-1", 0, "cas", "k"),), rate=5)
    assert lacks.refusals() == [
        "script: it says when each operation begins; leave out rate",
        "script[0]: a cas needs a value",
    ]
