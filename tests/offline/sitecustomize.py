"""On the path of every program that a test starts: a connection to another machine is refused, and fails the test."""

from __future__ import annotations

import socket

HERE = {"127.0.0.1", "::1", "localhost"}
_connect = socket.socket.connect


def connect_here(self: socket.socket, address: tuple[str, int] | str) -> None:
    """Connect to this machine, or refuse."""
    if self.family != socket.AF_UNIX and address[0] not in HERE:
        raise RuntimeError(f"a test asked for the network: {address}")
    _connect(self, address)


socket.socket.connect = connect_here  # type: ignore[method-assign]
