"""Finds the experiments and network matrices that come with kvsim, in a checkout as well as in an installed wheel."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from kvsim.core.settings import nearest


class BundledFileNotFound(LookupError):
    """kvsim brings no experiment or matrix of this name; the message says what it does bring."""


def experiment_path(name: str) -> Path:
    """The TOML file of the bundled experiment `name`, for example `quorum-staleness`.

    Raises BundledFileNotFound, with the nearest names, when there is none.
    """
    return _find(_experiments_folder(), name, ".toml", "experiment")


def list_experiments() -> list[str]:
    """The names of all bundled experiments, sorted."""
    return _names(_experiments_folder(), ".toml")


def matrix_path(name: str) -> Path:
    """The CSV file of the bundled matrix `name`: round-trip times in milliseconds, for example `aws-2017-rtt-ms`.

    Where the figures come from, and how far to trust them, is in the README beside them.
    Raises BundledFileNotFound, with the nearest names, when there is none.
    """
    return _find(_matrices_folder(), name, ".csv", "matrix")


def list_matrices() -> list[str]:
    """The names of all bundled network matrices, sorted."""
    return _names(_matrices_folder(), ".csv")


def _experiments_folder() -> Traversable:
    installed = resources.files("kvsim") / "_bundled" / "experiments"
    if installed.is_dir():
        return installed
    # In a checkout the folder stands beside the package, where readers look for it.
    return _on_disk(resources.files("kvsim")).parent / "experiments"


def _matrices_folder() -> Traversable:
    return resources.files("kvsim.sim") / "matrices"


def _names(folder: Traversable, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(suffix) for entry in folder.iterdir() if entry.name.endswith(suffix))


def _find(folder: Traversable, name: str, suffix: str, what: str) -> Path:
    names = _names(folder, suffix)
    wanted = name.removesuffix(suffix)
    if wanted in names:
        return _on_disk(folder / (wanted + suffix))
    raise BundledFileNotFound(f"kvsim brings no {what} named {wanted!r}{nearest(wanted, names)}")


def _on_disk(entry: Traversable) -> Path:
    # Node processes and plots open these files by path, so kvsim does not run from inside a zip archive.
    if isinstance(entry, Path):
        return entry
    raise BundledFileNotFound(f"{entry.name!r} is not a file on disk; install kvsim unpacked, not as a zip archive")
