"""The wheel alone is enough: installed where no checkout is, it finds its experiments and matrices and runs by name."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.toml"))


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that holds kvsim from its wheel, beside the libraries of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    [wheel] = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    python = programs / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder)
    # A plain path adds the libraries but not this environment's own link to the checkout, and needs no network.
    site_packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return programs


def test_kvsim_comes_from_the_wheel_and_not_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    home = run(installed / "python", "-c", "import kvsim; print(kvsim.__file__)", cwd=tmp_path)
    assert Path(home.strip()).is_relative_to(installed.parent)


def test_the_wheel_carries_the_network_matrices_and_type_marker(installed: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files; from kvsim.lab.bundled import matrix_path;"
        "print(matrix_path('aws-2017-rtt-ms').read_text().splitlines()[0]);"
        "print(files('kvsim').joinpath('py.typed').is_file())"
    )
    first_row, has_type_marker = run(installed / "python", "-c", code, cwd=tmp_path).splitlines()
    assert first_row.startswith("region,us-east-1")
    assert has_type_marker == "True"


def test_the_wheel_lists_every_experiment_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(run(installed / "kvsim", "list", "experiments", "--json", cwd=tmp_path))
    assert sorted(entry["name"] for entry in listed) == EXPERIMENTS
    assert EXPERIMENTS


def test_the_wheel_runs_an_experiment_by_name_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    [name, *_] = EXPERIMENTS
    run(installed / "kvsim", "simulate", name, "--dry-run", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == [], "a dry run leaves nothing behind"
    run(installed / "kvsim", "simulate", name, "--out", "results", cwd=tmp_path)
    assert json.loads((tmp_path / "results" / "metrics.json").read_text(encoding="utf-8"))
