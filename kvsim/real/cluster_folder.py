"""A cluster's data folder over several starts: the same cluster goes on in it, and another one is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from kvsim.real.cluster_file import ClusterFile, read_cluster_file
from kvsim.real.supervisor import CLUSTER_FILE, new_cluster_file


def cluster_in(
    data_dir: Path,
    design: Mapping[str, Any],
    *,
    nodes: int,
    frontends: int,
    folder: Path,
    where: str,
    http_ports: Sequence[int] | None,
    resp_ports: Sequence[int] | None,
) -> ClusterFile:
    """The file of the cluster whose data lies in `data_dir`, or of a new one where none does.

    Nodes keep their names and data; addresses and ports are those asked for now. Raises `SettingsError` where the
    design makes no sense, `ClusterFileError` where the former file cannot be read.
    """
    file = new_cluster_file(
        design,
        nodes=nodes,
        frontends=frontends,
        data_dir=data_dir,
        folder=folder,
        where=where,
        http_ports=http_ports,
        resp_ports=resp_ports,
    )
    former_path = data_dir / CLUSTER_FILE
    if not former_path.exists():
        return file
    former = read_cluster_file(former_path).file  # of another design? The supervisor looks when it starts the cluster
    return msgspec.structs.replace(file, cluster_id=former.cluster_id, seed=former.seed)
