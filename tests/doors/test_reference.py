"""The reference pages of the doors: their examples run as they stand, their tables hold every command and status."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from kvsim.real.doors.http_problems import STATUS
from kvsim.real.doors.resp_table import TABLE
from tests.doors.conftest import PATIENCE_S, OpenDoors

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def transcript(page: str) -> list[tuple[str, str]]:
    """Commands of a page, and what it says that they print."""
    [block] = re.findall(r"```console\n(.*?)```", (REFERENCE / page).read_text(), re.DOTALL)
    steps = [step.partition("\n") for step in block.split("$ ")[1:]]
    return [(command, printed.strip()) for command, _, printed in steps]


@pytest.mark.needs_command("curl")
@pytest.mark.needs_command("redis-cli")
@pytest.mark.parametrize("page", ["http.md", "resp.md"])
def test_the_examples_print_what_the_page_says(doors: OpenDoors, page: str) -> None:
    for command, printed in transcript(page):
        here = command.replace("8420", str(doors.http_port)).replace("6420", str(doors.resp_port))
        words = shlex.split(here.replace("curl ", "curl --silent "))
        ran = subprocess.run(words, capture_output=True, timeout=PATIENCE_S, check=True)
        assert ran.stdout.decode().strip() == printed, command


def test_every_command_is_described() -> None:
    page = (REFERENCE / "resp.md").read_text()
    table = page[page.index("## Commands") : page.index("**Many keys")]
    described = {word for cell in re.findall(r"`([^`]+)`", table) for word in cell.split()[:1]}
    assert {name.decode() for name in TABLE} <= described


def test_every_status_is_described() -> None:
    page = (REFERENCE / "http.md").read_text()
    assert {str(status) for status in STATUS.values()} <= set(re.findall(r"\b\d{3}\b", page))
