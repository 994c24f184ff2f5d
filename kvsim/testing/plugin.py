"""The pytest plugin: `pytest --kvsim mine.py:MyProtocol` puts a strategy through the conformance kit, a test a check.

It comes with kvsim. Without paths on the command line nothing else is collected. `--kvsim-set replication.w=3` sets a
key of the design, `--kvsim-runs 500` makes hunts longer, also those of tests that call `check_replication` and others.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kvsim.testing.contract import Check
    from kvsim.testing.subject import Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, shown by `pytest --help`."""
    group = parser.getgroup("kvsim", "conformance of strategies for kvsim")
    group.addoption(
        "--kvsim",
        action="append",
        default=[],
        metavar="FILE.py:CLASS",
        help="put this strategy, or a built-in one by its name, through the checks of its axis; may be repeated",
    )
    group.addoption(
        "--kvsim-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a key of the design in which it is checked: replication.w=3, membership=heartbeat; may be repeated",
    )
    group.addoption("--kvsim-runs", type=int, metavar="N", help="how many runs each hunt has (20)")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the checks alone where no tests are named."""
    runs = config.getoption("kvsim_runs")
    if runs is not None:
        os.environ["KVSIM_HUNT_RUNS"] = str(runs)  # what check_replication and the like look up in their tests
    if config.getoption("kvsim") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each check of each strategy that the command line names."""
    for target in config.getoption("kvsim"):
        items += _checks(session, target, config.getoption("kvsim_set"))


def _checks(session: pytest.Session, target: str, settings: Sequence[str]) -> list[pytest.Item]:
    from kvsim.core.settings import SettingsError
    from kvsim.testing.subject import subject_of
    from kvsim.testing.suites import checks_of

    try:
        design: dict[str, Any] = _design(settings)
        subject = subject_of(None, target, Path.cwd(), design)
    except SettingsError as error:
        raise pytest.UsageError(f"--kvsim {target}: {error}") from error
    return [CheckItem.of(session, target, check, subject) for check in checks_of(subject.axis)]


def _design(settings: Sequence[str]) -> dict[str, Any]:
    from kvsim.core.settings import SettingsError
    from kvsim.lab.grid import parse_setting, set_key

    design: dict[str, Any] = {}
    for setting in settings:
        try:
            set_key(design, *parse_setting(setting))
        except ValueError as error:
            raise SettingsError([str(error).replace("--set", "--kvsim-set")]) from error
    return design


class CheckItem(pytest.Item):
    """One check of one strategy."""

    check: Check
    subject: Subject

    @classmethod
    def of(cls, session: pytest.Session, target: str, check: Check, subject: Subject) -> CheckItem:
        """The test of this check."""
        name = str(check.__name__)
        item: CheckItem = cls.from_parent(session, name=name, nodeid=f"{target}::{name}")
        item.check, item.subject = check, subject
        return item

    def runtest(self) -> None:
        """Run the check."""
        from kvsim.testing.contract import run_check

        run_check(self.check, self.subject)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: where the kit raised it tells nothing of the strategy."""
        from kvsim.testing.by_hand import ContractBroken

        if isinstance(excinfo.value, ContractBroken):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What headings call it."""
        file = inspect.getsourcefile(self.subject.strategy)
        return Path(file or "."), None, f"{self.subject.name} {self.name}"
