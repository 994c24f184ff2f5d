"""A primary that dies under a stream of writes, each to a key of its own: how many acknowledged ones are gone."""

from __future__ import annotations

from kvsim.core.message import MILLISECOND, SECOND
from kvsim.core.operation import Found, Put, Read, RequestId, Written
from kvsim.lab.sim_driver import SimDriver
from kvsim.sim.faults import Crash, Loss, install
from kvsim.sim.settings import read_world
from kvsim.sim.world import World
from kvsim.strategies.catalogue import cluster_of, read_design


def acknowledged_and_lost(seed: int, mode: str) -> int:
    """How many writes were acknowledged and are absent after the backup's promotion."""
    table = {"replication": {"strategy": "primary_backup", "mode": mode}, "topology": "peer_to_peer"}
    design = read_design(table, "failover", 3)
    cluster = cluster_of(design, 3)
    world = World(design, cluster, read_world({}, "failover"), seed)
    world.start()
    # What is on its way when its sender dies still arrives; what was lost there and waits to be sent again does not.
    lossy = Loss(at_ns=300 * MILLISECOND, lasts_ns=SECOND, share=0.05, between=cluster.data)
    install(world, [lossy, Crash(at_ns=500 * MILLISECOND, node="primary", lasts_ns=None)])
    driver = SimDriver(world)
    written: list[bytes] = []
    found: list[bytes] = []

    def put(number: int) -> None:
        key = f"key-{number}".encode()

        def answered(answer: object) -> None:
            if isinstance(answer, Written):
                written.append(key)

        driver.perform("writer", cluster.data[0], Put(RequestId("writer", number), key, b"v"), answered)

    def read(number: int, key: bytes) -> None:
        def answered(answer: object) -> None:
            if isinstance(answer, Found):
                found.append(key)

        driver.perform("reader", cluster.data[1], Read(RequestId("reader", number), key), answered)

    for number in range(550):
        world.at(number * MILLISECOND, lambda number=number: put(number))
    world.run(2 * SECOND)
    assert len(written) > 100, "writes before the crash were acknowledged"
    assert world.role("primary") not in (None, cluster.data[0]), "a backup was promoted"
    for number, key in enumerate(written):
        read(number, key)
    world.run(4 * SECOND)
    assert found, "the new primary serves"
    return len(written) - len(found)
