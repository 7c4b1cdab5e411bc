"""No test reaches another machine, in its own process or in one that it starts."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from pytest_socket import SocketBlockedError

ELSEWHERE = ("192.0.2.1", 80)  # an address for documentation: nobody has it


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_this_process_has_no_network() -> None:
    with pytest.raises(SocketBlockedError):
        socket.create_connection(ELSEWHERE, timeout=1)


def test_programs_that_tests_start_have_no_network(offline_environment: dict[str, str]) -> None:
    code = f"import socket; socket.create_connection({ELSEWHERE}, timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=offline_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "a test asked for the network" in done.stderr
