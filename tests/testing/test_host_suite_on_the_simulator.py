"""The simulated world keeps what every world promises to its nodes."""

from collections.abc import Callable

import pytest

from kvsim.sim.settings import MachineSettings, NetworkSettings, WorldSettings
from kvsim.testing.harness import MakeHarness, Options
from kvsim.testing.host_suite import HOST_CHECKS
from kvsim.testing.sim_harness import SimHarness

WORLDS: dict[str, WorldSettings] = {
    "default": WorldSettings(),
    "lossy": WorldSettings(NetworkSettings(loss=0.05)),
    "no CPU time": WorldSettings(machines=MachineSettings(cpu="null")),
    "three zones, four cores": WorldSettings(NetworkSettings(graph="three_zones"), MachineSettings(cores=4)),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("check", HOST_CHECKS, ids=lambda check: check.__name__)
def test_the_simulated_host(check: Callable[[MakeHarness], None], world: str) -> None:
    check(lambda options: SimHarness(options, WORLDS[world], seed=1))


def test_the_suite_runs_as_one() -> None:
    made: list[Options] = []

    def make(options: Options) -> SimHarness:
        made.append(options)
        return SimHarness(options)

    from kvsim.testing import check_host

    check_host(make)
    assert len(made) == len(HOST_CHECKS)
