"""However few files the system lets a process open, clients leave enough of them to the cluster."""

import resource

import pytest

from kvsim.real import process
from kvsim.real.process import FILES_KEPT, MOST_CONNECTIONS, connections_for


@pytest.mark.parametrize(
    ("open_files", "connections"), [(256, 16), (1_024, 384), (20_000, 9_872), (1_048_576, MOST_CONNECTIONS)]
)
def test_two_doors_full_of_clients_leave_files_for_the_cluster(open_files: int, connections: int) -> None:
    assert connections_for(open_files) == connections
    assert open_files < FILES_KEPT + 32 or 2 * connections + FILES_KEPT <= open_files


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [(256, resource.RLIM_INFINITY, 20_256), (1_024, 4_096, 4_096), (50_000, 60_000, 50_000)],
)
def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, allowed: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    assert process._raise_limit_of_open_files() == allowed
    assert limits[-1] == (allowed, hard)


def test_a_system_that_refuses_to_raise_it_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert process._raise_limit_of_open_files() == 256
