"""What all tests share: the programs of the machine that some need, and how Hypothesis searches."""

import os
import shutil
import sys

import hypothesis
import pytest

IN_CI = bool(os.environ.get("CI"))
LINUX_ONLY = {"strace"}

hypothesis.settings.register_profile(
    "kvsim",
    deadline=None,  # a busy machine must not turn a test red
    derandomize=IN_CI,  # CI repeats itself; on a desk every run searches further
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("kvsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write transcripts anew from what the nodes do now")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_command"):
        require_command(marker.args[0])


def require_command(name: str) -> str:
    """The path of a program of the machine; without it a test is skipped, and fails in CI, lest a green run hide it."""
    found = shutil.which(name)
    if found:
        return found
    if name in LINUX_ONLY and sys.platform != "linux":
        pytest.skip(f"{name} exists on Linux only")
    missing = f"{name} is not installed; on Debian: apt-get install {_debian_package(name)}"
    if IN_CI:
        pytest.fail(f"{missing} (CI is set, so this may not be skipped)", pytrace=False)
    pytest.skip(missing)


def _debian_package(command: str) -> str:
    return "redis-tools" if command.startswith("redis-") else command
