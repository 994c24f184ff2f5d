"""On a busy machine a connection may take its time: none is given up before the test is."""

import pytest

from kvsim.transport import tcp
from tests.transport.ends import PATIENCE_S


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "DIAL_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(tcp, "GREETING_TIMEOUT_S", PATIENCE_S)
