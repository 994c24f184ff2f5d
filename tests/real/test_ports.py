"""Ports: free ones are found, reserved ones stay for their nodes, and one in use is named; on macOS nothing is kept."""

import socket
import sys

import pytest

from kvsim.real import ports
from kvsim.real.ports import PortError, Reservation, free_ports
from kvsim.transport.tcp import Address


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = str(request.param)
    if name == "linux" and sys.platform != "linux":
        pytest.skip("this is not Linux")
    monkeypatch.setattr(ports.sys, "platform", name)
    return name


def test_free_ports_differ_and_can_be_taken() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(ports.LOWEST <= port <= ports.HIGHEST for port in found)


def test_a_reserved_port_is_its_node_s_to_listen_on(platform: str) -> None:
    [port] = free_ports(1)
    reservation = Reservation([Address("127.0.0.1", port)])
    with socket.create_server(("127.0.0.1", port)):  # it sets SO_REUSEADDR, as a node does
        pass
    reservation.close()


def test_a_reserved_port_is_not_free_for_others() -> None:
    if sys.platform != "linux":
        pytest.skip("ports are reserved on Linux only")
    [port] = free_ports(1)
    reservation = Reservation([Address("127.0.0.1", port)])
    assert not ports._is_free("127.0.0.1", port)
    reservation.close()
    assert ports._is_free("127.0.0.1", port)


def test_on_macos_ports_are_looked_at_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports.sys, "platform", "darwin")
    [port] = free_ports(1)
    reservation = Reservation([Address("127.0.0.1", port)])
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", port))  # without SO_REUSEADDR, so nobody else may hold it
    reservation.close()


def test_a_port_in_use_is_named_and_none_is_kept(platform: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [free] = free_ports(1)
        with pytest.raises(PortError, match=f"127.0.0.1:{port}: Address already in use; stop what uses it"):
            Reservation([Address("127.0.0.1", free), Address("127.0.0.1", port)])
        assert ports._is_free("127.0.0.1", free)
