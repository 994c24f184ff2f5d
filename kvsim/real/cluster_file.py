"""The cluster file, which every node process reads when it starts: who is in the cluster, where, with what design."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from kvsim.core.design import Cluster, Design
from kvsim.core.message import NodeId
from kvsim.core.settings import SettingsError
from kvsim.real.disk import RESERVE_BYTES
from kvsim.strategies.catalogue import cluster_of, read_design
from kvsim.transport.frames import FRAME_LIMIT_BYTES
from kvsim.transport.tcp import Address


class ClusterFileError(Exception):
    """The file cannot be used; the message says why, and what to do."""


class ClusterFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file's content, as JSON."""

    cluster_id: str
    """Names this cluster once and for all; a node of another is refused."""
    design: dict[str, Any]
    """As `[design]` in an experiment."""
    nodes: int
    """How many ServerData nodes."""
    frontends: int = 1
    addresses: dict[NodeId, Address]
    """Where each node listens for its peers, by TCP and UDP."""
    data_dir: str
    """Each node keeps its files in the folder of its name in here."""
    fingerprint: str
    """Of the design; a node that reads the design otherwise does not start."""
    folder: str = "."
    """Where a strategy given as `file.py:Class` is relative to."""
    seed: int = 0
    door_host: str = "127.0.0.1"
    """The address that HTTP and RESP doors listen on."""
    http: dict[NodeId, int] = {}
    """Nodes with an HTTP door, and its port."""
    resp: dict[NodeId, int] = {}
    """Nodes with a RESP door, and its port."""
    record: bool = False
    """Whether each node logs its inputs to `recording` in its folder, to be replayed."""
    reserve_bytes: int = RESERVE_BYTES
    """Space that writes leave free on the disk; below it a node answers `Unavailable`."""

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    def node_dir(self, node: NodeId) -> Path:
        """Where this node keeps its files."""
        return Path(self.data_dir) / node

    def read_design(self, where: str = "design") -> Design:
        """The design. Raises `SettingsError`."""
        return read_design(self.design, where, self.nodes, Path(self.folder))


class Plan(msgspec.Struct, frozen=True):
    """A cluster file, read and understood."""

    file: ClusterFile
    design: Design
    cluster: Cluster


def fingerprint_of(design: Design, nodes: int, frontends: int) -> str:
    """A hash of the design with all its settings, and of the cluster's size; nodes of another are strangers."""
    described = msgspec.json.encode((design.described(), nodes, frontends), order="deterministic")
    return hashlib.blake2b(described, digest_size=8).hexdigest()


def read_cluster_file(path: Path) -> Plan:
    """Read the file and check it. Raises `ClusterFileError`."""
    try:
        return plan_of(msgspec.json.decode(path.read_bytes(), type=ClusterFile), str(path))
    except OSError as error:
        raise ClusterFileError(f"{path}: {error.strerror}; give the cluster file that the supervisor wrote") from error
    except msgspec.MsgspecError as error:
        raise ClusterFileError(f"{path}: {error}; give the cluster file that the supervisor wrote") from error


def plan_of(file: ClusterFile, where: str) -> Plan:
    """The file, understood. Raises `ClusterFileError`."""
    try:
        design = file.read_design(f"{where}: design")
    except SettingsError as error:
        raise ClusterFileError(str(error)) from error
    if design.limits.key_bytes + design.limits.value_bytes > FRAME_LIMIT_BYTES // 2:
        raise ClusterFileError(
            f"{where}: design.limits: a key and its value may have {FRAME_LIMIT_BYTES // 2} bytes at most, "
            "so that a message between nodes can hold them; lower key_bytes or value_bytes"
        )
    cluster = cluster_of(design, file.nodes, file.frontends)
    if fingerprint_of(design, file.nodes, file.frontends) != file.fingerprint:
        raise ClusterFileError(
            f"{where}: this version of kvsim reads the design otherwise than the one that wrote the file; "
            "write the file anew, and run one version on all nodes"
        )
    missing = [node for node in cluster.everyone() if node not in file.addresses]
    if missing:
        raise ClusterFileError(f"{where}: addresses: nothing for {', '.join(missing)}; add each node's host and port")
    return Plan(file, design, cluster)
