"""The real world keeps what the suite of hosts asks of every world, on both event loops."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from kvsim.testing.harness import MakeHarness
from kvsim.testing.host_suite import HOST_CHECKS
from kvsim.testing.real_harness import RealHarness


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.__name__)
def test_a_real_host_keeps_its_promises(
    check: Callable[[MakeHarness], None], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    check(lambda options: RealHarness(options, new_loop))
