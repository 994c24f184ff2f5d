"""A missing program is a skip on a desk and a failure in CI, so that no green run hides what was not tested."""

import pytest

import tests.conftest as shared


@pytest.mark.needs_command("git")
def test_an_installed_command_is_no_reason_to_skip() -> None:
    assert shared.require_command("git").endswith("git")


def test_a_missing_command_skips_with_the_package_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shared, "IN_CI", False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-tools"):
        shared.require_command("redis-cli")


def test_a_missing_command_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shared, "IN_CI", True)
    with pytest.raises(pytest.fail.Exception, match="may not be skipped"):
        shared.require_command("redis-cli")


def test_a_program_of_another_system_is_skipped_even_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shared, "IN_CI", True)
    monkeypatch.setattr(shared.sys, "platform", "darwin")
    with pytest.raises(pytest.skip.Exception, match="Linux only"):
        shared.require_command("strace")
