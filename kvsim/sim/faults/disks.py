"""Faults of disks: full, slow, failing, and giving back other bits than were written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec

from kvsim.core.chance import Chance
from kvsim.sim.disk import Storage
from kvsim.sim.faults.base import NodeFault, Struck, find

if TYPE_CHECKING:
    from kvsim.sim.world import Simulation


class _DiskFault(NodeFault, frozen=True, kw_only=True):
    """Changes the disks of the nodes that are meant, and changes them back; nodes that it stopped then restart."""

    def strike(self, world: Simulation, chance: Chance) -> Struck | None:
        """Hurt the disks."""
        nodes = find(world, self.node, chance)
        if nodes is None:
            return None
        hosts = [world.hosts[node] for node in nodes]
        heals = [self.hurt(host.storage, chance) for host in hosts]

        def heal_all() -> None:
            for heal in heals:
                heal()
            for host in hosts:
                if not host.up and host.stopped_by_disk:
                    host.restart()

        return Struck(nodes, heal_all)

    def hurt(self, disk: Storage, chance: Chance) -> Callable[[], None]:
        """Hurt one disk; gives what heals it."""
        raise NotImplementedError


class DiskFull(_DiskFault, frozen=True, tag="disk_full", kw_only=True):
    """A node's disk has no space for anything that is written."""

    def hurt(self, disk: Storage, chance: Chance) -> Callable[[], None]:
        """Refuse what is written."""
        disk.full = True
        return lambda: setattr(disk, "full", False)


class SlowDisk(_DiskFault, frozen=True, tag="slow_disk", kw_only=True):
    """A node's disk takes longer for everything, as a dying one does."""

    factor: Annotated[float, msgspec.Meta(gt=1)] = 10.0
    """How many times as long."""

    def hurt(self, disk: Storage, chance: Chance) -> Callable[[], None]:
        """Slow it down."""
        disk.slower *= self.factor
        return lambda: setattr(disk, "slower", disk.slower / self.factor)


class FailingSync(_DiskFault, frozen=True, tag="failing_sync", kw_only=True):
    """Syncs of a node's disk fail, so nothing more becomes durable, and a node that sees one fail stops (Rebello
    et al., "Can applications recover from fsync failures?", USENIX ATC 2020)."""

    def hurt(self, disk: Storage, chance: Chance) -> Callable[[], None]:
        """Let what is asked of it from now on fail."""
        disk.failing = True
        return lambda: setattr(disk, "failing", False)


class FlippedBits(_DiskFault, frozen=True, tag="flipped_bits", kw_only=True):
    """When a node restarts while this lasts, its disk gives back each file with some bits flipped."""

    bits: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    """How many in each file."""

    def hurt(self, disk: Storage, chance: Chance) -> Callable[[], None]:
        """Flip what is read."""

        def flip(content: bytes) -> bytes:
            flipped = bytearray(content)
            for _ in range(self.bits if content else 0):
                flipped[chance.below(len(flipped))] ^= 1 << chance.below(8)
            return bytes(flipped)

        disk.flipped = flip
        return lambda: setattr(disk, "flipped", None)
