"""Free ports of this machine for nodes and doors that were given none, and their reservation while nodes are down."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterable

from kvsim.transport.tcp import Address

LOWEST, HIGHEST = 20_000, 31_999
"""Below the range from which systems give ports to outgoing connections. The port of a node that is down could else be
taken by someone's outgoing connection; and whoever calls it meanwhile could get its own call as the answer."""
TRIES = 200


class PortError(Exception):
    """A port is in use, or too few are free; the message says which, and what to do."""


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different ports that are free now, for TCP and for UDP. Raises `PortError`."""
    candidates = random.SystemRandom().sample(range(LOWEST, HIGHEST + 1), TRIES + count)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if _is_free(host, port):
            found.append(port)
    if len(found) < count:
        raise PortError(f"{len(found)} of {count} ports are free between {LOWEST} and {HIGHEST} on {host}; free some")
    return found


class Reservation:
    """Keeps ports from others who look for free ones, while their nodes are down and before they are up.

    On Linux a bound socket that does not listen lets another socket of the same user bind and listen; elsewhere it does
    not, and nothing is reserved.
    """

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._sockets: list[socket.socket] = []
        for address in addresses:
            self._reserve(address)

    def close(self) -> None:
        """Give them back."""
        for reserved in self._sockets:
            reserved.close()
        self._sockets.clear()

    def _reserve(self, address: Address) -> None:
        reserved = _socket(address.host, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sockets.append(reserved)
        try:
            reserved.bind((address.host, address.port))
        except OSError as error:
            self.close()
            raise PortError(f"{address}: {error.strerror}; stop what uses it, or choose another port") from error
        if sys.platform != "linux":
            self._sockets.pop().close()


def _is_free(host: str, port: int) -> bool:
    try:
        with _socket(host, socket.SOCK_STREAM) as stream, _socket(host, socket.SOCK_DGRAM) as datagram:
            stream.bind((host, port))
            datagram.bind((host, port))
    except OSError:
        return False
    return True


def _socket(host: str, kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
