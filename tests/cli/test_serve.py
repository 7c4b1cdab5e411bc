"""`materium serve`, in a process of its own: the address that it prints is the one to open."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from materium.cli.main import main
from materium.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]
TOKEN = "a-token-of-some-length"  # noqa: S105 - of a test


@contextmanager
def served(environment: dict[str, str], *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the server at a free port; gives the address that it prints, and the process."""
    program = [sys.executable, "-m", "materium", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, process.stderr.read() if process.stderr else line
            yield found[0], process
        finally:
            process.kill()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - at this machine
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_page_is_there_and_ctrl_c_ends_it(offline_environment: dict[str, str]) -> None:
    with served(offline_environment) as (address, process):
        status, page = get(address)
        assert status == 200
        assert page.startswith(b"<!doctype html>")
        assert json.loads(get(f"{address}healthz")[1])["status"] == "ok"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "materium: stopped; jobs that were not done are lost\n"
    assert out == ""


def test_the_token_is_needed_and_printed(offline_environment: dict[str, str]) -> None:
    with served({**offline_environment, "MATERIUM_TOKEN": TOKEN}) as (address, _):
        assert address.endswith(f"/?token={TOKEN}")
        base = address.partition("?")[0]
        assert get(f"{base}healthz")[0] == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(address, timeout=60) as page:
            assert page.url == base
        with opener.open(f"{base}healthz", timeout=60) as health:
            assert health.status == 200


def test_every_other_address_gets_a_token() -> None:
    from materium.cli.serve import _access

    for host in ("0.0.0.0", "::", "192.0.2.7", "lab.example"):  # noqa: S104 - nothing listens
        access = _access(host, None, [])
        assert access.token is not None
        assert len(access.token) > 30
        assert access.token != _access(host, None, []).token
    for host in ("127.0.0.1", "localhost", "::1"):
        assert _access(host, None, []).token is None


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command, which must be refused in one line."""

    def run(*arguments: str) -> str:
        assert main(["serve", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_a_port_that_is_taken(said: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port}" in said("--port", str(port))
    assert "cannot listen at 192.0.2.7" in said("--host", "192.0.2.7", "--port", "0")


def test_a_short_token_and_a_damaged_model(said: Callable[..., str], tmp_path: Path) -> None:
    assert "at least 16" in said("--token", "short")
    assert "holds no model" in said("--model", str(tmp_path), "--port", "0")


def test_a_disk_without_room(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", full)
    assert "make room on the disk" in said("--port", "0")


def test_without_its_packages_it_names_the_extra(said: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert install_command("serve") in said()
