"""Faults, as an experiment's `[[faults]]` states them: each strikes at its time or moment, lasts, and is healed.

A kind of fault is one small struct, in the file of its family. Each fault draws from a stream of its own, so adding one
leaves all other draws as they were.
"""

from kvsim.sim.faults.base import ROLES, ZONE, Struck, Target, Window, find, find_all
from kvsim.sim.faults.disks import DiskFull, FailingSync, FlippedBits, SlowDisk
from kvsim.sim.faults.links import (
    Bridge,
    Delay,
    Flaky,
    Isolate,
    Loss,
    MajoritiesRing,
    OneWay,
    Partition,
    SlowLink,
    ZonePartition,
    cut_between,
)
from kvsim.sim.faults.load import Overload
from kvsim.sim.faults.machines import (
    ClockDrift,
    ClockJump,
    Crash,
    DiskLost,
    Pause,
    RollingRestart,
    SlowCpu,
    ZoneOutage,
)
from kvsim.sim.faults.schedule import LOOK_AGAIN_NS, PATIENCE_NS, Fault, install, read_faults
from kvsim.sim.faults.triggers import TRIGGERS

__all__ = [
    "LOOK_AGAIN_NS", "PATIENCE_NS", "ROLES", "TRIGGERS", "ZONE",
    "Bridge", "ClockDrift", "ClockJump", "Crash", "Delay", "DiskFull", "DiskLost", "FailingSync", "Fault", "Flaky",
    "FlippedBits", "Isolate", "Loss", "MajoritiesRing", "OneWay", "Overload", "Partition", "Pause", "RollingRestart",
    "SlowCpu", "SlowDisk", "SlowLink", "Struck", "Target", "Window", "ZoneOutage", "ZonePartition",
    "cut_between", "find", "find_all", "install", "read_faults",
]  # fmt: skip
